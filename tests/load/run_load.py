#!/usr/bin/env python3
"""The load test: many clients through the proxy, in front of a server that bears one session per mailbox.

    IMAPMUX=build/release/proxy/imapmux run_load.py refused [--seconds 20] [--access exclusive|shared]

The demo server counts every access that the proxy should have prevented. The same load straight at the server must
show some, or the check proves nothing.
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
# What the demo server grants a user, and the proxy is told. A user has five clients.
CONNECTIONS = {"exclusive": 20, "shared": 2}
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
    lease_wait: 60s
    connections_per_user: {connections}
routes:
  - {{backend: legacy}}
"""


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
def proxy(imapmux, backend, access):
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        file = pathlib.Path(directory, "imapmux.yaml")
        file.write_text(CONFIGURATION.format(port=port, backend=backend, access=access,
                                             connections=CONNECTIONS[access]))
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


def load(port, seconds, seed, access):
    """The load's report."""
    command = [sys.executable, HERE / "load.py", "--port", str(port), "--seconds", str(seconds), "--seed", str(seed),
               f"--{access}", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 240, check=False)
    return json.loads(done.stdout)


def problems_through_the_proxy(result, verdict):
    if verdict.get("status") != 0:
        yield f"the demo server ended with status {verdict.get('status')}"
    if verdict.get("violations", {}).get("total") != 0:
        yield f"violations: {verdict.get('violations')}"
    if result["protocol_errors"]:
        yield f"{result['protocol_errors']} protocol errors"
    if result["lost_or_doubled"]:
        yield f"{len(result['lost_or_doubled'])} mailboxes with messages lost or doubled"
    if result["in_use"]["other"]:
        yield f"{result['in_use']['other']} times NO [INUSE] that was no cycle"
    limit = 10 * result["median_ms"] + 5000
    if result["longest_ms"] > limit:
        yield f"the longest wait was {result['longest_ms']} ms, more than {limit:.0f} ms"
    if result["commands_per_second"] < 100:
        yield f"only {result['commands_per_second']} commands/s: the load did not take place"


def show(title, result, verdict):
    print(f"{title}: {result['commands']} commands, {result['commands_per_second']}/s, median "
          f"{result['median_ms']} ms, p99 {result['p99_ms']} ms, longest {result['longest_ms']} ms, "
          f"[INUSE] {result['in_use']}, {result['protocol_errors']} protocol errors, "
          f"violations {verdict.get('violations')}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=QUIRKS)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("IMAPMUX_LOAD_SECONDS", "20")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--access", choices=["exclusive", "shared"], default="exclusive")
    options = parser.parse_args()
    imapmux = os.environ["IMAPMUX"]
    quirks = f"{QUIRKS[options.mode]},max_user={CONNECTIONS[options.access]}"

    with demo_server(imapmux, quirks) as (backend, without):
        result = load(backend, min(options.seconds, 5), options.seed, options.access)
    show("without the proxy", result, without)
    problems = [] if without.get("violations", {}).get("total", 0) > 0 else ["no violation without the proxy"]

    with demo_server(imapmux, quirks) as (backend, verdict):
        with proxy(imapmux, backend, options.access) as port:
            result = load(port, options.seconds, options.seed, options.access)
    show("through the proxy", result, verdict)
    problems += problems_through_the_proxy(result, verdict)

    for error in result["errors"]:
        print(f"\n{error['client']}: {error['error']}", *error["transcript"], sep="\n  ")
    print(*result["refusals"], *result["lost_or_doubled"][:20], sep="\n")
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
