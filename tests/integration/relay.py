"""A relay between proxy and server that keeps what both say, and checks of that record.

The record is a list of events in one order. check() finds what a server that bears one session per mailbox would have
punished; it needs no socket, and test_relay.py shows that it can find it.
"""
import base64
import contextlib
import dataclasses
import re
import selectors
import socket
import threading
import time

from common import LOOPBACK, free_port


@dataclasses.dataclass
class Event:
    connection: int
    who: str      # "proxy" (what was sent to the server), "server", or "end" (either side closed)
    line: bytes   # without its CRLF and without literals
    time: float = 0.0


# --- the check -------------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class Problem:
    kind: str     # "two sessions", "status", "append", "copy", "restructure", "list-status", "too many connections"
    mailbox: str
    index: int    # of the event
    text: str
    holder: int = 0  # the connection that had it open

    def __str__(self):
        return f"event {self.index}: {self.text}"


NAME = re.compile(r'"((?:[^"\\]|\\.)*)"|([^ ()"]+)')


def mailbox_name(text):
    """The first mailbox name of the text, as a key; None if there is none (it is a literal)."""
    match = NAME.match(text)
    if not match or match[0].startswith("{"):
        return None
    name = re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
    return "INBOX" if name.upper() == "INBOX" else name


class _Session:
    """What is known of one connection."""

    def __init__(self):
        self.selected = None   # may be open, from the moment the SELECT is sent to the answer that closes it
        self.commands = {}     # tag -> (command, mailboxes) that are not answered


class Check:
    """Goes through the events of one user's connections."""

    def __init__(self, events, most_connections=None):
        self.problems = []
        self.sessions = {}
        self.statistics = {"connections": 0, "most connections": 0, "commands": 0}
        self._events = events
        self._most = most_connections
        for index, event in enumerate(events):
            self._step(index, event)

    def step(self, event):
        """One more event: what a server sees as it happens."""
        self._events.append(event)
        self._step(len(self._events) - 1, event)

    def _step(self, index, event):
        if event.who == "end":
            self.sessions.pop(event.connection, None)
            return
        if event.connection not in self.sessions:
            self.sessions[event.connection] = _Session()
            self.statistics["connections"] += 1
            now = len([n for n in self.sessions if n == event.connection or not self._ends_at_once(index, n)])
            self.statistics["most connections"] = max(self.statistics["most connections"], now)
            if self._most and now > self._most:
                self._found(index, "too many connections", "", f"{now} connections at once")
        line = event.line.decode("utf-8", "replace")
        if event.who == "proxy":
            self._sent(index, event.connection, line)
        else:
            self._answered(self.sessions[event.connection], line)

    def _sent(self, index, number, line):
        match = re.match(r"(\S+) (UID )?(\w+) ?(.*)", line, re.I)
        if not match:
            return  # DONE, the rest of a command behind a literal
        tag, uid, command, rest = match[1], match[2], match[3].upper(), match[4]
        self.statistics["commands"] += 1
        session = self.sessions[number]
        names = []
        if command in ("SELECT", "EXAMINE", "STATUS", "APPEND", "DELETE"):
            names = [mailbox_name(rest)]
        elif command in ("COPY", "MOVE"):
            names = [mailbox_name(rest.partition(" ")[2])]
        elif command == "RENAME":
            first = NAME.match(rest)
            names = [mailbox_name(rest), mailbox_name(rest[first.end() + 1:] if first else "")]
        elif command in ("LIST", "LSUB") and re.search(r"RETURN \(.*STATUS", rest, re.I):
            self._found(index, "list-status", "", f"connection {number}: {line}")
        session.commands[tag] = (command, names)
        for name in filter(None, names):
            self._accessed(index, number, command, name, line)
        if command in ("SELECT", "EXAMINE"):
            self._opened_meanwhile(index, number, names[0])
            # what was open until now is closed with the answer, whatever it is; both count until then
            session.commands[tag] = (command, [names[0], session.selected])
            session.selected = names[0]

    def _accessed(self, index, number, command, name, line):
        """A command that opens `name` is sent: who has it open?"""
        kind = {"SELECT": "two sessions", "EXAMINE": "two sessions", "STATUS": "status", "APPEND": "append", "COPY": "copy",
                "MOVE": "copy"}.get(command, "restructure")
        for other, session in self.sessions.items():
            if name not in self._open_in(session) or (other != number and self._ends_at_once(index, other)):
                continue
            # a session may append and copy to the mailbox it has open, and open it again
            if other == number and kind not in ("status", "restructure"):
                continue
            self._found(index, kind, name, f"connection {number}: {line} while {other} has it open", other)

    def _opened_meanwhile(self, index, number, name):
        """A SELECT while a STATUS, APPEND or COPY of the same mailbox is under way elsewhere."""
        for other, session in self.sessions.items():
            for command, names in session.commands.values():
                if other != number and command in ("STATUS", "APPEND", "COPY", "MOVE") and name in names \
                        and not self._ends_at_once(index, other):
                    kind = {"STATUS": "status", "APPEND": "append"}.get(command, "copy")
                    self._found(index, kind, name, f"connection {number} opens {name} while {other} runs {command}", other)

    @staticmethod
    def _open_in(session):
        closing = [names[1] for command, names in session.commands.values() if command in ("SELECT", "EXAMINE") and names[1:]]
        return [name for name in (session.selected, *closing) if name]

    @staticmethod
    def _answered(session, line):
        tag, _, rest = line.partition(" ")
        if tag not in session.commands:
            return
        command, names = session.commands.pop(tag)
        status = rest[:3].upper().strip()
        if command in ("SELECT", "EXAMINE"):
            later = [c for c, _ in session.commands.values() if c in ("SELECT", "EXAMINE")]
            if status == "NO" and not later:
                session.selected = None
            elif status == "BAD" and not later:
                session.selected = names[1]
        elif (command in ("CLOSE", "UNSELECT") and status == "OK") or command == "LOGOUT":
            session.selected = None

    def _found(self, index, kind, mailbox, text, holder=0):
        self.problems.append(Problem(kind, mailbox, index, text, holder))

    def _ends_at_once(self, index, number):
        """Both may arrive in one turn of the relay: the end of one connection and the next command of another."""
        for event in self._events[index + 1:index + 4]:
            if event.connection == number:
                return event.who == "end"
        return False


def check(events, most_connections=None):
    """The problems in the record of one user's connections."""
    return Check(events, most_connections).problems


# --- the relay -------------------------------------------------------------------------------------------------------
class Lines:
    """Cuts a stream into lines; literals are left out."""

    def __init__(self):
        self.buffer = b""
        self.skip = 0
        self.asked = None  # the tag of a command with a literal that waits for `+`

    def feed(self, data):
        lines = []
        self.buffer += data
        while self.buffer:
            if self.skip:
                cut = min(self.skip, len(self.buffer))
                self.buffer, self.skip, self.asked = self.buffer[cut:], self.skip - cut, None
                continue
            line, newline, rest = self.buffer.partition(b"\r\n")
            if not newline:
                break
            self.buffer = rest
            literal = re.search(rb"\{(\d+)(\+?)\}$", line)
            self.skip = int(literal.group(1)) if literal else 0
            self.asked = line.split(b" ")[0] if literal and not literal.group(2) else None
            lines.append(line)
        return lines

    def answered(self, tag):
        """The other side answers a command: where it was asked for a literal, none follows."""
        if self.asked == tag:
            self.skip, self.asked = 0, None


class _Link:
    def __init__(self, number, near, far):
        self.number, self.near, self.far = number, near, far
        self.lines = {"proxy": Lines(), "server": Lines()}
        self.from_server = 0


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
        self._record(who, link, data)
        # a server that has done what it was asked and dies before it says so
        if data and who == "server" and self._answers_fatal_command(link, data):
            data = b""
        if data and self._keeps_back(link):
            return
        if data:
            try:
                (link.far if who == "proxy" else link.near).sendall(data)
                return
            except OSError:
                pass
        self._drop(link)

    def _drop(self, link):
        for one in (link.near, link.far):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()

    def _keeps_back(self, link):
        return False

    def _record(self, who, link, data):
        """Before it is sent on: who sees the effect finds the cause in `events`."""
        now = time.monotonic()
        with self.lock:
            if who == "proxy":
                opening = self._openings.setdefault(link.number, bytearray())
                opening += data[:max(0, 2000 - len(opening))]
            for line in link.lines[who].feed(data):
                self.events.append(Event(link.number, who, line, now))
                if who == "server":
                    link.lines["proxy"].answered(line.split(b" ")[0])
            if not data:
                self.events.append(Event(link.number, "end", b"", now))

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

    def show(self, events=None, around=None):
        """The record as text; `around`: what stands near this index of it."""
        with self.lock:
            events = list(self.events if events is None else events)
        part = events if around is None else events[max(0, around - 40):around + 10]
        return "\n".join(f"{e.time:.3f} {e.connection} {e.who}: {e.line[:200].decode('utf-8', 'replace')}" for e in part)

    def record(self, user):
        """The events of the connections that logged in as this user."""
        with self.lock:
            mine = {number for number in self._openings if self._belongs_to(number, user)}
            return [event for event in self.events if event.connection in mine]

    def _belongs_to(self, number, user):
        """Whether the connection logged in as this user, by LOGIN (quoted or literal) or a SASL mechanism."""
        opening = bytes(self._openings.get(number, b""))
        tokens = [opening]
        for token in re.findall(rb"[A-Za-z0-9+/=]{16,}", opening):
            with contextlib.suppress(ValueError):
                tokens.append(base64.b64decode(token, validate=True))
        return any(user.name.encode() in token for token in tokens)

    def problems(self, user, most_connections=None):
        """What check() finds, each with what stands near it."""
        record = self.record(user)
        return [f"{problem}\n{self.show(record, problem.index)}" for problem in check(record, most_connections)]

    def overlaps(self, user, mailbox):
        """Times at which two connections had the user's mailbox open at once, as the server must have seen it."""
        return [str(problem) for problem in check(self.record(user))
                if problem.kind == "two sessions" and problem.mailbox == mailbox_name(mailbox)]


class SeveringRelay(Relay):
    """Makes of any server one that bears a single session per mailbox, as UW's imapd does: who comes second severs the
    first, out of IDLE and in the middle of a command. It knows of the mailboxes whose names begin with `prefix`.
    """

    def __init__(self, server, prefix):
        super().__init__(server)
        self.prefix = prefix
        self.severed = []  # what each was severed by
        self._live = Check([])
        self._links = {}

    def _record(self, who, link, data):
        begin = len(self.events)
        super()._record(who, link, data)
        self._links[link.number] = link
        for event in self.events[begin:]:
            known = len(self._live.problems)
            self._live.step(event)
            for problem in self._live.problems[known:]:
                if problem.mailbox.startswith(self.prefix):
                    self._sever(problem)

    def _sever(self, problem):
        self.severed.append(str(problem))
        link = self._links.get(problem.holder)
        if link:
            with contextlib.suppress(OSError):
                link.near.sendall(b"* BYE Killed (lost mailbox lock)\r\n")
            self._drop(link)


class SilentRelay(Relay):
    """A path that is interrupted without a word: silence() keeps everything back on the connections there are, and, if
    told so, on new ones."""

    def __init__(self, server):
        super().__init__(server)
        self._silent = set()
        self._all = False

    def silence(self, new_ones_too=False):
        with self.lock:
            self._silent = set(range(self.connections + 1))
            self._all = new_ones_too

    def speak(self):
        """New connections get through again; the old ones stay what they are."""
        with self.lock:
            self._all = False

    def _accept(self):
        super()._accept()
        if self._all:
            self._silent.add(self.connections)

    def _keeps_back(self, link):
        return link.number in self._silent
