"""A client that is handed over with a TLS record cut anywhere, or half-closed by close_notify, loses nothing."""
import ssl, subprocess, sys, tempfile, time, threading
from common import *
d = tempfile.mkdtemp()
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d+"/k", "-out", d+"/c", "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True)
b = Backend()
p = Proxy(f"""workers: 4
shutdown_grace: 1s
certificates: [{{certificate: {d}/c, private_key: {d}/k}}]
listeners: [{{name: i, bind: "127.0.0.1:0", tls: implicit}}]
backends: {{b: {{servers: ["127.0.0.1:{b.port}"], tls: none, mailbox_access: exclusive, connections_per_user: 0}}}}
""")
port = p.ports()["i"]; cx = ssl.create_default_context(); cx.check_hostname = False; cx.verify_mode = ssl.CERT_NONE
class Mem:
    def __init__(self, version):
        c = cx
        if version:
            c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE; c.maximum_version = version
        self.i, self.o = ssl.MemoryBIO(), ssl.MemoryBIO(); self.t = c.wrap_bio(self.i, self.o)
        self.s = socket.create_connection(("127.0.0.1", port), timeout=8)
        while True:
            try: self.t.do_handshake(); self.flush(); break
            except ssl.SSLWantReadError: self.flush(); self.i.write(self.s.recv(65536))
        self.until(b"\n")
    def flush(self): self.s.sendall(self.o.read())
    def enc(self, x): self.t.write(x); return self.o.read()
    def until(self, end, eof=False):
        got = b""
        while end not in got:
            try:
                x = self.t.read(65536)
                if not x: break
                got += x
            except ssl.SSLWantReadError:
                y = self.s.recv(65536)
                if not y: break
                self.i.write(y)
            except ssl.SSLError as e: got += repr(e).encode(); break
        return got
fails = []
for version in (ssl.TLSVersion.TLSv1_2, None):
    for n in range(0, 60):
        m = Mem(version); r1 = m.enc(b"a LOGIN w%d p\r\n" % n); r2 = m.enc(b"b NOOP\r\nc SELECT INBOX\r\n") + m.enc(b"d LOGOUT\r\n")
        whole = r1 + r2; k = min(n * 2, len(r2)); m.s.sendall(r1 + r2[:k]); time.sleep(0.02 if n % 3 else 0); m.s.sendall(r2[k:])
        got = m.until(b"d OK")
        if not all(x in got for x in (b"a OK", b"b OK", b"c OK", b"d OK")): fails.append((version, n, got[-80:]))
        m = Mem(version); r = m.enc(b"a LOGIN h%d p\r\nb NOOP\r\n" % n)
        try: m.t.unwrap()
        except ssl.SSLError: pass
        m.s.sendall(r + m.o.read())
        if n % 2: m.s.shutdown(socket.SHUT_WR)
        got = m.until(b"b OK")
        if b"b OK" not in got: fails.append(("close_notify", version, n, got[-80:]))
code, took = p.stop()
sys.exit(verdict(not fails and code == 0, f"{len(fails)} failures of 240, exit {code}: {fails[:4]}"))
