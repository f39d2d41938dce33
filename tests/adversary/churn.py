"""Hand-over, TLS, reloads, status and vanishing clients all at once: no descriptor, place or session is left,
K and max_connections hold, sanitizers are silent. Arguments: seconds."""
import os, random, ssl, subprocess, sys, tempfile, threading, time, json, base64, collections, urllib.request
from common import *
seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15
d = tempfile.mkdtemp()
for i in range(2):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{d}/k{i}", "-out", f"{d}/c{i}", "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True)
b = Backend(login_delay=0.005, users=None)
K, MOST = 3, 40
ap = free_port()
def text(cert=0, fmt="text", extra=""):
    return f"""workers: 4
shutdown_grace: 2s
log: {{level: info, format: {fmt}}}
admin: {{bind: "127.0.0.1:{ap}"}}
certificates: [{{certificate: {d}/c{cert}, private_key: {d}/k{cert}}}]
listeners:
  - {{name: plain, bind: "127.0.0.1:0", tls: none}}
  - {{name: start, bind: "127.0.0.1:0", tls: starttls}}
  - {{name: impl, bind: "127.0.0.1:0", tls: implicit}}
backends:
  b: {{servers: ["127.0.0.1:{b.port}"], tls: none, mailbox_access: exclusive, connections_per_user: {K}, max_connections: {MOST}, lease_wait: 5s, backend_wait: 5s}}
{extra}
limits: {{auth_failure_delay: 0s, login_timeout: 20s}}
"""
p = Proxy(text()); ports = p.ports()
over = threading.Event(); errors = collections.Counter(); done = collections.Counter()
cx = ssl.create_default_context(); cx.check_hostname = False; cx.verify_mode = ssl.CERT_NONE
def one(r):
    how = r.choice(["plain", "start", "impl"])
    s = socket.create_connection(("127.0.0.1", ports[how]), timeout=25)
    try:
        if how == "impl": s = cx.wrap_socket(s)
        g = s.recv(500)
        assert g.startswith(b"* OK"), g
        if how == "start":
            s.sendall(b"s STARTTLS\r\n"); assert b"s OK" in s.recv(500); s = cx.wrap_socket(s)
        u = b"u%d" % r.randrange(60)
        act = r.randrange(8)
        login = b"a LOGIN %s p\r\n" % u
        plain = base64.b64encode(b"\0" + u + b"\0p")
        if act == 0: s.sendall(login + b"b SELECT INBOX\r\nc NOOP\r\nz LOGOUT\r\n")
        elif act == 1:
            m = login + b"b SELECT INBOX\r\nz LOGOUT\r\n"; k = r.randrange(len(m)); s.sendall(m[:k]); time.sleep(r.random() * .01); s.sendall(m[k:])
        elif act == 2: s.sendall(b"a AUTHENTICATE PLAIN\r\n" + plain + b"\r\nz LOGOUT\r\n")
        elif act == 3: s.sendall(b"a AUTHENTICATE LOGIN\r\n" + base64.b64encode(u) + b"\r\n" + base64.b64encode(b"p") + b"\r\nz LOGOUT\r\n")
        elif act == 4: s.sendall(login); time.sleep(r.random() * .02); return done.update(["vanished"])
        elif act == 5:
            s.sendall(login)
            import struct; s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); time.sleep(r.random() * .02); return done.update(["reset"])
        elif act == 6:
            s.sendall(login + b"z LOGOUT\r\n")
            if how == "plain": s.shutdown(socket.SHUT_WR)
        else: s.sendall(b"a LOGIN {%d+}\r\n%s {1+}\r\np\r\nb APPEND INBOX {10+}\r\n0123456789\r\nz LOGOUT\r\n" % (len(u), u))
        got = b""
        while True:
            x = s.recv(4096)
            if not x: break
            got += x
        if b"z OK" in got and b"a OK" in got: done["ok"] += 1
        elif b"[LIMIT]" in got or b"UNAVAILABLE" in got: done["limit"] += 1
        elif act == 6 and b"a OK" in got: done["ok"] += 1
        else: errors[(how, act, got[-120:])] += 1
    except (OSError, AssertionError) as e:
        errors[(how, repr(e)[:80])] += 1
    finally:
        s.close()
def storm(i):
    r = random.Random(i)
    while not over.is_set(): one(r)
def reloads():
    n = 0
    while not over.is_set():
        n += 1
        t = [text(n // 4 % 2), text(0, "json"), "backends: [", text(0, extra="  z: {servers: ['127.0.0.1:1'], tls: none, mailbox_access: exclusive}\nroutes: [{backend: b}]"), text(1).replace("c1", "nofile")][n % 5]
        tmp = p.config.with_suffix(".new"); tmp.write_text(t); os.replace(tmp, p.config); p.process.send_signal(signal.SIGHUP); time.sleep(0.05)
def statuses():
    while not over.is_set():
        try: urllib.request.urlopen(f"http://127.0.0.1:{ap}/api/v1/status", timeout=10).read()
        except Exception as e: errors[("status", repr(e)[:80])] += 1
        time.sleep(0.02)
one(random.Random(99)); time.sleep(3); before = p.fds()
ts = [threading.Thread(target=f, args=a) for f, a in [(storm, (i,)) for i in range(40)] + [(reloads, ()), (statuses, ())]]
[t.start() for t in ts]; time.sleep(seconds); over.set(); [t.join() for t in ts]
p.config.write_text(text()); p.process.send_signal(signal.SIGHUP)
time.sleep(4)
after = p.fds()
st = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{ap}/api/v1/status", timeout=10).read())
t = time.time(); oks = 0; cs = []
for i in range(K):
    c = Client(ports["plain"]); oks += b"a OK" in c.cmd(b"a LOGIN u1 p"); cs.append(c)
quick = time.time() - t
code, took = p.stop(40)
log = p.log()
bad = verdict(code == 0 and took < 6, f"exit {code} after {took:.1f} s")
san = [l for l in log.splitlines() if "Sanitizer" in l or "Assertion" in l or "SUMMARY" in l]
bad |= verdict(not san, f"sanitizers: {collections.Counter(san)}  (log {p.log_path})")
bad |= verdict(abs(after - before) <= 2, f"descriptors before {before}, after {after}")
bad |= verdict(st["clients"] == 0 and not st["sessions"] and not st["leases"] and st["servers"][0]["connections"] == 0, f"left: clients {st['clients']}, sessions {len(st['sessions'])}, leases {len(st['leases'])}, {st['servers']}")
bad |= verdict(oks == K and quick < 1, f"{oks} of {K} new logins of one user in {quick:.2f} s")
bad |= verdict(not errors, f"{dict(done)} hand-overs {st['hand_overs']}; errors: {errors.most_common(8)}")
print("most at the backend:", b.most, "of", MOST)
sys.exit(bad)
