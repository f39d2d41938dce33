#!/usr/bin/env python3
"""Measures what imapmux costs beside the proxies that people use, all in front of the same fast backend on loopback.

script/bench builds everything and runs this. Subjects take turns at each work, round by round, so that what disturbs the
machine meets all alike: ratios within a run carry to another machine, absolute figures do not.

  script/bench                                        everything
  script/bench --clear --only nginx --only unrestricted --work command --repeats 3
  script/bench --pairs nginx,unrestricted --work command --work fetch
                                                      what decides about a goal: many pairs of long runs
"""
import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import re
import resource
import shlex
import signal
import subprocess
import sys

import goals
import report
import rounds
from lab import Lab
from subjects import SUBJECTS, WORKS

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
RESULTS = HERE / "RESULTS.md"
PACKAGES = ("nginx", "haproxy", "dovecot-core", "imapproxy", "perdition", "libssl3", "libuv1")


def pair(text):
    first, _, second = text.partition(",")
    for key in (first, second):
        if key not in SUBJECTS or not SUBJECTS[key].works:
            raise argparse.ArgumentTypeError(f"{key!r} is none of {', '.join(SUBJECTS)}")
    return first, second


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, help="of each run (0.6); with --pairs of CPU of each half of a pair (3)")
    parser.add_argument("--only", action="append", choices=SUBJECTS, metavar="SUBJECT",
                        help=f"may be repeated: {', '.join(SUBJECTS)}")
    parser.add_argument("--work", action="append", choices=[*WORKS, *rounds.EXTRAS], metavar="WORK",
                        help=f"may be repeated: {', '.join([*WORKS, *rounds.EXTRAS])}")
    parser.add_argument("--clear", action="store_true", help="only in the clear")
    parser.add_argument("--tls", action="store_true", help="only with TLS toward the client")
    parser.add_argument("--pairs", action="append", type=pair, metavar="FIRST,SECOND",
                        help="CPU of the second as a ratio to the first's; may be repeated")
    parser.add_argument("--count", type=int, default=9, help="how many pairs (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put the outcome into {RESULTS.relative_to(TOP)}")
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build/release", help="folder of the programs")
    parser.add_argument("--nice", type=int, default=-10, metavar="N",
                        help="priority of all that is measured, where allowed (%(default)s: ahead of what else runs)")
    parser.add_argument("--lock", type=pathlib.Path, metavar="FILE",
                        help="lock this file for each turn, as others do who measure on this machine")
    options = parser.parse_args()
    options.seconds = options.seconds or (3.0 if options.pairs else 0.6)
    options.interrupted = False
    options.modes = [tls for tls in (False, True) if options.tls == options.clear or options.tls == tls]
    return options


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, cwd=TOP).stdout.strip()


def circumstances(others):
    """Machine, versions, and how this came about. others: a cpu.Others of the time of measuring."""
    model = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    packages = output_of("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package} ${Version}\n", *PACKAGES)
    versions = [line.split(maxsplit=1)[1] for line in packages.splitlines() if line.startswith("ii")]
    return (f"{datetime.date.today():%Y-%m-%d}, imapmux {output_of('git', 'describe', '--always', '--dirty', '--tags')}, "
            f"{os.cpu_count()} CPUs ({model[1] if model else platform.machine()}), of which others used {others.share():.0%} meanwhile, Linux {platform.release()}; "
            f"{', '.join(versions)}. `{shlex.join(['script/bench', *sys.argv[1:]])}`")


def write_section(name, text):
    """Puts `text`, which begins with its title ("## …"), where the section of RESULTS.md was whose title begins with `name`."""
    old = RESULTS.read_text() if RESULTS.exists() else "# What imapmux costs\n\nWritten by `script/bench --write`.\n"
    RESULTS.write_text(report.with_section(old, name, text))


def tables(lab, options):
    """title -> text"""
    results = {}
    for tls in options.modes:
        if not options.interrupted:
            results[tls] = rounds.tables(lab, options, tls)
    sections = {"TLS toward the client" if tls else "In the clear": report.section(found) for tls, found in results.items()}
    judged = goals.goal_table(results)
    if judged:
        sections["Goals"] = judged
    return sections


def pairs(lab, options):
    found, problems = {}, []
    for tls in options.modes:
        if not options.interrupted:
            more, failed = rounds.pairs(lab, options, tls)
            found |= more
            problems += failed
    return {"Pairs": "\n\n".join([report.pair_table(found), *(f"Missing: {problem}" for problem in problems)])}


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is ended
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(PermissionError):
        os.nice(options.nice)
    with Lab(options.build) as lab:
        sections = (pairs if options.pairs else tables)(lab, options)
    about = circumstances(lab.others)
    for title, text in sections.items():
        print(f"## {title}\n{text}\n")
        if options.write and not options.interrupted:
            write_section(title, f"## {title}\n{about}\n\n{text}")
    print(about)
    return 130 if options.interrupted else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
