#!/usr/bin/env python3
"""Measures what many clients, large mailboxes and far servers cost, against the goals set for them.

Run it by script/bench scale, which builds everything. Everything listens on loopback and ends with this program.
"""
import argparse
import os
import platform
import sys
import time

import scale_crowd
import scale_servers
from bench import write_section
from scale_rig import Report

SCENARIOS = {
    "shared": ("a hundred clients in one mailbox, against Dovecot itself", scale_servers.shared),
    "memory": ("memory of clients and of large mailboxes", scale_crowd.memory),
    "select": ("SELECT of a mailbox that is open", scale_crowd.select),
    "mbsync": ("mbsync's first sync with a server 50 ms away", scale_servers.mbsync),
    "workers": ("two workers against one", scale_crowd.workers),
    "idle": ("thousands in IDLE, and a message for each", scale_crowd.idle),
    "clients": ("cost of a command with ten to thousands of clients of a mailbox", scale_crowd.clients),
    "users": ("cost of a command with ten to a thousand users", scale_crowd.users),
    "mailboxes": ("cost of a command with ten to a thousand open mailboxes of a user", scale_crowd.mailboxes),
    "ghosts": ("cost of a command with expunged messages that a client has not been told of", scale_crowd.ghosts),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO",
                        help=f"of {', '.join(SCENARIOS)}; default: all, a quarter of an hour")
    parser.add_argument("--small", action="store_true", help="smaller sizes, fewer repeats: to see that it runs")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    if unknown := set(options.scenario) - set(SCENARIOS):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}")
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, {time.strftime('%Y-%m-%d')}."
    for name in options.scenario or SCENARIOS:
        title, run = SCENARIOS[name]
        report = Report()
        run(report, options.small)
        print(f"## Scale: {name}: {title}\n\n{report}\n", flush=True)
        if options.write:
            write_section(f"Scale: {name}:", f"## Scale: {name}: {title}\n{machine}\n\n{report}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
