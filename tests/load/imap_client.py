"""A strict IMAP client connection for the load test (RFC 3501): it believes only what it is told, and checks that.

Responses are taken apart completely when they arrive; whatever contradicts the protocol or what this client was told
before raises ProtocolError, which ends the connection.
"""

import asyncio
import collections
import re
import time


class ProtocolError(Exception):
    pass


class ConnectionEnded(Exception):
    """The server ended the connection: BYE nobody asked for, EOF or a reset."""


LITERAL_AT_END = re.compile(rb"\{(\d+)\}$")
TOKEN = re.compile(
    rb'(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\\r\n]|\\["\\])*)"|\{(?P<literal>\d+)\}\r\n'
    rb'|(?P<atom>(?:[^\s()"{}\[\]]|\[[^\]\r\n]*\])+)|(?P<space> (?! ))')
STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH)(?: \[([^\] ]+)(?: ([^\]]*))?\])?(?: (.*))?", re.S | re.I)

# What may be said of a mailbox's messages; needs a selected mailbox.
OF_MESSAGES = {"EXISTS", "RECENT", "EXPUNGE", "FETCH"}
OTHER_DATA = {"CAPABILITY", "FLAGS", "LIST", "LSUB", "STATUS", "SEARCH", "NAMESPACE", "ENABLED", "ID"}
# RFC 3501, 7.4.1: while these are in progress their numbers would change their meaning.
NO_EXPUNGE = {"FETCH", "STORE", "SEARCH"}


def parse_values(raw, at):
    """The values of `raw` from `at` on: bytes, None for NIL, and lists of them."""
    values = []
    enclosing = []
    end = len(raw)
    while at < end:
        match = TOKEN.match(raw, at)
        if not match:
            raise ProtocolError(f"malformed response at octet {at}: {raw[:200]!r}")
        at = match.end()
        kind = match.lastgroup
        if kind == "atom":
            atom = match["atom"]
            values.append(None if atom.upper() == b"NIL" else atom)
        elif kind == "quoted":
            values.append(re.sub(rb"\\(.)", rb"\1", match["quoted"]))
        elif kind == "literal":
            size = int(match["literal"])
            values.append(raw[at:at + size])
            at += size
        elif kind == "open":
            enclosing.append(values)
            values = []
        elif kind == "close":
            if not enclosing:
                raise ProtocolError(f"unbalanced parenthesis: {raw[:200]!r}")
            enclosing[-1].append(values)
            values = enclosing.pop()
    if enclosing:
        raise ProtocolError(f"unclosed parenthesis: {raw[:200]!r}")
    return values


def pairs(values):
    """`name value name value …` as a dictionary with the names in upper case."""
    if len(values) % 2:
        raise ProtocolError(f"an attribute without a value: {values!r}")
    return {values[i].decode().upper(): values[i + 1] for i in range(0, len(values), 2)}


def flag_set(flags):
    r"""The flags of a FETCH. \Recent is no flag that anybody could change (RFC 3501, 2.3.2)."""
    return frozenset(flag.decode() for flag in flags) - {"\\Recent"}


class View:
    """What this client was told of its selected mailbox: how many messages, which UID stands at which number, and
    its flags."""

    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.opening = True
        self.uids = []   # None where this client never asked
        self.flags = []  # the same
        self.exists_told = False
        self.uidvalidity = None
        self.uidnext = None
        self.writable = False

    def exists(self, count):
        if self.opening:
            self.uids = [None] * count
            self.flags = [None] * count
        elif count < len(self.uids):
            raise ProtocolError(f"EXISTS {count} after {len(self.uids)} without EXPUNGE")
        else:
            self.flags.extend([None] * (count - len(self.uids)))
            self.uids.extend([None] * (count - len(self.uids)))
        self.exists_told = True

    def expunge(self, number):
        self.check_number(number, "EXPUNGE")
        self.flags.pop(number - 1)
        return self.uids.pop(number - 1)

    def stored_silently(self, number, sign, flag):
        """RFC 3501, 6.4.6: who wants no echo takes the flags for what they must be now."""
        flags = self.flags[number - 1]
        if flags is not None:
            self.flags[number - 1] = flags | {flag} if sign == "+" else flags - {flag}

    def check_number(self, number, what):
        if not 1 <= number <= len(self.uids):
            raise ProtocolError(f"{what} {number} of {len(self.uids)} messages")

    def learn_uid(self, number, uid):
        known = self.uids[number - 1]
        if known == uid:
            return
        if known is not None:
            raise ProtocolError(f"message {number} was UID {known} and is now UID {uid}")
        below = next((u for u in reversed(self.uids[:number - 1]) if u is not None), 0)
        above = next((u for u in self.uids[number:] if u is not None), 1 << 32)
        if not below < uid < above:
            raise ProtocolError(f"UIDs do not ascend: message {number} is UID {uid}, between {below} and {above}")
        self.uids[number - 1] = uid


class Answer:
    """A command's tagged answer and what came before it."""

    def __init__(self, status, code, arguments, text):
        self.status = status
        self.code = code
        self.arguments = arguments
        self.text = text
        self.data = []      # (name, values) of untagged data
        self.fetches = []   # (number, uid or None, attributes)
        self.seconds = 0.0  # it took to come

    @property
    def ok(self):
        return self.status == "OK"

    def __str__(self):
        return f"{self.status} [{self.code}] {self.text}" if self.code else f"{self.status} {self.text}"


class Pending:
    """A command that was sent and is not answered yet."""

    def __init__(self, tag, verb):
        self.tag = tag
        self.verb = verb
        self.sent_at = time.monotonic()
        self.answer = Answer("", "", b"", "")
        self.done = asyncio.get_running_loop().create_future()


class ImapClient(asyncio.Protocol):
    """`waits(verb, seconds)` is called for every answered command, `expunged(mailbox, uid)` for every message
    that went and whose UID this client knew."""

    def __init__(self, waits, expunged):
        self.waits = waits
        self.expunged = expunged
        self.transcript = collections.deque(maxlen=40)
        self.capabilities = frozenset()
        self.view = None
        self.pending = []    # commands in progress, oldest first
        self.lost = None     # why the connection ended
        self._buffer = bytearray()
        self._tags = 0
        self._continue = None
        self._transport = None

    # --- commands

    async def connect(self, port):
        loop = asyncio.get_running_loop()
        greeting = self._begin("greeting")
        await loop.create_connection(lambda: self, "127.0.0.1", port)
        answer = await greeting.done
        if answer.status != "OK":
            raise ProtocolError(f"greeting: {answer}")

    async def command(self, verb, arguments="", literal=None, mailbox=None):
        """Sends a command, with an optional literal behind it, and returns its Answer. `mailbox`: what it opens."""
        command = self._begin(verb)
        if mailbox is not None:
            self.view = View(mailbox)
        line = self._line(command, arguments)
        if literal is None:
            self._send(line + b"\r\n")
        elif "LITERAL+" in self.capabilities:
            self._send(line + b" {%d+}\r\n" % len(literal) + literal + b"\r\n")
        else:
            self._continue = asyncio.get_running_loop().create_future()
            self._send(line + b" {%d}\r\n" % len(literal))
            if await self._continue:
                self._send(literal + b"\r\n")
        return await command.done

    async def pipeline(self, commands):
        """Sends (verb, arguments) pairs at once and returns their Answers. Untagged data goes to the oldest."""
        pending = [(self._begin(verb), arguments) for verb, arguments in commands]
        self._send(b"".join(self._line(command, arguments) + b"\r\n" for command, arguments in pending))
        return [await command.done for command, _ in pending]

    async def idle(self, seconds):
        command = self._begin("IDLE")
        self._continue = asyncio.get_running_loop().create_future()
        self._send(self._line(command, "") + b"\r\n")
        if await self._continue:
            self.waits("IDLE", time.monotonic() - command.sent_at)
            await asyncio.sleep(seconds)
            if self.lost:
                raise self.lost
            command.sent_at = time.monotonic()
            self._send(b"DONE\r\n")
        return await command.done

    def close(self):
        if self._transport:
            self._transport.abort()

    def overdue(self, limit):
        """Ends the connection if an answer has not come for `limit` seconds."""
        if self.pending and not self.lost and time.monotonic() - self.pending[0].sent_at > limit:
            self.fail(ProtocolError(f"{self.doing} unanswered for {limit} s"))

    @property
    def doing(self):
        return self.pending[0].verb if self.pending else "quiet"

    @property
    def in_literal(self):
        """Whether the last that came is a part of a literal."""
        return self._buffer.find(b"}\r\n") >= 0

    def _begin(self, verb):
        if self.lost:
            raise self.lost
        self._tags += 1
        self.pending.append(Pending(b"c%d" % self._tags, verb))
        return self.pending[-1]

    @staticmethod
    def _line(command, arguments):
        return command.tag + f" {command.verb}{' ' if arguments else ''}{arguments}".encode()

    def _send(self, octets):
        self.transcript.append(b"C: " + octets[:200])
        self._transport.write(octets)

    # --- what arrives

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._buffer += data
        start = 0
        try:
            while (end := self._response_end(start)) > 0:
                response = bytes(self._buffer[start:end - 2])
                start = end
                self.transcript.append(b"S: " + response[:200])
                self._handle(response)
        except (ProtocolError, ConnectionEnded) as error:
            self.fail(error)
        except (ValueError, IndexError, AttributeError, TypeError, UnicodeDecodeError) as error:
            self.fail(ProtocolError(f"malformed response ({error}): {self.transcript[-1]!r}"))
        del self._buffer[:start]

    def connection_lost(self, error):
        self.fail(ConnectionEnded(f"connection ended in {self.doing}: {error or 'EOF'}"))

    def fail(self, error):
        self.lost = self.lost or error
        for future in (self._continue, *(command.done for command in self.pending)):
            if future and not future.done():
                future.set_exception(self.lost)
                future.exception()  # whoever waits gets it all the same; nobody waiting is no accident
        self.close()

    def _response_end(self, start):
        """Where the response that begins at `start` ends, literals and CRLF included; -1 if it is not all there."""
        at = start
        while (eol := self._buffer.find(b"\n", at)) >= 0:
            if eol == at or self._buffer[eol - 1] != 13:
                raise ProtocolError(f"bare LF: {bytes(self._buffer[start:eol + 1])!r}")
            literal = self._buffer[eol - 2] == 125 and LITERAL_AT_END.search(self._buffer[max(at, eol - 14):eol - 1])
            if not literal:
                return eol + 1
            at = eol + 1 + int(literal[1])
            if at > len(self._buffer):
                return -1
        return -1

    def _handle(self, raw):
        if self.lost:
            return
        tag, _, rest = raw.partition(b" ")
        if tag == b"*":
            self._untagged(rest)
        elif tag == b"+":
            if not self._continue or self._continue.done():
                raise ProtocolError(f"unexpected continuation in {self.doing}")
            self._continue.set_result(True)
        else:
            command = next((command for command in self.pending if command.tag == tag), None)
            if not command:
                raise ProtocolError(f"answer nobody waits for: {raw[:200]!r}")
            self._finish(command, rest)

    def _finish(self, command, rest):
        match = STATUS.fullmatch(rest)
        if not match or match[1].upper() not in (b"OK", b"NO", b"BAD"):
            raise ProtocolError(f"malformed tagged answer: {rest[:200]!r}")
        answer = command.answer
        self._take_status(answer, match)
        answer.seconds = time.monotonic() - command.sent_at
        self.waits(command.verb, answer.seconds)
        self.pending.remove(command)
        if self.view and self.view.opening:
            self.view.opening = False
            if not answer.ok:
                self.view = None
        if answer.ok and command.verb in ("CLOSE", "UNSELECT"):
            self.view = None
        if self._continue and not self._continue.done():
            if answer.ok:
                raise ProtocolError(f"{command.verb} ended without the continuation")
            self._continue.set_result(False)
        self._continue = None
        command.done.set_result(answer)

    def _take_status(self, answer, match):
        answer.status = match[1].decode().upper()
        answer.code = (match[2] or b"").decode().upper()
        answer.arguments = match[3] or b""
        answer.text = (match[4] or b"").decode("latin-1")
        if answer.code == "CAPABILITY":
            self.capabilities = frozenset(answer.arguments.decode().upper().split())

    def _untagged(self, rest):
        if match := STATUS.fullmatch(rest):
            self._untagged_status(match)
            return
        word, _, after = rest.partition(b" ")
        if word.isdigit():
            name, _, arguments = after.partition(b" ")
            self._of_messages(int(word), name.decode().upper(), arguments)
            return
        name = word.decode().upper()
        if name not in OTHER_DATA:
            raise ProtocolError(f"unknown response: {rest[:200]!r}")
        if not self.pending and name in ("STATUS", "SEARCH", "LIST", "LSUB"):
            raise ProtocolError(f"{name} nobody asked for")
        values = parse_values(after, 0)
        if name == "CAPABILITY":
            self.capabilities = frozenset(value.decode().upper() for value in values)
        elif name == "SEARCH" and self.view and self.doing == "SEARCH":
            for value in values:
                self.view.check_number(int(value), "SEARCH result")
        if self.pending:
            self.pending[0].answer.data.append((name, values))

    def _untagged_status(self, match):
        status = match[1].upper()
        if self.doing == "greeting":
            if status == b"BYE":
                raise ConnectionEnded(f"refused: {match[0].decode('latin-1')}")
            greeting = self.pending.pop()
            self._take_status(greeting.answer, match)
            self.waits("greeting", time.monotonic() - greeting.sent_at)
            greeting.done.set_result(greeting.answer)
        elif status == b"BYE" and self.doing != "LOGOUT":
            raise ConnectionEnded(f"BYE in {self.doing}: {match[0].decode('latin-1')}")
        elif status == b"BAD":
            raise ProtocolError(f"untagged {match[0].decode('latin-1')}")
        elif match[2]:
            code = match[2].decode().upper()
            if self.view and code == "UIDVALIDITY":
                self.view.uidvalidity = int(match[3])
            elif self.view and code == "UIDNEXT":
                self.view.uidnext = int(match[3])
            elif self.view and code == "READ-ONLY":
                self.view.writable = False

    def _of_messages(self, number, name, arguments):
        view = self.view
        if name not in OF_MESSAGES:
            raise ProtocolError(f"unknown response {name}")
        if not view:
            raise ProtocolError(f"{number} {name} without a selected mailbox")
        if name == "EXISTS":
            view.exists(number)
        elif name == "RECENT":
            if number > len(view.uids) and not view.opening:
                raise ProtocolError(f"RECENT {number} of {len(view.uids)} messages")
        elif name == "EXPUNGE":
            verbs = [command.verb for command in self.pending]
            if not verbs or NO_EXPUNGE.intersection(verbs) or view.opening:
                raise ProtocolError(f"EXPUNGE {number} in {', '.join(verbs) or 'quiet'}")
            uid = view.expunge(number)
            if uid is not None:
                self.expunged(view.mailbox, uid)
        else:
            view.check_number(number, "FETCH")
            values = parse_values(arguments, 0)
            if len(values) != 1 or not isinstance(values[0], list):
                raise ProtocolError(f"malformed FETCH: {arguments[:200]!r}")
            attributes = pairs(values[0])
            if "UID" in attributes:
                view.learn_uid(number, int(attributes["UID"]))
            if "FLAGS" in attributes:
                view.flags[number - 1] = flag_set(attributes["FLAGS"])
            if self.pending:
                self.pending[0].answer.fetches.append((number, view.uids[number - 1], attributes))
