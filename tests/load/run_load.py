#!/usr/bin/env python3
"""The load test: many clients through the proxy, in front of a server that bears one session per mailbox.

    IMAPMUX=build/release/proxy/imapmux run_load.py refused [--seconds 10] [--access exclusive|shared] [--connections K]

The demo server counts every access that the proxy should have prevented. The same load straight at the server must
show some, or the check proves nothing.

Both accesses get the same load, so that their figures can be compared; in `shared` access there is a second one, of
clients that stay longer in a mailbox. What each run measured is kept in the file that IMAPMUX_LOAD_FIGURES names, if
any, and printed beside the next one.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
CONNECTIONS = 20  # what the demo server grants a user, and the proxy is told; a user has five clients
QUIRKS = {
    "refused": "second_session=refused",
    "severs": "second_session=severs",
    "read_only": "second_session=read_only",
    "status_kills": "second_session=refused,status=kills",
    "status_stale": "second_session=refused,status=stale",
    # A server with RFC 3501 and nothing else, and some distance.
    "bare": "second_session=severs,status=kills,no_unselect,no_idle,no_literal_plus,no_uidplus,no_move,latency_ms=2",
}
CONFIGURATION = """
workers: 2
limits: {{max_clients: 1000}}
log: {{level: warn}}
listeners:
  - {{name: imap, bind: "127.0.0.1:{port}", tls: none}}
backends:
  legacy:
    servers: ["127.0.0.1:{backend}"]
    tls: none
    mailbox_access: {access}
    {turns}
    lease_wait: 60s
    connections_per_user: {connections}
routes:
  - {{backend: legacy}}
"""


# Where clients take turns in a mailbox, what each of them may wait for adds up.
TURNS = {"exclusive": "yield_after: 300ms\n    max_hold: 1s\n    min_hold: 100ms", "shared": ""}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(process):
    """SIGTERM, and SIGKILL for what does not end; what it printed, and its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        print(f"{process.args[1]} did not end on SIGTERM", file=sys.stderr)
    return output, process.returncode


@contextlib.contextmanager
def demo_server(imapmux, quirks):
    """Yields the port, and fills in the violations when the block ends."""
    process = subprocess.Popen([imapmux, "demo-server", "--port", "0", "--quirks", quirks, "--any-user",
                                "--mailboxes", "5"], stdout=subprocess.PIPE, text=True)
    verdict = {}
    try:
        first = process.stdout.readline()
        if not first.startswith("listening on "):
            raise RuntimeError(f"demo-server said {first!r}")
        yield int(first.rsplit(":", 1)[1]), verdict
    finally:
        output, status = stop(process)
        verdict["status"] = status
        if output.strip():
            verdict.update(json.loads(output.strip().splitlines()[-1]))


@contextlib.contextmanager
def proxy(imapmux, backend, options):
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        file = pathlib.Path(directory, "imapmux.yaml")
        file.write_text(CONFIGURATION.format(port=port, backend=backend, access=options.access,
                                             connections=options.connections, turns=TURNS[options.access]))
        process = subprocess.Popen([imapmux, "serve", "--config", file])
        try:
            wait_until_listening(process, port)
            yield port
        finally:
            _, status = stop(process)
            if status:
                raise RuntimeError(f"the proxy ended with status {status}")


def wait_until_listening(process, port):
    for _ in range(100):
        if process.poll() is not None:
            raise RuntimeError(f"the proxy ended with status {process.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError("the proxy does not listen")


def load(port, seconds, options, *more):
    """The load's report."""
    command = [sys.executable, HERE / "load.py", "--port", str(port), "--seconds", str(seconds),
               "--seed", str(options.seed), "--json", *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 240, check=False)
    return json.loads(done.stdout)


def problems_of(server):
    if server.get("status") != 0:
        yield f"the demo server ended with status {server.get('status')}"
    if server.get("violations", {}).get("total") != 0:
        yield f"violations: {server.get('violations')}"


def problems_through_the_proxy(result, access):
    if result["protocol_errors"]:
        yield f"{result['protocol_errors']} protocol errors"
    if result["lost_or_doubled"]:
        yield f"{len(result['lost_or_doubled'])} mailboxes with messages lost or doubled, or views that did not converge"
    if result["in_use"]["other"]:
        yield f"{result['in_use']['other']} times NO [INUSE] that was no cycle"
    # The clients of one user share their mailboxes, and users share nothing: nobody is in anybody's way.
    if access == "shared" and result["in_use"]["cycle"]:
        yield f"{result['in_use']['cycle']} times NO [INUSE] between clients of one user"
    limit = 10 * result["median_ms"] + 5000
    if result["longest_ms"] > limit:
        yield f"the longest wait was {result['longest_ms']} ms, more than {limit:.0f} ms"
    if result["commands_per_second"] < 100:
        yield f"only {result['commands_per_second']} commands/s: the load did not take place"


FIGURES = ("commands", "commands_per_second", "median_ms", "p99_ms", "longest_ms")


def show(title, figures, more=""):
    print(f"{title:46} {figures['commands']:6} commands, {figures['commands_per_second']:5}/s, median "
          f"{figures['median_ms']:7} ms, p99 {figures['p99_ms']:8} ms, longest {figures['longest_ms']:8} ms{more}", flush=True)


def show_run(title, result):
    show(title, result, f", [INUSE] {sum(result['in_use'].values())}, {result['protocol_errors']} protocol errors")
    for error in result["errors"]:
        print(f"\n{error['client']}: {error['error']}", *error["transcript"], sep="\n  ")
    print(*result["refusals"], *result["lost_or_doubled"][:20], sep="\n", end="")


def beside_the_others(mode, title, result):
    """Keeps the figures of this run, and shows them beside those of former runs of this mode."""
    file = pathlib.Path(os.environ.get("IMAPMUX_LOAD_FIGURES") or os.devnull)
    known = json.loads(file.read_text() or "{}") if file.is_file() else {}
    known.setdefault(mode, {})[title] = {name: result[name] for name in FIGURES}
    if file != pathlib.Path(os.devnull):
        file.write_text(json.dumps(known, indent=1))
    print(f"\n{mode}, the same load, each as it was measured last:")
    for other, figures in sorted(known[mode].items()):
        show("  " + other, figures)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=QUIRKS)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("IMAPMUX_LOAD_SECONDS", "10")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--access", choices=["exclusive", "shared"], default="exclusive")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="connections_per_user, on both sides")
    options = parser.parse_args()
    imapmux = os.environ["IMAPMUX"]
    quirks = f"{QUIRKS[options.mode]},max_user={options.connections}"

    with demo_server(imapmux, quirks) as (backend, without):
        show("without the proxy", load(backend, min(options.seconds, 4), options))
    print(f"violations {without.get('violations')}")
    problems = [] if without.get("violations", {}).get("total", 0) > 0 else ["no violation without the proxy"]

    # Nobody waits for anybody to leave a mailbox: so clients stay as long as real ones do, too.
    runs = {"exclusive": [(), ("--shared",)], "shared": [("--converge",), ("--converge", "--shared")]}[options.access]
    results = []
    with demo_server(imapmux, quirks) as (backend, verdict):
        with proxy(imapmux, backend, options) as port:
            for more in runs:
                result = load(port, options.seconds / len(runs), options, *more)
                show_run("through the proxy" + (", long stays" if "--shared" in more else ""), result)
                problems += problems_through_the_proxy(result, options.access)
                results.append(result)
    print(f"violations {verdict.get('violations')}")
    problems += problems_of(verdict)
    title = options.access + (f", {options.connections} connection(s) per user" if options.connections != CONNECTIONS else "")
    beside_the_others(options.mode, title, results[0])

    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
