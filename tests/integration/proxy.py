"""The proxy under test."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket

from common import LOOPBACK, SOURCE, Process, certificates, free_port, temp_folder, wait_until

BINARY = pathlib.Path(os.environ.get("IMAPMUX") or SOURCE / "build/release/proxy/imapmux")


class Proxy:
    """`imapmux serve` with a configuration of its own in front of one server.

    server: one of servers.py, or a Relay in front of one. mode: mailbox_access. tls: of the listener. backend,
    listener: more keys of these stanzas; top: more keys of the file. program: what is run, if not just the
    binary (strace …).
    """

    def __init__(self, server, mode, tls="none", backend=None, listener=None, top=None, backend_tls=None, program=None):
        self.host = LOOPBACK
        self.port = free_port()
        self.tls = tls
        self.mode = mode
        self.program = program or [BINARY]
        if backend_tls is None:
            backend_tls = "starttls" if getattr(server, "tls", False) else "none"
        stanza = {"servers": [f"localhost:{server.tls_port if backend_tls == 'implicit' else server.port}"],
                  "tls": backend_tls, "mailbox_access": mode, "connections_per_user": 20, "poll_interval": "1s",
                  "lease_wait": "20s"}
        if backend_tls == "none":
            stanza["servers"] = [f"{LOOPBACK}:{server.port}"]
        else:
            stanza["ca"] = str(certificates().ca)
        stanza.update(backend or {})
        self.configuration = {
            "workers": 1, "log": {"level": "debug"}, "limits": {"auth_failure_delay": "50ms"},
            "listeners": [{"name": name, "bind": f"{host}:{self.port}", "tls": tls, **(listener or {})}
                          for name, host in self._hosts()],
            "backends": {"server": stanza}, "routes": [{"backend": "server"}], **(top or {})}
        if tls != "none":
            self.configuration["certificates"] = [{"names": ["localhost"], "certificate": str(certificates().certificate),
                                                   "private_key": str(certificates().key)}]
        self._stack = contextlib.ExitStack()

    def _hosts(self):
        """Clients that verify a certificate connect to `localhost`, which some machines take for ::1 first."""
        yield "imap", LOOPBACK
        if self.tls == "none":
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", self.port))
            yield "imap6", "[::1]"

    def __enter__(self):
        try:
            if not BINARY.exists():
                raise AssertionError(f"no {BINARY}: build it, or name it in IMAPMUX")
            self.folder = self._stack.enter_context(temp_folder("proxy"))
            self.file = self.folder / "imapmux.yaml"
            self.write(self.configuration)
            self.process = Process([*self.program, "serve", "--config", self.file], self.folder / "output.log",
                                   cwd=self.folder)
            self.process.wait_for_port(self.port)
            return self
        except BaseException:
            self._stack.close()
            raise

    def write(self, configuration):
        """JSON is YAML; one key of the top level per line."""
        self.file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in configuration.items()))

    def __exit__(self, kind, *_):
        with self._stack:
            died = not self.process.running()
            status = self.process.stop(grace=15)
            log = self.process.log()
            if kind is None:
                if died:
                    raise AssertionError(f"the proxy ended by itself with {status}\n{log[-6000:]}")
                if status != 0:
                    raise AssertionError(f"the proxy's exit status after SIGTERM is {status}\n{log[-6000:]}")
                if re.search(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:|Assertion .* failed", log):
                    raise AssertionError(f"the proxy complains\n{log[-8000:]}")

    def log(self):
        return self.process.log()

    def wait_for_log(self, pattern, timeout=10):
        return wait_until(lambda: re.search(pattern, self.log()), timeout, f"{pattern!r} in the log:\n" + self.log()[-3000:])

    def reload(self):
        self.process.signal(signal.SIGHUP)
