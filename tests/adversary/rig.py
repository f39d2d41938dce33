"""A scripted backend and raw clients around one imapmux, for the scripts beside this file. stdlib only."""
import json, os, pathlib, re, resource, signal, socket, subprocess, sys, tempfile, threading, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("IMAPMUX") or str(ROOT / "build/asan/proxy/imapmux")
LOOP = "127.0.0.1"


def free_port():
    with socket.socket() as s:
        s.bind((LOOP, 0))
        return s.getsockname()[1]


class Backend:
    """handler(conn, tag, verb, rest) returns octets to send (or None: the default answer)."""
    caps = "IMAP4rev1"

    def __init__(self, handler=None, caps=None, greeting=b"* OK hi\r\n"):
        self.handler, self.greeting = handler, greeting
        if caps is not None:
            self.caps = caps
        self.listener = socket.socket()
        self.listener.bind((LOOP, 0))
        self.listener.listen(500)
        self.port = self.listener.getsockname()[1]
        self.log = []          # (time, connection, line)
        self.conns = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            c = BackendConn(self, s, len(self.conns))
            self.conns.append(c)
            threading.Thread(target=c.run, daemon=True).start()

    def close(self):
        self.listener.close()
        for c in self.conns:
            c.kill()


class BackendConn:
    def __init__(self, of, s, n):
        self.of, self.s, self.n = of, s, n
        self.buf = b""
        self.exists = 3
        self.box = None
        self.ended = None

    def kill(self, rst=False):
        try:
            if rst:
                self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            else:
                self.s.shutdown(2)
            self.s.close()
        except OSError:
            pass

    def line(self):
        while b"\n" not in self.buf:
            d = self.s.recv(65536)
            if not d:
                raise EOFError
            self.buf += d
        l, self.buf = self.buf.split(b"\n", 1)
        l = l.rstrip(b"\r")
        self.of.log.append((time.monotonic(), self.n, l))
        return l

    def octets(self, n):
        while len(self.buf) < n:
            d = self.s.recv(65536)
            if not d:
                raise EOFError
            self.buf += d
        o, self.buf = self.buf[:n], self.buf[n:]
        return o

    def run(self):
        try:
            self.s.sendall(self.of.greeting)
            while True:
                l = self.line()
                parts = l.split(b" ", 2)
                tag, verb = parts[0], (parts[1].upper() if len(parts) > 1 else b"")
                rest = parts[2] if len(parts) > 2 else b""
                if verb == b"UID" and rest:
                    p = rest.split(b" ", 1)
                    verb, rest = b"UID " + p[0].upper(), (p[1] if len(p) > 1 else b"")
                out = self.of.handler(self, tag, verb, rest) if self.of.handler else None
                if out is None:
                    out = self.default(tag, verb, rest)
                if out:
                    self.s.sendall(out)
                if verb == b"LOGOUT":
                    break
        except (OSError, EOFError):
            pass
        self.ended = time.monotonic()
        try:
            self.s.close()
        except OSError:
            pass

    def default(self, tag, verb, rest):
        ok = tag + b" OK done\r\n"
        if verb == b"CAPABILITY":
            return b"* CAPABILITY " + self.of.caps.encode() + b"\r\n" + ok
        if verb in (b"SELECT", b"EXAMINE"):
            if b"imapmux-" in rest:
                self.box = None
                return tag + b" NO none\r\n"
            self.box = rest
            return (b"* %d EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 7] x\r\n"
                    b"* OK [UIDNEXT %d] x\r\n" % (self.exists, self.exists + 1) + tag + b" OK [READ-WRITE] done\r\n")
        if verb == b"UID FETCH" and rest.endswith(b":* (UID FLAGS)"):
            first = min(int(rest.split(b":")[0]), max(self.exists, 1))
            return b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (n, n) for n in range(first, self.exists + 1)) + ok
        if verb == b"LIST":
            return b'* LIST (\\Noselect) "/" ""\r\n' + ok
        if verb in (b"SEARCH", b"UID SEARCH"):
            return b"* SEARCH 1 2 3\r\n" + ok
        if verb == b"LOGOUT":
            return b"* BYE bye\r\n" + ok
        if verb == b"IDLE":
            self.s.sendall(b"+ idling\r\n")
            l = self.line()
            return (tag + b" OK done\r\n") if l.upper() == b"DONE" else (tag + b" BAD Expected DONE\r\n")
        if verb == b"APPEND":
            m = re.search(rb"\{(\d+)(\+?)\}$", rest)
            if not m:
                return tag + b" BAD\r\n"
            if not m[2]:
                self.s.sendall(b"+ go\r\n")
            self.octets(int(m[1]))
            self.line()
            return ok
        return ok


class Mux:
    def __init__(self, port, mode="exclusive", backend=None, listener=None, top=None, binary=None, limits=None, env=None,
                 preexec=None):
        self.port, self.admin = free_port(), free_port()
        stanza = {"servers": [f"{LOOP}:{port}"], "tls": "none", "mailbox_access": mode, "connections_per_user": 20,
                  "poll_interval": "1s", "lease_wait": "5s", "command_timeout": "5m", "health_check": "off"}
        stanza.update(backend or {})
        conf = {"workers": 2, "shutdown_grace": "1s", "log": {"level": "debug"},
                "limits": {"auth_failure_delay": "50ms", "trusted_networks": ["127.0.0.0/8"], **(limits or {})},
                "admin": {"bind": f"{LOOP}:{self.admin}"},
                "listeners": [{"name": "imap", "bind": f"{LOOP}:{self.port}", "tls": "none", **(listener or {})}],
                "backends": {"b": stanza}, "routes": [{"backend": "b"}], **(top or {})}
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="adv"))
        (self.dir / "c.yaml").write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in conf.items()))
        self.logfile = self.dir / "log"
        e = {**os.environ, **(env or {})}
        self.p = subprocess.Popen([binary or BINARY, "serve", "--config", str(self.dir / "c.yaml")],
                                  stdout=open(self.logfile, "wb"), stderr=subprocess.STDOUT, env=e, preexec_fn=preexec)
        for _ in range(300):
            try:
                socket.create_connection((LOOP, self.port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
                if self.p.poll() is not None:
                    raise RuntimeError(self.log())

    def log(self):
        return self.logfile.read_text(errors="replace")

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.p.pid}/status").read())[1]) // 1024  # MiB

    def cpu(self):
        f = open(f"/proc/{self.p.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")

    def status(self):
        import urllib.request
        return json.load(urllib.request.urlopen(f"http://{LOOP}:{self.admin}/api/v1/status", timeout=5))

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        log = self.log()
        complaint = re.search(r"Sanitizer|runtime error:|Assertion .* failed", log)
        if complaint or self.p.returncode != 0:
            at = max(0, complaint.start() - 200) if complaint else -2000
            raise RuntimeError(f"the proxy ended with {self.p.returncode}:\n{log[at:][:8000]}")


class Client:
    def __init__(self, mux, login=True, user="bob", rcvbuf=None, timeout=10):
        self.s = socket.socket()
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(timeout)
        self.s.connect((LOOP, mux.port))
        self.buf = b""
        self.got = b""
        self.until(b"\r\n")
        if login:
            self.cmd(f"LOGIN {user} secret", "L")

    def send(self, o):
        self.s.sendall(o if isinstance(o, bytes) else o.encode())

    def until(self, what, timeout=None):
        """All up to and with the line end behind `what`; b'' at the front of what came if it timed out."""
        if timeout:
            self.s.settimeout(timeout)
        what = what if isinstance(what, bytes) else what.encode()
        while what not in self.buf:
            d = self.s.recv(65536)
            if not d:
                raise EOFError(self.buf)
            self.buf += d
            self.got += d
        i = self.buf.index(what) + len(what)
        if not what.endswith(b"\n"):
            while b"\n" not in self.buf[i:]:
                d = self.s.recv(65536)
                if not d:
                    raise EOFError(self.buf)
                self.buf += d
                self.got += d
            i = self.buf.index(b"\n", i) + 1
        out, self.buf = self.buf[:i], self.buf[i:]
        return out

    _n = 0

    def cmd(self, text, tag=None, timeout=None):
        if tag is None:
            Client._n += 1
            tag = f"t{Client._n}"
        self.send(f"{tag} {text}\r\n")
        while True:
            l = self.until(b"\n", timeout)
            self.last = getattr(self, "last", [])
            self.last.append(l)
            if l.startswith(tag.encode() + b" "):
                out, self.last = self.last, []
                return b"".join(out)

    def rest(self, timeout=5):
        self.s.settimeout(timeout)
        out = bytearray(self.buf)
        try:
            while True:
                d = self.s.recv(65536)
                if not d:
                    return bytes(out), "eof"
                out += d
        except socket.timeout:
            return bytes(out), "open"
        except OSError as e:
            return bytes(out), "reset"

    def rst(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.s.close()
