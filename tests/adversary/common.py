"""What the adversary's tests share: a proxy under a given configuration, and a scripted backend.

IMAPMUX names the program (default: build/asan/proxy/imapmux). Every test is a program: exit 0 = holds,
1 = broken. Everything listens on loopback, on free ports; only what was started here is ended.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPLAINT = r"Sanitizer|runtime error:|Assertion .* failed"
IMAPMUX = os.environ.get("IMAPMUX", str(ROOT / "build/asan/proxy/imapmux"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Backend:
    """A scripted IMAP server. `handle(connection, line)` returns octets to send, None to go on silently."""

    def __init__(self, login_delay=0.0, close_delay=0.0, greeting=b"* OK ready\r\n", hang_at=(), users=None,
                 capability=b"IMAP4rev1 LITERAL+ UNSELECT"):
        self.login_delay, self.close_delay = login_delay, close_delay
        self.greeting, self.hang_at, self.users = greeting, hang_at, users
        self.capability = capability
        self.lock = threading.Lock()
        self.open = self.most = self.accepted = 0
        self.seen = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open += 1
                self.accepted += 1
                self.most = max(self.most, self.open)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            self._talk(s)
        except OSError:
            pass
        time.sleep(self.close_delay)
        with self.lock:
            self.open -= 1
        s.close()

    def _talk(self, s):
        if self.greeting is None:
            s.recv(1)
            return
        s.sendall(self.greeting)
        f = s.makefile("rb")
        while True:
            line = f.readline()
            if not line.endswith(b"\n"):
                return
            self.seen.append(line)
            literal = re.search(rb"\{(\d+)(\+?)\}\r\n$", line)
            while literal:
                if b"Nope" in line and not literal[2]:
                    literal = None
                    break
                if not literal[2]:
                    s.sendall(b"+ go\r\n")
                line += f.read(int(literal[1]))
                tail = f.readline()
                line += tail
                literal = re.search(rb"\{(\d+)(\+?)\}\r\n$", tail)
            tag, _, rest = line.partition(b" ")
            verb = rest.split()[0].upper() if rest.split() else b""
            if verb in self.hang_at:
                while s.recv(4096):
                    pass
                return
            if verb == b"CAPABILITY":
                s.sendall(b"* CAPABILITY " + self.capability + b"\r\n" + tag + b" OK done\r\n")
            elif verb == b"LOGIN":
                time.sleep(self.login_delay)
                ok = self.users is None or any(u in rest for u in self.users)
                s.sendall(tag + (b" OK in\r\n" if ok else b" NO bad\r\n"))
            elif verb == b"APPEND" and b"Nope" in rest:
                s.sendall(tag + b" NO [TRYCREATE] no such mailbox\r\n")
            elif verb in (b"SELECT", b"EXAMINE"):
                s.sendall(b"* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 2] x\r\n" + tag + b" OK [READ-WRITE] done\r\n")
            elif verb == b"LOGOUT":
                s.sendall(b"* BYE bye\r\n" + tag + b" OK done\r\n")
                return
            elif verb == b"FETCH":
                s.sendall(b"* 1 FETCH (BODY[] {6000000}\r\n" + b"m" * 6000000 + b")\r\n" + tag + b" OK done\r\n")
            elif verb == b"UID" and b"BODY[" in rest:
                s.sendall(b"* 1 FETCH (UID 1 FLAGS (\\Seen) BODY[] {6000000}\r\n" + b"m" * 6000000 + b")\r\n" + tag + b" OK done\r\n")
            elif verb == b"UID" and b" FETCH " in rest:
                s.sendall(b"* 1 FETCH (UID 1 FLAGS ())\r\n" + tag + b" OK done\r\n")
            elif verb == b"LIST":
                s.sendall(b'* LIST () "/" ""\r\n' + tag + b" OK done\r\n")
            else:
                s.sendall(tag + b" OK done\r\n")


class Proxy:
    def __init__(self, text, program=IMAPMUX, env=None, files=None, before=None):
        self.dir = tempfile.mkdtemp(prefix="adversary.")
        self.config = pathlib.Path(self.dir, "imapmux.yaml")
        for name, content in (files or {}).items():
            pathlib.Path(self.dir, name).write_text(content)
        self.config.write_text(text)
        self.log_path = pathlib.Path(self.dir, "log")
        self.process = subprocess.Popen([program, "serve", "--config", str(self.config)],
                                        stderr=open(self.log_path, "wb"), stdout=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})}, preexec_fn=before)
        until = time.time() + 20
        while "serves with" not in self.log():
            if self.process.poll() is not None or time.time() > until:
                raise RuntimeError("the proxy did not start:\n" + self.log())
            time.sleep(0.02)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def ports(self):
        return {m[1]: int(m[2]) for m in re.finditer(r"listener (\S+): listening on \S*:(\d+)", self.log())}

    def reload(self, text=None, wait=True):
        if text is not None:
            self.config.write_text(text)
        before = self.log().count(" reload: ")
        self.process.send_signal(signal.SIGHUP)
        while wait and self.log().count(" reload: ") == before:
            time.sleep(0.02)
        time.sleep(0.1)

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, limit=30):
        began = time.time()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "no end"
        took = time.time() - began
        complaint = re.search(COMPLAINT, self.log())
        if complaint:
            print("BROKEN: the proxy complains:\n" + self.log()[max(0, complaint.start() - 200):][:8000], flush=True)
            os._exit(1)  # at once: threads of the test would go on and on
        return code, took


class Client:
    def __init__(self, port, host="127.0.0.1", greeting=True, timeout=30):
        self.s = socket.create_connection((host, port), timeout=timeout)
        self.f = self.s.makefile("rb")
        self.greeting = self.f.readline() if greeting else b""

    def send(self, octets):
        self.s.sendall(octets)

    def until(self, tag):
        got = b""
        while True:
            line = self.f.readline()
            got += line
            if not line or line.startswith(tag):
                return got

    def cmd(self, line):
        self.send(line + b"\r\n")
        return self.until(line.split()[0] + b" ")

    def reset(self):
        import struct
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.f.close()
        self.s.close()

    def close(self):
        self.f.close()
        self.s.close()


def config(backend, workers=1, access="exclusive", k=2, extra="", limits="{auth_failure_delay: 0s}", listener="",
           backend_extra="", head=""):
    if "health_check" not in backend_extra:  # its connections would be counted
        backend_extra += "\n    health_check: off"
    port = backend if isinstance(backend, int) else backend.port
    return f"""workers: {workers}
shutdown_grace: 2s
{head}
listeners:
  - {{name: imap, bind: "127.0.0.1:0", tls: none{listener}}}
backends:
  b:
    servers: ["127.0.0.1:{port}"]
    tls: none
    mailbox_access: {access}
    connections_per_user: {k}
{backend_extra}
limits: {limits}
{extra}
"""


def verdict(holds, text):
    print(("holds: " if holds else "BROKEN: ") + text, flush=True)
    return 0 if holds else 1
