"""A bare IMAP connection for tests that care about the bytes: no cleverness, a transcript, a bound on every wait."""
import re
import socket
import ssl
import time

from common import LOOPBACK, certificates


class Closed(Exception):
    """The other side closed the connection (`bye` holds its last untagged line)."""


class RawClient:
    def __init__(self, port, host=LOOPBACK, tls=False, timeout=20, greeting=True, source=None):
        self.timeout = timeout
        self.transcript = []
        self.buffer = b""
        self._early = []  # lines that came where `+` was expected
        self.tag_number = 0
        self.socket = socket.create_connection((host, port), timeout=timeout, source_address=source and (source, 0))
        if tls:
            self.start_tls_handshake()
        self.greeting = self.line() if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start_tls_handshake(self):
        context = ssl.create_default_context(cafile=certificates().ca)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def starttls(self):
        reply = self.command("STARTTLS")
        assert reply.ok, reply
        self.start_tls_handshake()

    # --- bytes ---
    def send(self, data):
        data = data.encode() if isinstance(data, str) else data
        self.transcript.append(b"C: " + data)
        self.socket.sendall(data)

    def _fill(self, deadline):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no answer in time\n" + self.dialogue())
        self.socket.settimeout(remaining)
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            raise TimeoutError("no answer in time\n" + self.dialogue()) from None
        except (ConnectionResetError, ssl.SSLError, OSError) as error:
            raise Closed(f"{error}\n{self.dialogue()}") from None
        if not data:
            raise Closed("connection closed\n" + self.dialogue())
        self.buffer += data

    def line(self, timeout=None):
        """One response line; literals in it are kept in place behind their {n}CRLF."""
        deadline = time.monotonic() + (timeout or self.timeout)
        result = b""
        while True:
            while b"\r\n" not in self.buffer:
                self._fill(deadline)
            part, self.buffer = self.buffer.split(b"\r\n", 1)
            result += part
            literal = re.search(rb"\{(\d+)\}$", part)
            if not literal:
                break
            size = int(literal.group(1))
            while len(self.buffer) < size:
                self._fill(deadline)
            result += b"\r\n" + self.buffer[:size]
            self.buffer = self.buffer[size:]
        self.transcript.append(b"S: " + result + b"\r\n")
        return result

    def dialogue(self):
        rest = [b"S (incomplete): " + self.buffer] if self.buffer else []
        return b"".join(self.transcript[-60:] + rest).decode("utf-8", "replace")

    # --- commands ---
    def start(self, text, literal=None, plus=False):
        """Sends a command, with a literal at its end if there is one, and returns its tag.

        A synchronising literal is sent when the server asks for it; if it answers the command instead, finish() says so.
        """
        self.tag_number += 1
        tag = f"t{self.tag_number}"
        if literal is None:
            self.send(f"{tag} {text}\r\n")
        elif plus:
            self.send(f"{tag} {text} {{{len(literal)}+}}\r\n".encode() + literal + b"\r\n")
        else:
            self.send(f"{tag} {text} {{{len(literal)}}}\r\n")
            while True:
                line = self.line()
                if line.startswith(b"+"):
                    self.send(literal + b"\r\n")
                    break
                self._early.append(line)
                if line.startswith(tag.encode() + b" "):
                    break
        return tag

    def finish(self, tag, timeout=None):
        """Reads up to the tagged answer."""
        untagged = []
        while True:
            line = self._early.pop(0) if self._early else self.line(timeout)
            if line.startswith(tag.encode() + b" "):
                return Reply(line[len(tag) + 1:], untagged, self)
            untagged.append(line)

    def command(self, text, literal=None, timeout=None):
        return self.finish(self.start(text, literal), timeout)

    def until(self, pattern, timeout=None):
        """Reads lines up to one that matches the pattern; returns all of them."""
        lines = []
        while True:
            lines.append(self.line(timeout))
            if re.search(pattern, lines[-1]):
                return lines

    def login(self, user, password):
        reply = self.command(f"LOGIN {quoted(user)} {quoted(password)}")
        assert reply.ok, f"login: {reply}\n{self.dialogue()}"
        return self

    def closed_within(self, timeout=10):
        """Reads until the other side closes; returns the lines before that."""
        lines = []
        try:
            while True:
                lines.append(self.line(timeout))
        except Closed:
            return lines

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST, like a machine that vanished and came back."""
        import struct
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Reply:
    def __init__(self, text, untagged, client):
        self.text, self.untagged, self.client = text.decode("utf-8", "replace"), untagged, client
        self.status = self.text.split(" ", 1)[0].upper()
        self.ok = self.status == "OK"
        code = re.match(r"\w+ \[([^\] ]+)", self.text)
        self.code = code.group(1).upper() if code else None

    def find(self, pattern):
        """The first match of the pattern in the untagged lines."""
        for line in self.untagged:
            match = re.search(pattern, line, re.S)
            if match:
                return match
        return None

    def __repr__(self):
        return f"{self.text!r}\n{self.client.dialogue()}"


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
