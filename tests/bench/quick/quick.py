#!/usr/bin/env python3
"""Counts what fixed work costs the proxy, and compares that with what is recorded in records.json.

Instructions in user space are counted by callgrind, system calls by valgrind; what is measured is what the work costs
when it is done once more, so that beginnings and ends do not count. Fails if a figure is more than 5 % above the
recorded one. Time plays no part: the figures are the same on a busy machine, and on another one of its kind.
"""

import argparse
import concurrent.futures
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import measuring
import records
import work

HERE = pathlib.Path(__file__).resolve().parent
RECORDS = HERE / "records.json"
COLUMNS = ("imapmux", "libuv", "libstdc++", "libc", "openssl", "other")
SKIPPED = 77  # what ctest takes for "skipped"


def table(rows, recorded):
    width = max(map(len, rows)) + 1
    lines = [f"{'instructions':{width}}" + "".join(f"{column:>11}" for column in COLUMNS) +
             f"{'in all':>11}{'change':>9}{'malloc':>8}  system calls"]
    for name, row in rows.items():
        total = sum(row["instructions"].values())
        before = sum(recorded[name]["instructions"].values()) if name in recorded else 0
        calls = ", ".join(f"{value:.4g} {call}" for call, value in sorted(row["calls"].items(), key=lambda one: -one[1]))
        lines.append(f"{name:{width}}" + "".join(f"{row['instructions'].get(column, 0):11,.0f}" for column in COLUMNS) +
                     f"{total:11,.0f}" + (f"{100 * (total / before - 1):+8.1f}%" if before else f"{'':9}") +
                     f"{row['allocations']:8.2f}  {sum(row['calls'].values()):.4g}: {calls}")
    return "\n".join(lines)


def functions(counts, number):
    """Where the instructions are, those of what is called not included."""
    lines = []
    for name, count in counts.items():
        lines.append(f"\n{name}")
        top = sorted(count.functions.items(), key=lambda one: -one[1])[:number]
        lines += [f"{value:13,.1f}  {column:10} {function[:150]}" for (column, function), value in top]
    return "\n".join(lines)


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def environment():
    """What the figures depend on beside the code."""
    packages = ["clang-19", "libuv1", "libssl3", "libc6", "libstdc++6", "valgrind"]
    versions = output_of("dpkg-query", "-W", "-f=${Package} ${Version}\n", *packages)
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return {"architecture": platform.machine(), "processor has AVX2": " avx2 " in flags,
            **dict(line.split() for line in versions.splitlines())}


def selected(patterns, factor):
    """Settings, each with those of its works whose "setting: work" contains one of the patterns, done `factor` times."""
    for setting in work.SETTINGS:
        works = [work.Work(one.name, one.function, factor * one.times, one.warming) for one in setting.works
                 if not patterns or any(pattern.lower() in f"{setting.name}: {one.name}".lower() for pattern in patterns)]
        if works:
            yield setting, works


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, help="another imapmux",
                        default=os.environ.get("IMAPMUX") or HERE.parents[2] / "build/release/proxy/imapmux")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--against", type=pathlib.Path, metavar="BINARY",
                       help="compare with this imapmux, measured just before, instead of what is recorded")
    known.add_argument("--just-work", action="store_true", help="compare with nothing: another program watches")
    known.add_argument("--record", action="store_true", help=f"write {RECORDS.name} anew: the commit says why")
    parser.add_argument("--only", action="append", metavar="TEXT",
                        help='rows whose name contains this, as "unrestricted:" or ": NOOP"; may be repeated')
    parser.add_argument("--times", type=int, default=1, metavar="N", help="do all N times as often")
    parser.add_argument("--functions", type=int, metavar="N", help="show the N costliest functions of each row")
    parser.add_argument("--profiles", type=pathlib.Path, metavar="DIR",
                        help="keep callgrind's output there, a file per row, for callgrind_annotate --inclusive=yes")
    parser.add_argument("--jobs", type=int, default=2, help="settings measured at the same time")
    return parser.parse_args()


def stripped(binary, folder):
    """valgrind 3.19 gives up on the debug information of clang 19; names stay."""
    subprocess.run(["llvm-objcopy-19", "--strip-debug", binary, folder / "imapmux"], check=True)
    return folder / "imapmux"


def measure(binary, chosen, options, profiles=None):
    """Name -> Count, of everything chosen."""
    counts = {}
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        copy = stripped(binary, pathlib.Path(folder))
        runs = [pool.submit(measuring.measure, copy, setting, works, profiles) for setting, works in chosen]
        try:
            for run in runs:
                counts.update(run.result())
        finally:
            pool.shutdown(cancel_futures=True)
    return counts


def rows_of(counts):
    return {name: measuring.row_of(count) for name, count in counts.items()}


def main():
    options = arguments()
    if options.profiles:
        options.profiles.mkdir(parents=True, exist_ok=True)
    chosen = list(selected(options.only, options.times))
    if not chosen:
        raise SystemExit("no row has such a name")
    known, here = records.load(RECORDS), environment()
    if options.against:
        known = {"recorded with": here, "rows": rows_of(measure(options.against, chosen, options))}
    begin = time.monotonic()
    counts = measure(options.binary, chosen, options, options.profiles)
    rows = rows_of(counts)
    # The judgement comes first: of a long output, CI shows the beginning.
    status = 0 if options.just_work or options.record else judge(rows, known, here)
    print(table(rows, known["rows"]))
    if options.functions:
        print(functions(counts, options.functions))
    print(f"{len(rows)} pieces of work in {time.monotonic() - begin:.0f} s")
    if options.record:
        records.save(RECORDS, here, {**known["rows"], **rows} if options.only else rows)
        print(f"recorded in {RECORDS.relative_to(HERE.parents[2])}; the commit says why the figures changed")
    return status


def judge(rows, known, here):
    then = known["recorded with"]
    for name in sorted(then.keys() | here.keys()):
        if then.get(name) != here.get(name):
            print(f"note: recorded with {name} {then.get(name)}, here it is {here.get(name)}")
    if then.get("architecture", here["architecture"]) != here["architecture"]:
        print("SKIPPED: nothing is recorded for this architecture")
        return SKIPPED
    verdict = records.compare(rows, known["rows"], then.get("processor has AVX2") == here["processor has AVX2"])
    if verdict.better:
        print("BETTER than before; record it (script/bench --quick --record), or the next regression goes unseen:")
        print("\n".join(verdict.better))
    if verdict.worse:
        print("WORSE than before:")
        print("\n".join(verdict.worse))
        print("Functions that have changed lack their profile: script/profile makes it anew.\n"
              "If it has to be so: script/bench --quick --record, and the reason in the commit.")
    return 1 if verdict.worse else 0


if __name__ == "__main__":
    sys.exit(main())
