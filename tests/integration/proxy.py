"""The proxy under test, and a relay that records what it says to a server."""
import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import threading

from common import LOOPBACK, SOURCE, Process, certificates, free_port, temp_folder, wait_until

BINARY = pathlib.Path(os.environ.get("IMAPMUX") or SOURCE / "build/release/proxy/imapmux")


class Proxy:
    """`imapmux serve` with a configuration of its own in front of one server.

    server: one of servers.py, or a Relay in front of one. mode: mailbox_access. tls: of the listener. backend,
    listener: more keys of these stanzas; top: more keys of the file.
    """

    def __init__(self, server, mode, tls="none", backend=None, listener=None, top=None, backend_tls=None):
        self.host = LOOPBACK
        self.port = free_port()
        self.tls = tls
        self.mode = mode
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
            self.process = Process([BINARY, "serve", "--config", self.file], self.folder / "output.log", cwd=self.folder)
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


# --- the relay -------------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class Event:
    connection: int
    who: str      # "proxy" (what was sent to the server), "server", or "end" (either side closed)
    line: bytes


class _Link:
    def __init__(self, number, near, far):
        self.number, self.near, self.far = number, near, far
        self.lines = {"proxy": _Lines(), "server": _Lines()}
        self.from_server = 0


class _Lines:
    """Cuts a stream into lines; literals are left out."""

    def __init__(self):
        self.buffer = b""
        self.skip = 0

    def feed(self, data):
        lines = []
        self.buffer += data
        while self.buffer:
            if self.skip:
                cut = min(self.skip, len(self.buffer))
                self.buffer, self.skip = self.buffer[cut:], self.skip - cut
                continue
            line, newline, rest = self.buffer.partition(b"\r\n")
            if not newline:
                break
            self.buffer = rest
            literal = re.search(rb"\{(\d+)\+?\}$", line)
            self.skip = int(literal.group(1)) if literal else 0
            lines.append(line)
        return lines


class Relay:
    """A TCP relay in front of a server that keeps every line of both directions in one order (`events`).

    cut_after: closes both sides of a connection once the server has sent so many bytes on it.
    """

    def __init__(self, server, cut_after=None):
        self.server = server
        self.host, self.port = LOOPBACK, free_port()
        self.tls, self.tls_port = False, None
        self.cut_after = cut_after
        self.events = []
        self.lock = threading.Lock()
        self.connections = 0
        self._openings = {}  # the first bytes the proxy sent on each connection: they say which user it is
        self._fatal_command = None

    def __enter__(self):
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((LOOPBACK, self.port), backlog=64)
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._waker.send(b"x")
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._waker.close()
        self._selector.close()

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj.fileno() >= 0:
                    self._pass_on(key.fileobj, *key.data)

    def _accept(self):
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection((self.server.host, self.server.port), timeout=10)
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.settimeout(30)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        link = _Link(self.connections, near, far)
        self._selector.register(near, selectors.EVENT_READ, ("proxy", link))
        self._selector.register(far, selectors.EVENT_READ, ("server", link))

    def _pass_on(self, source, who, link):
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if who == "server" and data:
            link.from_server += len(data)
            if self.cut_after and link.from_server > self.cut_after:
                data = data[:max(0, len(data) - (link.from_server - self.cut_after))]
                with contextlib.suppress(OSError):
                    link.near.sendall(data)
                data = b""
        # kept before it is sent on: who sees the effect finds the cause in `events`
        with self.lock:
            if who == "proxy":
                opening = self._openings.setdefault(link.number, bytearray())
                opening += data[:max(0, 2000 - len(opening))]
            self.events += [Event(link.number, who, line) for line in link.lines[who].feed(data)]
            if not data:
                self.events.append(Event(link.number, "end", b""))
        # a server that has done what it was asked and dies before it says so
        if data and who == "server" and self._answers_fatal_command(link, data):
            data = b""
        if data:
            try:
                (link.far if who == "proxy" else link.near).sendall(data)
                return
            except OSError:
                pass
        for one in (link.near, link.far):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()

    def drop_answers_to(self, command):
        """From now on the tagged answer to this command is kept back and the connection closed instead."""
        self._fatal_command = command.encode()

    def _answers_fatal_command(self, link, data):
        if not self._fatal_command:
            return False
        with self.lock:
            tags = [e.line.split(b" ")[0] for e in self.events if e.connection == link.number and e.who == "proxy"
                    and e.line.split(b" ")[1:2] and e.line.split(b" ")[1].upper() == self._fatal_command]
        return any(line.split(b" ")[0] in tags for line in data.split(b"\r\n") if line)

    def sent(self, connection=None):
        """The lines the proxy sent."""
        with self.lock:
            return [e.line for e in self.events if e.who == "proxy" and connection in (None, e.connection)]

    def show(self):
        with self.lock:
            return "\n".join(f"{e.connection} {e.who}: {e.line[:200].decode('utf-8', 'replace')}" for e in self.events)

    def _belongs_to(self, number, user):
        """Whether the connection logged in as this user, by LOGIN (quoted or literal) or a SASL mechanism."""
        opening = bytes(self._openings.get(number, b""))
        tokens = [opening]
        for token in re.findall(rb"[A-Za-z0-9+/=]{16,}", opening):
            with contextlib.suppress(ValueError):
                tokens.append(base64.b64decode(token, validate=True))
        return any(user.name.encode() in token for token in tokens)

    def overlaps(self, user, mailbox):
        """Times at which two connections had the user's mailbox open at once, as the server must have seen it.

        A connection has it open from the moment the SELECT or EXAMINE is sent until the server has answered the
        command that ends it, or the connection has ended.
        """
        holders, pending, found = {}, {}, []
        with self.lock:
            mine = {number for number in self._openings if self._belongs_to(number, user)}
            events = [event for event in self.events if event.connection in mine]
        for index, event in enumerate(events):
            number = event.connection
            if event.who == "end":
                holders.pop(number, None)
                pending.pop(number, None)
            elif event.who == "proxy":
                words = event.line.decode("utf-8", "replace").split(" ", 3)
                if len(words) < 2:
                    continue
                command = words[1].upper()
                if command in ("SELECT", "EXAMINE") and len(words) > 2:
                    if words[2].strip('"').lower() == mailbox.lower():
                        holders[number] = index
                        # what was sent on other connections before may still end there: an EOF that follows at once
                        others = [n for n in holders if n != number and not self._ends_at_once(events, index, n)]
                        found += [f"event {index}: connection {number} opens {mailbox}, which {n} has open" for n in others]
                        pending[number] = (words[0], "open")
                    elif number in holders:
                        pending[number] = (words[0], "close")
                elif command in ("CLOSE", "UNSELECT", "LOGOUT") and number in holders:
                    pending[number] = (words[0], "close")
            elif number in pending:
                tag, kind = pending[number]
                words = event.line.decode("utf-8", "replace").split(" ", 2)
                if words[0] == tag:
                    del pending[number]
                    opened = len(words) > 1 and words[1].upper() == "OK"
                    if kind == "close" or not opened:
                        holders.pop(number, None)
        return found

    @staticmethod
    def _ends_at_once(events, index, number):
        """Both may arrive in one turn of the relay: the end of one connection and the next command of another."""
        for event in events[index + 1:index + 3]:
            if event.connection == number:
                return event.who == "end"
        return False
