#!/usr/bin/env python3
"""Loads an IMAP server with many clients of few users, and verifies everything that the clients are told.

    load.py --port P --users 40 --clients 200 --mailboxes 5 --seconds 20 --seed 1 --exclusive --json

The server (or the proxy in front of it) listens on 127.0.0.1; user u7's password is u7. Users share nothing, so the
load is divided among processes by user. Exit status 1 if anything contradicted the protocol or got lost.
"""

import argparse
import asyncio
import collections
import concurrent.futures
import json
import random
import sys
import time

from ledger import Ledger
from load_client import LoadClient

ANSWER_WITHIN = 90  # seconds; above the proxy's lease_wait of 60 s in these tests
KEPT_ERRORS = 5     # with transcripts; the others are counted


class Report:
    """What one process has to say; sums up as plain values, so that it can cross processes."""

    def __init__(self):
        self.waits = collections.defaultdict(list)  # verb -> seconds
        self.errors = []
        self.error_count = 0
        self.problems = []
        self.refused = {"cycle": 0, "other": 0}  # NO [INUSE]
        self.refusals = []                       # the others, as text

    def wait(self, verb, seconds):
        self.waits[verb].append(seconds)

    def error(self, client, error, transcript):
        self.error_count += 1
        if len(self.errors) < KEPT_ERRORS:
            lines = [line.decode("latin-1").rstrip() for line in transcript]
            self.errors.append({"client": client, "error": str(error), "transcript": lines})

    def problem(self, text):
        self.problems.append(text)

    def in_use(self, client, verb, arguments, answer):
        cycle = "deadlock" in answer.text
        self.refused["cycle" if cycle else "other"] += 1
        if not cycle and len(self.refusals) < KEPT_ERRORS:
            self.refusals.append(f"{client}: {verb} {arguments}: {answer}")

    def add(self, other):
        for verb, waits in other.waits.items():
            self.waits[verb] += waits
        self.errors = (self.errors + other.errors)[:KEPT_ERRORS]
        self.error_count += other.error_count
        self.problems += other.problems
        self.refusals += other.refusals
        for kind, count in other.refused.items():
            self.refused[kind] += count


def make_clients(options, run, report, part):
    """The clients of every `options.processes`th user from `part` on. The same seed makes them do the same things."""
    boxes = ["INBOX", *(f"box{i}" for i in range(1, options.mailboxes))]
    ledgers = {i: Ledger(run, f"u{i}", boxes) for i in range(part, options.users, options.processes)}
    return [LoadClient(f"u{i % options.users}/{i // options.users}", options.port, ledgers[i % options.users], report,
                       random.Random(options.seed * 100_000 + i), options)
            for i in range(options.clients) if i % options.users in ledgers]


async def watch(clients):
    """Ends connections on which an answer is overdue. One task for all: a timer per command would cost more."""
    while True:
        await asyncio.sleep(1)
        for client in clients:
            if client.connection:
                client.connection.overdue(ANSWER_WITHIN)


async def load(options, run, part):
    report = Report()
    clients = make_clients(options, run, report, part)
    one_of_each_user = list({client.ledger.user: client for client in clients}.values())
    await asyncio.gather(*(client.once(client.survey(options.prepare)) for client in one_of_each_user))
    report.waits.clear()
    watcher = asyncio.create_task(watch(clients))
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.sleep(options.seconds)
    for client in clients:
        client.over = True
    await asyncio.gather(*tasks)
    counted = {verb: list(waits) for verb, waits in report.waits.items()}
    counting = [LoadClient(client.name + "/end", options.port, client.ledger, report, client.rng, options)
                for client in one_of_each_user]
    await asyncio.gather(*(client.once(client.final_count()) for client in counting))
    if options.converge:
        await asyncio.gather(*(client.converge() for client in clients))
    watcher.cancel()
    report.waits = counted  # the final sessions are no load
    return report


def run_part(options, run, part):
    return asyncio.run(load(options, run, part))


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


def milliseconds(waits):
    ordered = sorted(waits)
    return {"count": len(ordered), "median": round(quantile(ordered, 0.5) * 1000, 2),
            "p99": round(quantile(ordered, 0.99) * 1000, 2), "longest": round(quantile(ordered, 1) * 1000, 2)}


def summary(report, seconds):
    everything = milliseconds([wait for waits in report.waits.values() for wait in waits])
    return {
        "commands": everything["count"],
        "commands_per_second": round(everything["count"] / seconds),
        "median_ms": everything["median"], "p99_ms": everything["p99"], "longest_ms": everything["longest"],
        "in_use": report.refused,
        "refusals": report.refusals,
        "protocol_errors": report.error_count,
        "lost_or_doubled": report.problems,
        "errors": report.errors,
        "by_verb_ms": {verb: milliseconds(report.waits[verb]) for verb in sorted(report.waits)},
    }


def print_for_people(result):
    for name in ("commands", "commands_per_second", "median_ms", "p99_ms", "longest_ms", "in_use", "protocol_errors"):
        print(f"{name.replace('_', ' '):20} {result[name]}")
    for verb, waits in result["by_verb_ms"].items():
        print(f"  {verb:18} {waits}")
    for error in result["errors"]:
        print(f"\n{error['client']}: {error['error']}", *error["transcript"], sep="\n  ")
    for problem in result["lost_or_doubled"][:20]:
        print(problem)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--mailboxes", type=int, default=5, help="INBOX, box1, box2, …")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--prepare", action="store_true", help="create the mailboxes and fill them first")
    parser.add_argument("--converge", action="store_true", help="at the end, what the clients were told must be the truth")
    parser.add_argument("--lenient", action="store_true", help="a STATUS of the selected mailbox may lag behind")
    holding = parser.add_mutually_exclusive_group()
    holding.add_argument("--exclusive", action="store_true", help="give a mailbox up after a few commands (default)")
    holding.add_argument("--shared", dest="exclusive", action="store_false", help="stay longer")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(exclusive=True)
    return parser.parse_args()


def main():
    options = arguments()
    run = f"r{options.seed}-{time.time_ns():x}"
    report = Report()
    with concurrent.futures.ProcessPoolExecutor(options.processes) as pool:
        for part in pool.map(run_part, *zip(*((options, run, part) for part in range(options.processes)))):
            report.add(part)
    result = summary(report, options.seconds)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print_for_people(result)
    return 1 if report.error_count or report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
