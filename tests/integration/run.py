#!/usr/bin/python3
"""Runs integration tests: run.py [MODULE[.CLASS[.TEST]]]..., all without arguments.

IMAPMUX names the program under test (default build/release/proxy/imapmux); IMAPMUX_DIRECT=1 leaves it out.
`run.py --expect CLASS...` runs nothing: it fails unless these are the test classes there are.
"""
import pathlib
import signal
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True


def classes(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from classes(entry)
        else:
            yield f"{type(entry).__module__}.{type(entry).__name__}"


def main():
    # ended by a signal: as an exception, so that servers are stopped and folders removed
    def end(number, _):
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    names = sys.argv[1:]
    loader = unittest.defaultTestLoader
    if names[:1] == ["--expect"]:
        difference = set(classes(loader.discover(str(HERE)))) ^ set(names[1:])
        for name in sorted(difference):
            print(f"only here or only in CMakeLists.txt: {name}")
        return 1 if difference else 0
    suite = loader.loadTestsFromNames(names) if names else loader.discover(str(HERE))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.testsRun == 0 and not result.skipped:
        print("no tests", file=sys.stderr)
        return 1
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
