"""A mail client, a backend and the proxy between them, in lockstep: one thing happens at a time, and the next one when
the proxy has done all that the last one made it do. So the proxy always does the same, on any machine, busy or not."""

import re
import socket
import ssl
import time
import zlib

MESSAGES = 1000
BODY = b"Subject: one of many\r\n\r\n" + b"x" * 1000
assert len(BODY) == 1024
CHUNK = 48 * 1024  # what a backend says at once: less than the window of a fresh connection
CAPABILITIES = b"IMAP4rev1 LITERAL+ UNSELECT UIDPLUS IDLE"
FLAGS = b"\\Answered \\Flagged \\Deleted \\Seen \\Draft"


def uid_of(number):
    """Messages have been expunged here and there: every 50th UID is missing."""
    return 100 + number + (number - 1) // 50


NUMBERS = {uid_of(number): number for number in range(1, MESSAGES + 1)}


def messages_of(sequence_set, uid):
    """Numbers of the messages in a sequence set."""
    last = uid_of(MESSAGES) if uid else MESSAGES
    found = []
    for part in sequence_set.split(b","):
        ends = [last if end == b"*" else int(end) for end in part.split(b":")]
        span = range(min(ends), min(max(ends), last) + 1)
        found += [NUMBERS[one] for one in span if one in NUMBERS] if uid else span
    return found


class Answers:
    """What a backend says to a command. Its mailboxes are all alike."""

    def __init__(self):
        self.known = {}  # listings are long; they are made once

    def to(self, line):
        tag, verb, rest = (line.split(b" ", 2) + [b""])[:3]
        verb = verb.upper()
        uid = verb == b"UID"
        if uid:
            verb, _, rest = rest.partition(b" ")
            verb = verb.upper()
        if verb == b"FETCH":
            return self.fetch(rest, uid) + tag + b" OK done\r\n"
        if verb == b"IDLE":
            return b"+ idling\r\n"
        if verb in (b"SELECT", b"EXAMINE"):
            return (b"* FLAGS (%s)\r\n* %d EXISTS\r\n* 0 RECENT\r\n* OK [PERMANENTFLAGS (%s \\*)] ok\r\n"
                    b"* OK [UIDVALIDITY %d] ok\r\n* OK [UIDNEXT %d] ok\r\n%s OK [READ-WRITE] done\r\n"
                    % (FLAGS, MESSAGES, FLAGS, zlib.crc32(rest) // 2 + 1, uid_of(MESSAGES) + 1, tag))
        untagged = {b"LIST": b'* LIST () "/" ""\r\n', b"LOGOUT": b"* BYE see you\r\n",
                    b"NAMESPACE": b'* NAMESPACE (("" "/")) NIL NIL\r\n',
                    b"CAPABILITY": b"* CAPABILITY %s\r\n" % CAPABILITIES}
        if verb == b"LOGIN":
            return b"%s OK [CAPABILITY %s] welcome\r\n" % (tag, CAPABILITIES)
        return untagged.get(verb, b"") + tag + b" OK done\r\n"

    def fetch(self, arguments, uid):
        if (arguments, uid) not in self.known:
            self.known[arguments, uid] = self.make_fetch(arguments, uid)
        return self.known[arguments, uid]

    @staticmethod
    def make_fetch(arguments, uid):
        sequence_set, _, items = arguments.partition(b" ")
        items = items.upper()
        lines = []
        for number in messages_of(sequence_set, uid):
            parts = [b"UID %d" % uid_of(number)] if uid or b"UID" in items else []
            if b"FLAGS" in items:
                parts.append(b"FLAGS (\\Seen)")
            if partial := re.search(rb"BODY(?:\.PEEK)?\[(\w*)\](?:<0\.(\d+)>)?", items):
                body = b"x" * int(partial[2]) if partial[2] else BODY
                parts.append(b"BODY[%s]%s {%d}\r\n%s" % (partial[1], b"<0>" if partial[2] else b"", len(body), body))
            lines.append(b"* %d FETCH (%s)\r\n" % (number, b" ".join(parts)))
        return b"".join(lines)


class Backend:
    """Listens, and answers what it is told when it is asked to (attend)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.connections = {}  # socket -> what it got and has not answered
        self.idle = {}         # socket -> tag of its IDLE
        self.answers = Answers()

    def attend(self, proxy, everybody):
        """Takes what has come, answers it in pieces, each of them when the proxy has digested the last one."""
        busy = True
        while busy:
            busy = self.accept(proxy)
            for connection in list(self.connections):
                busy = self.answer(connection, proxy, everybody) or busy

    def accept(self, proxy):
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.connections[connection] = b""
        connection.sendall(b"* OK [CAPABILITY %s] ready\r\n" % CAPABILITIES)
        proxy.settle()
        return True

    def answer(self, connection, proxy, everybody):
        try:
            octets = connection.recv(1 << 20)
        except BlockingIOError:
            return False
        if not octets:
            self.close(connection, proxy)
            return True
        lines = (self.connections[connection] + octets).split(b"\r\n")
        self.connections[connection] = lines.pop()
        answers = b"".join(self.answer_to(line, connection) for line in lines)
        for start in range(0, len(answers), CHUNK):
            connection.sendall(answers[start:start + CHUNK])
            proxy.settle()
            everybody()
        if b"* BYE" in answers:
            self.close(connection, proxy)
        return True

    def answer_to(self, line, connection):
        if line.upper() == b"DONE":
            return self.idle.pop(connection) + b" OK done\r\n"
        if line.upper().endswith(b" IDLE"):
            self.idle[connection] = line.split()[0]
        return self.answers.to(line)

    def tell_idle(self, line):
        """Says something to those who idle."""
        for connection in self.idle:
            connection.sendall(line)

    def close(self, connection, proxy):
        self.idle.pop(connection, None)
        del self.connections[connection]
        connection.close()
        proxy.settle(within=0.002)


class Client:
    """A mail client."""

    def __init__(self, world):
        self.world = world
        self.got = bytearray()
        self.total = 0  # octets read so far
        self.tags = 0
        self.open = []  # tags of commands that are not answered
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.connect(("127.0.0.1", world.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        world.clients.append(self)
        self.tls = Tls(world.certificate) if world.certificate else None
        world.turn()
        while self.tls and self.tls.pending():  # the handshake
            self.say(b"")
            world.turn()
        world.turn_until(lambda: b"\r\n" in self.got)

    def read(self):
        try:
            while octets := self.socket.recv(1 << 20):
                self.total += len(octets)
                self.got += self.tls.opened(octets) if self.tls else octets
        except BlockingIOError:
            pass

    def say(self, octets):
        self.socket.sendall(self.tls.sealed(octets) if self.tls else octets)

    def post(self, texts):
        """Sends commands in one piece, and is content."""
        del self.got[:]
        self.open = [b"c%d" % (self.tags + i) for i in range(1, len(texts) + 1)]
        self.tags += len(texts)
        self.say(b"".join(b"%s %s\r\n" % pair for pair in zip(self.open, texts)))

    def answered(self):
        """Whether all of them are; with OK, or it ends here."""
        while self.open:
            answer = re.search(rb"^%s (\w+)[^\n]*\n" % self.open[0], self.got, re.M)
            if not answer:
                return False
            if answer[1] != b"OK":
                raise SystemExit(f"a command was answered {bytes(answer[0])!r}")
            del self.got[:answer.end()]
            del self.open[0]
        return True

    def commands(self, texts):
        """Sends commands in one piece, and waits until they are answered."""
        self.post(texts)
        self.world.turn()
        self.world.turn_until(self.answered)

    def command(self, text):
        self.commands([text])

    def start_idle(self):
        self.post([b"IDLE"])
        self.world.turn()
        self.world.turn_until(lambda: self.got.startswith(b"+"))

    def close(self):
        self.world.clients.remove(self)
        self.socket.close()
        self.world.turn(within=0.002)


class Tls:
    """TLS between octets and octets: what is written when is up to the client."""

    def __init__(self, certificate):
        context = ssl.create_default_context(cafile=certificate)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname="bench")
        self.shaken = False
        self.shake()

    def shake(self):
        try:
            self.object.do_handshake()
            self.shaken = True
        except ssl.SSLWantReadError:
            pass

    def pending(self):
        return self.outgoing.pending > 0

    def opened(self, octets):
        self.incoming.write(octets)
        if not self.shaken:
            self.shake()
            if not self.shaken:
                return b""
        plain = b""
        try:
            while some := self.object.read(1 << 20):
                plain += some
        except ssl.SSLWantReadError:
            pass
        return plain

    def sealed(self, octets):
        if octets:
            self.object.write(octets)
        return self.outgoing.read()


class World:
    """The proxy, its backend and its clients. certificate: the proxy's, where clients speak TLS with it."""

    def __init__(self, proxy, backend, port, certificate):
        self.proxy, self.backend, self.port, self.certificate = proxy, backend, port, certificate
        self.clients = []

    def turn(self, **patience):
        """Somebody has done something: the proxy reacts, then the backend, then the clients read."""
        self.proxy.settle(**patience)
        self.backend.attend(self.proxy, self.everybody_reads)
        self.everybody_reads()

    def turn_until(self, what):
        end = time.monotonic() + 30
        while not what():
            if time.monotonic() > end:
                raise SystemExit("what was waited for did not come")
            self.turn(within=0.05)

    def everybody_reads(self):
        for client in self.clients:
            client.read()
