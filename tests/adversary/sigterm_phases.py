"""SIGTERM in every phase of a session: exit 0 within shutdown_grace + 3 s, BYE where one can be said."""
import ssl, subprocess, sys, tempfile, time, threading, urllib.request
from common import *
bad = 0
d = tempfile.mkdtemp()
subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", d+"/k", "-out", d+"/c", "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True)
def phase(name, act, backend=None, text=lambda t: t, bye=True, port_name="imap"):
    global bad
    b = backend or Backend()
    p = Proxy(text(config(b, k=1, backend_extra="    lease_wait: 30s\n    backend_wait: 30s\n    connect_timeout: 20s", limits="{auth_failure_delay: 15s}")
      .replace("tls: none}", "tls: none}\n  - {name: s, bind: '127.0.0.1:0', tls: starttls, allow_plaintext_login: always}\n  - {name: i, bind: '127.0.0.1:0', tls: implicit}", 1)
      .replace("listeners:", f"certificates: [{{certificate: {d}/c, private_key: {d}/k}}]\nadmin: {{bind: '127.0.0.1:{free_port()}'}}\nlisteners:")))
    port = p.ports()[port_name]
    keep = []
    s = act(port, keep); time.sleep(0.4)
    p.process.terminate(); got = b""
    def drain():
        nonlocal got
        try:
            while x := s.recv(65536): got += x
        except OSError as e: got += repr(e).encode()
    th = threading.Thread(target=drain); th.start()
    code, took = p.stop(20); th.join(3)
    log = p.log(); san = "Sanitizer" in log or "Assertion" in log
    bad |= verdict(code == 0 and took < 5 and not san and (not bye or b"BYE" in got), f"{name}: exit {code} after {took:.1f} s, {got[-70:]}" + (log[-1500:] if san else ""))
def conn(port, *lines, greet=True):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    if greet: s.recv(500)
    for l in lines: s.sendall(l); time.sleep(0.15)
    return s
phase("greeted", lambda p, k: conn(p))
phase("half a command", lambda p, k: conn(p, b"a LOG"))
phase("half a literal", lambda p, k: conn(p, b"a LOGIN {5}\r\n", b"ab"))
phase("AUTHENTICATE, first step", lambda p, k: conn(p, b"a AUTHENTICATE LOGIN\r\n"))
phase("AUTHENTICATE, second step", lambda p, k: conn(p, b"a AUTHENTICATE LOGIN\r\n", b"dQ==\r\n"))
phase("implicit TLS, nothing said", lambda p, k: conn(p, greet=False), bye=False, port_name="i")
phase("implicit TLS, half a hello", lambda p, k: conn(p, b"\x16\x03\x01\x02\x00\x01", greet=False), bye=False, port_name="i")
phase("STARTTLS, nothing said", lambda p, k: conn(p, b"a STARTTLS\r\n"), bye=False, port_name="s")
phase("backend does not greet", lambda p, k: conn(p, b"a LOGIN u p\r\n"), backend=Backend(greeting=None))
phase("backend decides slowly", lambda p, k: conn(p, b"a LOGIN u p\r\n"), backend=Backend(login_delay=30))
phase("backend hangs in CAPABILITY", lambda p, k: conn(p, b"a LOGIN u p\r\n"), backend=Backend(hang_at=(b"CAPABILITY",)))
phase("delay after a failed login", lambda p, k: conn(p, b"a LOGIN u p\r\n"), backend=Backend(users=[b"none"]))
def second(p, k):
    k.append(conn(p, b"a LOGIN u p\r\n")); return conn(p, b"a LOGIN u p\r\n")
phase("waits for a place", second)
phase("selected", lambda p, k: conn(p, b"a LOGIN u p\r\n", b"b SELECT INBOX\r\n"))
phase("IDLE", lambda p, k: conn(p, b"a LOGIN u p\r\n", b"b SELECT INBOX\r\n", b"c IDLE\r\n"))
phase("half an upload", lambda p, k: conn(p, b"a LOGIN u p\r\n", b"b APPEND INBOX {1000}\r\n", b"abc"))
phase("backend hangs in CREATE", lambda p, k: conn(p, b"a LOGIN u p\r\n", b"b CREATE x\r\n"), backend=Backend(hang_at=(b"CREATE",)))
phase("backend hangs in LOGOUT", lambda p, k: conn(p, b"a LOGIN u p\r\n"), backend=Backend(hang_at=(b"LOGOUT",)))
phase("backend hangs in CREATE and LOGOUT", lambda p, k: conn(p, b"a LOGIN u p\r\n", b"b CREATE x\r\n"), backend=Backend(hang_at=(b"CREATE",b"LOGOUT")))
phase("lookup of a name hangs or fails", lambda p, k: conn(p, b"a LOGIN u p\r\n"), text=lambda t: re.sub(r'servers: \[.*?\]', 'servers: ["no.such.name.invalid:143"]', t), bye=False)
phase("connecting to a black hole", lambda p, k: conn(p, b"a LOGIN u p\r\n"), text=lambda t: re.sub(r'servers: \[.*?\]', 'servers: ["192.0.2.1:143"]', t), bye=False)
sys.exit(bad)
