"""Starts a proxy as a setting wants it, and does the setting's works."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import conversation
import counted_proxy
import traced_proxy
import work

# Nothing happens by itself.
CONFIGURATION = """
workers: {workers}
log: {{level: warn}}
limits: {{max_clients: 1000, idle_keepalive: 1h}}
{certificates}
listeners:
  - {{name: quick, bind: "127.0.0.1:{port}", tls: {tls}}}
backends:
  canned:
    servers: ["127.0.0.1:{backend}"]
    tls: none
    mailbox_access: {access}
    linger: 1h
    account_linger: 1h
    poll_interval: 1h
    health_check: "off"
routes:
  - {{backend: canned}}
"""


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
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return proxy.settle()
        time.sleep(0.1)
    raise SystemExit("imapmux does not listen")


@contextlib.contextmanager
def started(kind, binary, setting):
    """A world with a proxy in it. kind: CountedProxy or TracedProxy."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        backend = conversation.Backend()
        port = free_port()
        text = CONFIGURATION.format(
            workers=setting.workers, port=port, backend=backend.port, access=setting.access,
            tls="implicit" if setting.tls else "none", certificates=certificate(folder) if setting.tls else "")
        proxy = kind(binary, text, folder)
        try:
            wait_for(port, proxy)
            yield conversation.World(proxy, backend, port, setting.tls and folder / "cert.pem")
        finally:
            proxy.stop()


def row_of(count):
    """As it is recorded."""
    return {"times": count.operations,
            "instructions": {name: round(value, 1) for name, value in count.instructions().items() if abs(value) > 1},
            "calls": {name: round(value, 3) for name, value in count.calls.items() if abs(value) > 0.004},
            "allocations": round(count.allocations, 2)}


def count_all(binary, setting, works, profiles):
    """What each of the works costs when it is done once more."""
    with started(counted_proxy.CountedProxy, binary, setting) as world:
        session = work.Session(world)
        for one in works:
            one.function(session, one.warming)
        world.proxy.count()
        counts = {}
        for one in works:
            one.function(session, one.times)
            once = world.proxy.count()
            one.function(session, 2 * one.times)
            name = f"{setting.name}: {one.name}"
            counts[name] = world.proxy.count().beyond(once, one.times)
            if profiles:
                shutil.copy(world.proxy.profile(), profiles / f"{name}, {2 * one.times} times".replace(" ", "_"))
        return counts


def count_futex(binary, setting, works, profiles):
    """The same of futex calls alone, at full speed: valgrind runs one thread at a time, and none waits for another."""
    with started(traced_proxy.TracedProxy, binary, setting) as world:
        session = work.Session(world)
        counts = {}
        for one in works:
            one.function(session, one.warming)
            before = world.proxy.count()
            one.function(session, one.times)
            calls = (world.proxy.count() - before) / one.times
            counts[f"{setting.name}: {one.name}"] = counted_proxy.Count(calls={"futex": calls}, operations=one.times)
        return counts


def measure(binary, setting, works, profiles):
    """Name -> Count of the works of one setting."""
    return {"all": count_all, "futex": count_futex}[setting.counts](binary, setting, works, profiles)
