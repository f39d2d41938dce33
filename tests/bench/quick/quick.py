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
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import conversation
import counted_proxy
import records
import work

HERE = pathlib.Path(__file__).resolve().parent
RECORDS = HERE / "records.json"
CONFIGURATION = """
workers: {workers}
log: {{level: warn}}
limits: {{max_clients: 1000}}
{certificates}
listeners:
  - {{name: quick, bind: "127.0.0.1:{port}", tls: {tls}}}
backends:
  canned: {{servers: ["127.0.0.1:{backend}"], tls: none, mailbox_access: {access}}}
routes:
  - {{backend: canned}}
"""
COLUMNS = ("imapmux", "libuv", "libstdc++", "libc", "openssl", "other")
SKIPPED = 77  # what ctest takes for "skipped"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench", "-days", "2",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, capture_output=True)
    return f"certificates: [{{names: [bench], certificate: {folder}/cert.pem, private_key: {folder}/key.pem}}]"


def wait_for(port, proxy):
    for _ in range(600):
        proxy.check()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return proxy.settle()
        except OSError:
            time.sleep(0.1)
    raise SystemExit("imapmux does not listen")


def row_of(count):
    return {"instructions": {name: round(value, 1) for name, value in count.instructions.items() if abs(value) > 1},
            "calls": {name: round(value, 3) for name, value in count.calls.items() if abs(value) > 0.004},
            "allocations": round(count.allocations, 2)}


def measure(binary, setting, works, profiles):
    """Does the works of one setting; name -> row."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        backend = conversation.Backend()
        port = free_port()
        text = CONFIGURATION.format(
            workers=setting.workers, port=port, backend=backend.port, access=setting.access,
            tls="implicit" if setting.tls else "none", certificates=certificate(folder) if setting.tls else "")
        proxy = counted_proxy.CountedProxy(binary, text, folder)
        try:
            wait_for(port, proxy)
            session = work.Session(conversation.World(proxy, backend, port), setting.tls and folder / "cert.pem")
            for one in works:
                one.function(session, one.warming)
            proxy.count()
            rows = {}
            for one in works:
                one.function(session, one.times)
                once = proxy.count()
                one.function(session, 2 * one.times)
                key = f"{setting.name}: {one.name}"
                rows[key] = row_of(proxy.count().beyond(once, one.times))
                if profiles:
                    shutil.copy(proxy.profile(), profiles / f"{key}, {2 * one.times} times".replace(" ", "_"))
            return rows
        finally:
            proxy.stop()


def table(rows, recorded):
    lines = [f"{'instructions':34}" + "".join(f"{column:>11}" for column in COLUMNS) +
             f"{'in all':>11}{'recorded':>11}{'malloc':>8}  system calls"]
    for name, row in rows.items():
        total = sum(row["instructions"].values())
        before = sum(recorded[name]["instructions"].values()) if name in recorded else 0
        calls = ", ".join(f"{value:.4g} {call}" for call, value in sorted(row["calls"].items(), key=lambda one: -one[1]))
        lines.append(f"{name:34}" + "".join(f"{row['instructions'].get(column, 0):11,.0f}" for column in COLUMNS) +
                     f"{total:11,.0f}" + (f"{100 * (total / before - 1):+10.1f}%" if before else f"{'':11}") +
                     f"{row['allocations']:8.2f}  {sum(row['calls'].values()):.4g}: {calls}")
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


def selected(patterns):
    """Settings, each with those of its works whose "setting: work" contains one of the patterns."""
    for setting in work.SETTINGS:
        works = [one for one in setting.works
                 if not patterns or any(pattern.lower() in f"{setting.name}: {one.name}".lower() for pattern in patterns)]
        if works:
            yield setting, works


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, help="another imapmux",
                        default=os.environ.get("IMAPMUX") or HERE.parents[2] / "build/release/proxy/imapmux")
    parser.add_argument("--only", action="append", metavar="TEXT",
                        help='rows whose name contains this, as "unrestricted:" or ": NOOP"; may be repeated')
    parser.add_argument("--record", action="store_true", help=f"write {RECORDS.name} anew: say why in the commit")
    parser.add_argument("--profiles", type=pathlib.Path, metavar="DIR",
                        help="keep callgrind's output there, a file per row, for callgrind_annotate")
    parser.add_argument("--jobs", type=int, default=2, help="settings measured at the same time")
    return parser.parse_args()


def stripped(binary, folder):
    """valgrind 3.19 gives up on the debug information of clang 19; names stay."""
    subprocess.run(["llvm-objcopy-19", "--strip-debug", binary, folder / "imapmux"], check=True)
    return folder / "imapmux"


def main():
    options = arguments()
    if options.profiles:
        options.profiles.mkdir(parents=True, exist_ok=True)
    chosen = list(selected(options.only))
    if not chosen:
        raise SystemExit("no row has such a name")
    known, here = records.load(RECORDS), environment()
    begin = time.monotonic()
    rows = {}
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        binary = stripped(options.binary, pathlib.Path(folder))
        runs = [pool.submit(measure, binary, *one, options.profiles) for one in chosen]
        for run in runs:
            rows.update(run.result())
    print(table(rows, known["rows"]))
    print(f"{len(rows)} pieces of work in {time.monotonic() - begin:.0f} s; what each costs when it is done once more")
    if options.record:
        records.save(RECORDS, here, {**known["rows"], **rows} if options.only else rows)
        print(f"recorded in {RECORDS.relative_to(HERE.parents[2])}; the commit says why the figures changed")
        return 0
    return judge(rows, known, here)


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
        print("\nBETTER than recorded; record it (script/bench --quick --record), or the next regression goes unseen:")
        print("\n".join(verdict.better))
    if verdict.worse:
        print("\nWORSE than recorded:")
        print("\n".join(verdict.worse))
        print("If it has to be so: script/bench --quick --record, and the reason in the commit.")
    return 1 if verdict.worse else 0


if __name__ == "__main__":
    sys.exit(main())
