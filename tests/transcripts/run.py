#!/usr/bin/env python3
"""Plays transcripts: conversations of clients with imapmux in front of a scripted backend. README.md tells the format.

    run.py [--keep-going] FILE...      each file is played once per delivery; exit status 1 if one fails
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BINARY = pathlib.Path(os.environ.get("IMAPMUX") or HERE.parents[1] / "build/release/proxy/imapmux")
LOOPBACK = "127.0.0.1"
PATIENCE = 10.0  # for what has to come
HUSH = 0.12      # for what must not come
SERVERS = {"A": "the auth_http service", "B": "the backend", "E": "the server elsewhere"}  # by the letter of their connections
DELIVERIES = {"whole": "as it stands", "bytes": "clients octet by octet", "chunks": "backends in random chunks"}
CONFIGURATION = """\
workers: {workers}
shutdown_grace: 5s
log: {{level: debug}}
listeners:
  - {listener}
backends:
  scripted: {backend}
routes:
  - {route}
limits: {limits}
"""


class Failure(Exception):
    pass


# --- the file --------------------------------------------------------------------------------------------------------
class Statement:
    def __init__(self, number, text, block=()):
        self.number, self.text, self.block = number, text, list(block)


def expanded(text):
    """The line itself, or `for n = 1..3: …$n…` once per number."""
    loop = re.match(r"for (\w+) = (\d+)(\.\.|, )(\d+)((?:, \d+)*): (.*)$", text)
    if not loop:
        return [text]
    name, first, kind, second, more, body = loop.groups()
    if kind == "..":
        step = 1 if int(first) <= int(second) else -1
        numbers = range(int(first), int(second) + step, step)
    else:
        numbers = [first, second, *more.split(", ")[1:]]
    return [body.replace("$" + name, str(number)) for number in numbers]


class Transcript:
    def __init__(self, path):
        self.path = path
        self.settings = {}
        self.statements = []
        self.nevers = []
        lines = path.read_bytes().decode("latin-1").split("\n")
        end = lines.index("---") if "---" in lines else 0
        for number, line in enumerate(lines[:end], 1):
            if not line.strip() or line.startswith("#"):
                continue
            key, colon, value = line.partition(":")
            if not colon:
                raise Failure(f"{path}:{number}: a setting is `key: value`")
            self.settings[key.strip()] = value.strip()
        number = end + 1 if end else 0
        while number < len(lines):
            line = lines[number]
            number += 1
            start = number
            if not line.strip() or line.startswith("#"):
                continue
            block = []
            if line.endswith("at once:"):
                while number < len(lines) and lines[number].startswith("    "):
                    block += expanded(lines[number][4:])
                    number += 1
            for text in expanded(line):
                if text.startswith("never "):
                    self.nevers.append(Statement(start, text))
                else:
                    self.statements.append(Statement(start, text, block))
        self.deliveries = [one.strip() for one in self.settings.pop("delivery", "whole, bytes, chunks").split(",")]


def repeated(text):
    """$(x*5000) is x five thousand times; $(crlf) the end of a line."""
    text = text.replace("$(crlf)", "\r\n")
    return re.sub(r"\$\((.+?)\*(\d+)\)", lambda m: m.group(1) * int(m.group(2)), text)


def unescaped(text):
    values = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\", '"': '\\"'}
    plain = re.sub(r'\\(x[0-9a-fA-F]{2}|[rnt0\\"])',
                   lambda m: chr(int(m.group(1)[1:], 16)) if m.group(1)[0] == "x" else values[m.group(1)], text)
    return repeated(plain)


def pattern_of(text):
    """The whole line; `...` stands for anything. /…/ is a regular expression."""
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return re.compile(text[1:-1], re.S)
    return re.compile(".*".join(re.escape(part) for part in repeated(text).split("...")), re.S)


def shown(text):
    text = text.replace("\r", "\\r").replace("\n", "\\n").replace("\0", "\\0")
    return text if len(text) <= 300 else f"{text[:200]} [{len(text) - 260} more] {text[-60:]}"


# --- the peers of the proxy ------------------------------------------------------------------------------------------
class Peer:
    """A client or a backend connection: what it got and has not been expected yet, and everything it ever got."""

    def __init__(self, name, connection):
        self.name, self.socket = name, connection
        self.unread = ""
        self.ever = ""
        self.ended = None    # how the proxy ended it: "closed" or "reset"
        self.dropped = False  # ended by the transcript
        self.tags = {}
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)

    def open(self):
        return not self.ended and not self.dropped

    def read(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                data = b""
            except ConnectionResetError:
                self.ended = "reset"
                return
            except OSError as error:
                self.ended = f"lost ({error})"
                return
            if not data:
                self.ended = "closed"
                return
            text = data.decode("latin-1")
            self.unread += text
            self.ever += text

    def send(self, data):
        """All of it, or as much as the proxy takes before it closes."""
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return False
        finally:
            self.socket.setblocking(False)
        return True

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.dropped = True
        self.socket.close()


def free_port():
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return one.getsockname()[1]


class Stage:
    """One performance of a transcript: the proxy, the backend's listening socket, the peers."""

    def __init__(self, transcript, delivery, seed):
        self.transcript, self.delivery = transcript, delivery
        self.random = random.Random(seed)
        self.settings = dict(transcript.settings)
        self.capabilities = self.settings.pop("capabilities", "IMAP4rev1")
        self.greeting = self.settings.pop("greeting", f"* OK [CAPABILITY {self.capabilities}] scripted server ready")
        self.delimiter = self.settings.pop("delimiter", '"/"')
        self.shared = self.settings.get("access") == "shared"
        self.users = {}    # of clients
        self.clients = {}  # of connections, by whose login they were opened
        self.know_delimiter = set()  # shared: users; exclusive: clients
        self.peers = {}
        self.accepted = dict.fromkeys(SERVERS, 0)
        self.dialogue = []
        self.statement = None

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="imapmux-")))
            self.listeners = {letter: socket.create_server((LOOPBACK, 0), backlog=64) for letter in SERVERS}
            self.ports = {letter: one.getsockname()[1] for letter, one in self.listeners.items()}
            for one in self.listeners.values():
                one.setblocking(False)
            self.stack.callback(lambda: [one.close() for one in self.listeners.values()])
            self.start_proxy()
            return self
        except BaseException:
            self.stack.close()
            raise

    def __exit__(self, kind, *_):
        with self.stack:
            for peer in self.peers.values():
                peer.close()
            status = self.stop_proxy()
        if kind is None:
            if status != 0:
                raise Failure(f"the proxy's exit status is {status}\n{self.log[-3000:]}")
            if re.search(r"Sanitizer|runtime error:|Assertion .* failed", self.log):
                raise Failure(f"the proxy complains\n{self.log[-6000:]}")

    # --- the proxy ---
    def start_proxy(self):
        self.port = free_port()
        settings = self.settings
        tls = settings.pop("tls", "none")
        parts = {
            "workers": settings.pop("workers", "1"),
            "listener": {"name": "imap", "bind": f'"{LOOPBACK}:{self.port}"', "tls": tls},
            "backend": {"servers": f'["{LOOPBACK}:{self.ports["B"]}"]', "tls": "none",
                        "mailbox_access": settings.pop("access", "exclusive"), "connections_per_user": "10",
                        "lease_wait": "20s", "poll_interval": "30s", "health_check": "off"},
            "limits": {"auth_failure_delay": "50ms"}, "route": {"backend": "scripted"}}
        if "auth_http" in settings:
            more = settings.pop("auth_http")
            url = f'url: "http://{LOOPBACK}:{self.ports["A"]}/auth?for=imap"'
            parts["route"]["auth_http"] = "{" + ", ".join(part for part in (url, more) if part) + "}"
        for key, value in settings.items():
            where, dot, name = key.partition(".")
            if dot and where not in parts:
                raise Failure(f"unknown setting {key}")
            parts[where if dot else "backend"][name if dot else key] = value
        flow = {name: "{" + ", ".join(f"{k}: {v}" for k, v in part.items()) + "}" if isinstance(part, dict) else part
                for name, part in parts.items()}
        text = CONFIGURATION.format(**flow)
        if tls != "none":
            self.make_certificate()
            text += "certificates: [{names: [localhost], certificate: tls.crt, private_key: tls.key}]\n"
        file = self.folder / "imapmux.yaml"
        file.write_text(text)
        output = self.stack.enter_context(open(self.folder / "output.log", "wb"))
        self.process = subprocess.Popen([BINARY, "serve", "--config", file], stdout=output, stderr=subprocess.STDOUT,
                                        cwd=self.folder)
        self.stack.callback(self.stop_proxy)
        deadline = time.monotonic() + PATIENCE
        while True:
            # not by connecting: that would show up as a session
            if b"listening on" in (self.folder / "output.log").read_bytes():
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure("the proxy does not start\n" + (self.folder / "output.log").read_text())
            time.sleep(0.005)

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", "tls.key", "-out", "tls.crt", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], cwd=self.folder, check=True, capture_output=True)

    def stop_proxy(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if (self.folder / "output.log").exists():
            self.log = (self.folder / "output.log").read_text(errors="replace")
        return self.process.returncode

    # --- the wire ---
    def pump(self, seconds):
        """Reads what there is; waits for it so long."""
        sockets = {peer.socket: peer for peer in self.peers.values() if peer.open()}
        listening = {one: letter for letter, one in self.listeners.items()}
        for one in select.select([*sockets, *listening], [], [], max(0, seconds))[0]:
            if letter := listening.get(one):
                self.accepted[letter] += 1
                name = f"{letter}{self.accepted[letter]}"
                self.peers[name] = Peer(name, one.accept()[0])
                self.note(name, "connected", "")
            else:
                peer = sockets[one]
                before = len(peer.ever)
                peer.read()
                if len(peer.ever) > before:
                    self.note(peer.name, "<", peer.ever[before:])
                if peer.ended:
                    self.note(peer.name, peer.ended, "by the proxy")

    def wait_for(self, condition, what, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(what() if callable(what) else what)
            self.pump(min(left, 0.5))

    def note(self, name, arrow, text):
        for line in text.removesuffix("\r\n").split("\r\n"):
            self.dialogue.append(f"{name} {arrow} {shown(line)}".rstrip())

    def send(self, peer, text):
        data = text.encode("latin-1")
        self.note(peer.name, ">", text)
        pieces = [data]
        if self.delivery == "bytes" and peer.name.startswith("C"):
            # a long text in bigger pieces: it would take minutes
            size = 1 if len(data) <= 2000 else 997
            pieces = [data[i:i + size] for i in range(0, len(data), size)]
        elif self.delivery == "chunks":
            pieces, most = [], 12 if len(data) <= 2000 else 4000
            while data:
                size = self.random.randint(1, most)
                pieces.append(data[:size])
                data = data[size:]
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.0003)
                self.pump(0)
            if not peer.send(piece):
                self.note(peer.name, ">", "(the proxy has closed)")
                return

    def peer(self, name):
        if name not in self.peers:
            if name.startswith("C"):
                raise Failure(f"{name} is not connected")
            self.wait_for(lambda: name in self.peers, f"the proxy opens no connection {name} to {SERVERS[name[0]]}")
        return self.peers[name]

    # --- the statements ---
    def play(self):
        for self.statement in self.transcript.statements:
            self.do(self.statement.text, self.statement.block)
        self.statement = None
        self.silent(self.peers, HUSH)
        for never in self.transcript.nevers:
            self.statement = never
            self.check_never(never.text)

    def do(self, text, block=()):
        text = self.with_ports(text)
        several = re.match(r"((?:[A-E]\d+, )+[A-E]\d+)([<>]| (?!and |silent))", text)
        if several:
            for name in several.group(1).split(", "):
                self.do(name + text[several.end(1):], block)
            return
        for form, action in self.FORMS:
            match = re.fullmatch(form, text, re.S)
            if match:
                action(self, *match.groups(), **({"block": block} if block else {}))
                return
        raise Failure("this statement is not understood")

    def with_ports(self, text):
        return re.sub(r"\$\(port ([ABCE])\)", lambda m: str(self.ports.get(m.group(1), self.port)), text)

    def says(self, name, text):
        peer = self.peer(name)
        tag = re.match(r"\((\w+)\) ", text)
        if tag and name[0] in "BE":
            if tag.group(1) not in peer.tags:
                raise Failure(f"no command with the tag ({tag.group(1)}) was expected on {name}")
            text = peer.tags[tag.group(1)] + text[tag.end() - 1:]
        return repeated(text) + "\r\n"

    def say(self, name, text):
        self.send(self.peer(name), self.says(name, text or ""))

    def say_at_once(self, name, block=()):
        self.send(self.peer(name), "".join(self.says(name, self.with_ports(line)) for line in block))

    def say_raw(self, name, text):
        self.send(self.peer(name), unescaped(text))

    def get(self, name, text):
        peer = self.peer(name)
        text = text or ""
        self.wait_for(lambda: "\r\n" in peer.unread or not peer.open(),
                      lambda: f"expected: {text}\ngot:      nothing but {shown(peer.unread)!r}")
        if "\r\n" not in peer.unread:
            raise Failure(f"expected: {text}\ngot:      {shown(peer.unread)!r}, and {name} was {peer.ended or 'ended'}")
        line, _, peer.unread = peer.unread.partition("\r\n")
        tag = re.match(r"\((\w+)\) ", text)
        rest = line
        if tag and name[0] in "BE":
            word, _, rest = line.partition(" ")
            peer.tags[tag.group(1)] = word
            text = text[tag.end():]
        if not pattern_of(text).fullmatch(rest):
            raise Failure(f"expected: {text}\ngot:      {shown(rest)}")

    def get_raw(self, name, text):
        peer, wanted = self.peer(name), unescaped(text)
        self.wait_for(lambda: len(peer.unread) >= len(wanted) or not peer.open(),
                      lambda: f"expected: {shown(wanted)}\ngot:      only {shown(peer.unread)}")
        if not peer.unread.startswith(wanted):
            raise Failure(f"expected: {shown(wanted)}\ngot:      {shown(peer.unread)}")
        peer.unread = peer.unread[len(wanted):]

    def connect(self, name):
        self.peers[name] = Peer(name, socket.create_connection((LOOPBACK, self.port), timeout=PATIENCE))
        self.note(name, "connects", "")

    def start_tls(self, name):
        peer = self.peer(name)
        if peer.unread:
            raise Failure(f"{name} has unread {shown(peer.unread)!r} before TLS")
        context = ssl.create_default_context(cafile=self.folder / "tls.crt")
        peer.socket.settimeout(PATIENCE)
        try:
            peer.socket = context.wrap_socket(peer.socket, server_hostname="localhost")
        except (ssl.SSLError, OSError) as error:
            raise Failure(f"no TLS: {error}") from None
        peer.socket.setblocking(False)
        self.note(name, "speaks TLS", "")

    def silent(self, names, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(left)
        for name in names:
            if name in self.peers and self.peers[name].unread:
                raise Failure(f"expected: nothing for {name}\ngot:      {shown(self.peers[name].unread)}")

    def are_silent(self, names, seconds=None):
        listed = list(self.peers) if names in ("all", "everybody") else re.split(r",? and |, ", names)
        self.silent(listed, float(seconds or HUSH * 1000) / 1000)

    def pause(self, milliseconds):
        end = time.monotonic() + float(milliseconds) / 1000
        while (left := end - time.monotonic()) > 0:
            self.pump(left)

    def is_closed(self, name):
        peer = self.peer(name)
        self.wait_for(lambda: peer.ended, f"the proxy does not close {name}")
        if peer.unread:
            raise Failure(f"expected: {name} closed\ngot:      {shown(peer.unread)} before that")
        # A real peer closes its side as well; until then the proxy can't know that it has noticed.
        with contextlib.suppress(OSError):
            peer.socket.shutdown(socket.SHUT_WR)

    def end(self, name, how):
        peer = self.peer(name)
        self.note(name, how, "")
        if how == "half-closes":
            peer.socket.shutdown(socket.SHUT_WR)
        elif how == "resets":
            peer.reset()
        else:
            peer.close()

    def tell_to_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def refuse_connections(self, who):
        self.listeners.pop("A" if who == "auth_http" else "B").close()

    def no_connection(self, name):
        self.silent([], HUSH)
        if name in self.peers:
            raise Failure(f"expected: no connection {name}\ngot:      one")

    def check_never(self, text):
        name, what = re.fullmatch(r"never ([ABCE]\d*)< (.*)", text).groups()
        regex = re.compile(what[1:-1] if what.startswith("/") else re.escape(repeated(what)), re.I | re.M)
        for peer in self.peers.values():
            found = regex.search(peer.ever) if name in (peer.name, peer.name[0]) else None
            if found:
                line = peer.ever[peer.ever.rfind("\n", 0, found.start()) + 1:].split("\r\n")[0]
                raise Failure(f"expected: that {peer.name} never gets {what}\ngot:      {shown(line)}")

    # --- the shorthands ---
    def greet(self, name):
        self.send(self.peer(name), self.greeting + "\r\n")

    def log_in(self, name, user, backend):
        """Without a backend: the account has verified the password before."""
        if name not in self.peers:
            self.do(f"{name} connects")
            self.do(f"{name}< * OK [CAPABILITY ...] imapmux ready")
        user = self.users[name] = user or "bob"
        self.do(f"{name}> login LOGIN {user} secret")
        if backend:
            self.clients[backend] = name
            self.accept_login(backend, user)
        self.do(f"{name}< login OK [CAPABILITY ...] Logged in")

    def accept_login(self, backend, user):
        self.do(f"{backend} greets")
        if "[CAPABILITY" not in self.greeting:
            self.do(f"{backend}< (tag) CAPABILITY")
            self.do(f"{backend}> * CAPABILITY {self.capabilities}")
            self.do(f"{backend}> (tag) OK done")
        self.do(f'{backend}< (tag) LOGIN "{user or "bob"}" "secret"')
        self.do(f"{backend}> (tag) OK [CAPABILITY {self.capabilities}] Welcome")

    def who_knows(self, client):
        """The delimiter, once he was told."""
        return self.users.get(client) if self.shared else client

    def tell_delimiter(self, name, client=None):
        self.know_delimiter.add(self.who_knows(client or self.clients.get(name)))
        self.do(f'{name}< (tag) LIST "" ""')
        self.do(f'{name}> * LIST (\\Noselect) {self.delimiter} ""')
        self.do(f"{name}> (tag) OK LIST done")

    def open_mailbox(self, name, also, how, mailbox, count, backend):
        """`also`: another client of the account has it open, so that the backend is asked for news only."""
        self.do(f"{name}> open {'SELECT' if how == 'selects' else 'EXAMINE'} {mailbox}")
        if self.who_knows(name) not in self.know_delimiter:
            self.tell_delimiter(backend, name)
        if also:
            self.be_polled(backend)
        else:
            self.attach(backend, how, mailbox, count)
        self.show(name, mailbox, count, "open", None if how == "selects" else "read-only")

    def attach(self, backend, how, mailbox, count):
        """The proxy opens a mailbox and reads what is in it, for whomever."""
        command, access = ("SELECT", "READ-WRITE") if how == "selects" else ("EXAMINE", "READ-ONLY")
        count = 3 if count is None else int(count)
        self.do(f'{backend}< (tag) {command} "{mailbox}"')
        for line in [r"FLAGS (\Answered \Flagged \Deleted \Seen \Draft)", f"{count} EXISTS",
                     f"{min(count, 1)} RECENT", "OK [UIDVALIDITY 7] good", f"OK [UIDNEXT {3 * count + 3}] good"]:
            self.do(f"{backend}> * {line}")
        if how == "selects":
            self.do(backend + r"> * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] good")
        self.do(f"{backend}> (tag) OK [{access}] {command} done")
        if count == 0:
            return
        self.do(f"{backend}< (tag) UID FETCH 1:* (UID FLAGS)")
        for number in range(1, count + 1):
            flags = r"\Seen" if number == 1 else ""
            self.do(f"{backend}> * {number} FETCH (UID {3 * number + 2} FLAGS ({flags}))")
        self.do(f"{backend}> (tag) OK FETCH done")

    def show(self, name, _mailbox, count, tag, read_only):
        """What the client is told of a mailbox that was opened for its command `tag`."""
        count = 3 if count is None else int(count)
        permitted = r"OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] ..."
        for line in [r"FLAGS (\Answered \Flagged \Deleted \Seen \Draft)", f"{count} EXISTS", f"{min(count, 1)} RECENT",
                     "OK [UNSEEN 2] ..." if count > 1 else None, "OK [UIDVALIDITY 7] ...",
                     f"OK [UIDNEXT {3 * count + 3}] ...",
                     "OK [PERMANENTFLAGS ()] ..." if read_only else permitted]:
            if line:
                self.do(f"{name}< * {line}")
        self.do(f"{name}< {tag} OK " + ("[READ-ONLY] EXAMINE completed" if read_only else "[READ-WRITE] SELECT completed"))

    def deselect(self, name):
        """Without expunging, as the backend can."""
        if "UNSELECT" in self.capabilities.split():
            self.do(f"{name}< (tag) UNSELECT")
            self.do(f"{name}> (tag) OK UNSELECT done")
        else:
            self.do(f"{name}< (tag) SELECT imapmux-...")
            self.do(f"{name}> (tag) NO no such mailbox")

    def be_polled(self, name):
        self.do(f"{name}< (tag) NOOP")
        self.do(f"{name}> (tag) OK NOOP done")

    def poll(self, name, backend):
        self.do(f"{name}> poll NOOP")
        self.be_polled(backend)
        self.do(f"{name}< poll OK completed")

    def idle(self, name, how):
        if how == "idles":
            self.do(f"{name}> idle IDLE")
            self.do(f"{name}< + ...")
        else:
            self.do(f"{name}> DONE")
            self.do(f"{name}< idle OK ...")

    def log_out(self, name):
        self.do(f"{name}< (tag) LOGOUT")
        self.do(f"{name}> * BYE bye")
        self.do(f"{name}> (tag) OK LOGOUT done")
        self.do(f"{name} closes")

    FORMS = [
        (r"([ABCE]\d+)>(?: (.*))?", say),
        (r"([ABCE]\d+)>> (.*)", say_raw),
        (r"([ABCE]\d+) says at once:", say_at_once),
        (r"([ABCE]\d+)<(?: (.*))?", get),
        (r"([ABCE]\d+)<< (.*)", get_raw),
        (r"(C\d+) connects", connect),
        (r"(C\d+) starts TLS", start_tls),
        (r"([ABCE]\d+) (closes|resets|half-closes)", end),
        (r"([ABCE]\d+) is closed", is_closed),
        (r"((?:[ABCE]\d+|, |,? and )+|everybody) silent(?: for (\d+)ms)?", are_silent),
        (r"pause (\d+)ms", pause),
        (r"(backend|auth_http) refuses connections", refuse_connections),
        (r"the proxy is told to stop", tell_to_stop),
        (r"no ([ABE]\d+)", no_connection),
        (r"([BE]\d+) greets", greet),
        (r"(C\d+) logs in(?: as (\S+))?(?: on ([BE]\d+))?", log_in),
        (r"([BE]\d+) accepts the login(?: of (\S+))?", accept_login),
        (r"([BE]\d+) is asked for the delimiter", tell_delimiter),
        (r"(C\d+)( also)? (selects|examines) (\S+)(?: with (\d+) messages?)? on ([BE]\d+)", open_mailbox),
        (r"([BE]\d+) (selects|examines) (\S+)(?: with (\d+) messages?)?", attach),
        (r"(C\d+) gets (\S+)(?: with (\d+) messages?)? for (\S+?)( read-only)?", show),
        (r"([BE]\d+) deselects", deselect),
        (r"([BE]\d+) is polled", be_polled),
        (r"(C\d+) polls on ([BE]\d+)", poll),
        (r"(C\d+) (idles|stops idling)", idle),
        (r"([BE]\d+) is logged out of", log_out),
    ]


def perform(transcript, delivery, seed):
    stage = Stage(transcript, delivery, seed)
    try:
        with stage:
            stage.play()
        return True
    except Failure as failure:
        statement = stage.statement
        place = f"{transcript.path}:{statement.number if statement else 'end'}"
        print(f"FAILED {place}: {statement.text if statement else 'at the end'}")
        print("  " + str(failure).replace("\n", "\n  "))
        print(f"  delivery: {delivery}, {DELIVERIES[delivery]} (--seed {seed})")
        print("  the dialogue before that:")
        for line in stage.dialogue[-40:]:
            print("    " + line)
        if os.environ.get("IMAPMUX_TRANSCRIPT_LOG"):
            print(getattr(stage, "log", "")[-4000:])
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep-going", action="store_true", help="the other deliveries, too, after a failure")
    parser.add_argument("--delivery", choices=DELIVERIES, help="this one only")
    parser.add_argument("--seed", type=int, help="of the random chunks")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    failed = 0
    for path in options.files:
        transcript = Transcript(path)
        for delivery in transcript.deliveries:
            if options.delivery and delivery != options.delivery:
                continue
            seed = options.seed if options.seed is not None else random.randrange(10**6)
            begin = time.monotonic()
            fine = perform(transcript, delivery, seed)
            if fine:
                print(f"ok {path.stem} ({delivery}, {time.monotonic() - begin:.1f} s)", flush=True)
            else:
                failed += 1
                if not options.keep_going:
                    break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
