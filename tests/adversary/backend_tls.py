"""Backends are verified unless told otherwise: CA, name, date; STARTTLS cannot be stripped; PREAUTH is no login."""
import ssl, subprocess, sys, tempfile, threading, time
from common import *
d = tempfile.mkdtemp()
def sh(cmd): subprocess.run(cmd, shell=True, check=True, capture_output=True, cwd=d)
sh("openssl req -x509 -newkey rsa:2048 -nodes -keyout cak -out ca -subj /CN=ca -days 9; openssl req -x509 -newkey rsa:2048 -nodes -keyout ca2k -out ca2 -subj /CN=ca2 -days 9")
def cert(name, san, ca="ca", days=5):
    sh(f"openssl req -newkey rsa:2048 -nodes -keyout {name}.k -out {name}.r -subj /CN=x; printf 'subjectAltName={san}' > e; openssl x509 -req -in {name}.r -CA {ca} -CAkey {ca}k -CAcreateserial -days {days} -extfile e -out {name}.c")
cert("good", "DNS:localhost"); cert("ip", "IP:127.0.0.1"); cert("name", "DNS:other.example"); cert("ca2c", "DNS:localhost", "ca2")
sh("openssl req -newkey rsa:2048 -nodes -keyout old.k -out old.r -subj /CN=x; printf 'subjectAltName=DNS:localhost' > e; openssl x509 -req -in old.r -CA ca -CAkey cak -CAcreateserial -days -1 -extfile e -out old.c || (mkdir -p dm; true)")
class TlsBackend:
    def __init__(self, crt, mode, plain=None, floor=None):
        self.crt, self.mode, self.plain, self.logins, self.floor = crt, mode, plain, [], floor
        self.l = socket.create_server(("127.0.0.1", 0)); self.port = self.l.getsockname()[1]
        threading.Thread(target=self.loop, daemon=True).start()
    def loop(self):
        while True:
            s, _ = self.l.accept(); threading.Thread(target=self.one, args=(s,), daemon=True).start()
    def one(self, s):
        try:
            cx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if self.crt: cx.load_cert_chain(f"{d}/{self.crt}.c", f"{d}/{self.crt}.k")
            if self.mode == "implicit": s = cx.wrap_socket(s, server_side=True)
            s.sendall(self.plain or b"* OK hi\r\n"); f = s.makefile("rb")
            for line in f:
                tag, _, rest = line.partition(b" ")
                if rest.startswith(b"STARTTLS"):
                    if self.mode == "strip": s.sendall(tag + b" BAD no\r\n"); continue
                    inj = b"* CAPABILITY IMAP4rev1 INJECTED\r\n+ go\r\nm2 OK LOGIN done\r\nm3 OK [CAPABILITY EVIL] in\r\n" if self.mode == "inject" else b""
                    s.sendall(tag + b" OK go\r\n" + inj); s = cx.wrap_socket(s, server_side=True); f = s.makefile("rb")
                    return self.talk(s, f)
                if self.handle(s, tag, rest): return
        except (OSError, ssl.SSLError): pass
        finally: s.close()
    def talk(self, s, f):
        for line in f:
            tag, _, rest = line.partition(b" ")
            if self.handle(s, tag, rest): return
    def handle(self, s, tag, rest):
        if rest.startswith(b"LOGIN "): self.logins.append(rest); s.sendall(tag + (b" BAD already in\r\n" if b"PREAUTH" in (self.plain or b"") else b" OK in\r\n"))
        elif rest.startswith(b"CAPABILITY"): s.sendall(b"* CAPABILITY IMAP4rev1\r\n" + tag + b" OK\r\n")
        elif rest.startswith(b"LOGOUT"): s.sendall(b"* BYE\r\n" + tag + b" OK\r\n"); return True
        else: s.sendall(tag + b" OK\r\n")
bad = 0
def case(name, want, crt, mode, tls="starttls", host="localhost", keys=f"ca: {d}/ca", plain=None):
    global bad
    b = TlsBackend(crt, mode, plain)
    t = config(b.port).replace(f'"127.0.0.1:{b.port}"', f'"{host}:{b.port}"').replace("    tls: none", f"    tls: {tls}\n    {keys}\n    command_timeout: 3s", 1)
    p = Proxy(t); c = Client(p.ports()["imap"]); a = c.cmd(b"a LOGIN u secret1"); ok = b"a OK" in a
    code, _ = p.stop(); why = [l.split(" reason=")[-1] for l in p.log().splitlines() if "warn" in l and "backend=b " in l]
    bad |= verdict(ok == want and (want or not b.logins or plain) and code == 0 and b"INJECTED" not in a and b"EVIL" not in a, f"{name}: {'in' if ok else 'refused'}, password sent: {bool(b.logins)}, {a[:60]} {why[:1]}")
for tls, mode in (("starttls", "starttls"), ("implicit", "implicit")):
    case(tls + " good", True, "good", mode, tls)
    case(tls + " by address, IP in certificate", True, "ip", mode, tls, host="127.0.0.1")
    case(tls + " by address, name in certificate", False, "good", mode, tls, host="127.0.0.1")
    case(tls + " wrong name", False, "name", mode, tls)
    case(tls + " wrong name, tls_verify ca", True, "name", mode, tls, keys=f"ca: {d}/ca\n    tls_verify: ca")
    case(tls + " wrong name, server_name", True, "name", mode, tls, keys=f"ca: {d}/ca\n    server_name: other.example")
    case(tls + " other CA", False, "ca2c", mode, tls)
    case(tls + " other CA, tls_verify ca", False, "ca2c", mode, tls, keys=f"ca: {d}/ca\n    tls_verify: ca")
    case(tls + " system's CAs", False, "good", mode, tls, keys="tls_verify: full")
    case(tls + " none", True, "ca2c", mode, tls, keys="tls_verify: none")
    if os.path.exists(d + "/old.c"): case(tls + " expired", False, "old", mode, tls)
case("STARTTLS stripped", False, None, "strip")
case("answers injected behind STARTTLS", True, "good", "inject")
case("PREAUTH before STARTTLS", False, "good", "starttls", plain=b"* PREAUTH hi\r\n")
case("PREAUTH, implicit", False, "good", "implicit", tls="implicit", plain=b"* PREAUTH hi\r\n")
case("plain server, implicit", False, None, "plainserver", tls="implicit")
sys.exit(bad)
