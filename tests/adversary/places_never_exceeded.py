"""Many users, max_connections small, K small, clients that vanish, guessers, reloads (K, max_connections, access): the
backend's own count never exceeds what is allowed, and at the end everybody gets in again."""
import sys, random, time, threading, json, os, signal, re
sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
import rig
seed = int(sys.argv[1]); mode = sys.argv[2]; secs = float(sys.argv[3])
share = sys.argv[4] if len(sys.argv) > 4 else "any"
rnd = random.Random(seed)
MAX = 4; K = 2
lock = threading.Lock(); per = {}; total = 0; worst = {"total": 0, "user": 0}
class B(rig.BackendConn): pass
def handler(c, tag, verb, rest):
    if verb == b"LOGIN":
        u, p = [x.strip(b'"') for x in rest.split(b" ")]
        time.sleep(rnd.random() * 0.03)
        if p not in (b"secret", b"second"): return tag + b" NO [AUTHENTICATIONFAILED] no\r\n"
        with lock:
            c.user = u; per[u] = per.get(u, 0) + 1; worst["user"] = max(worst["user"], per[u])
        return tag + b" OK in\r\n"
    if verb == b"NOOP" and rnd.random() < 0.01:
        c.kill(rst=True); raise EOFError
    if verb == b"LOGOUT": time.sleep(rnd.random() * 0.05)
    return None
class Counting(rig.Backend):
    pass
orig_run = rig.BackendConn.run
class Sock:
    def __init__(self, s, of): self._s, self._of, self._gone = s, of, False
    def __getattr__(self, n): return getattr(self._s, n)
    def _end(self):
        global total
        with lock:
            if self._gone: return
            self._gone = True; total -= 1
            if getattr(self._of, "user", None): per[self._of.user] -= 1
    def close(self): self._end(); self._s.close()
    def shutdown(self, h): self._end(); self._s.shutdown(h)
def run(self):
    global total
    with lock: total += 1; worst["total"] = max(worst["total"], total)
    self.s = Sock(self.s, self)
    try: orig_run(self)
    finally: self.s._end()
rig.BackendConn.run = run
b = rig.Backend(handler, caps="IMAP4rev1 UIDPLUS UNSELECT IDLE")
back = {"connections_per_user": K, "max_connections": MAX, "lease_wait": "3s", "backend_wait": "3s", "account_linger": "2s", "share_credentials": share,
  "min_hold": "100ms", "max_hold": "500ms"}
m = rig.Mux(b.port, mode, backend=back, limits={"max_clients_per_user": 6, "auth_failure_delay": "20ms"})
conf = m.dir / "c.yaml"; base_text = conf.read_text()
stop = time.monotonic() + secs
stats = {}; problems = []
def note(x): stats[x] = stats.get(x, 0) + 1
def client(i):
    r = random.Random(seed * 1000 + i)
    while time.monotonic() < stop:
        try:
            u = r.choice(["u1", "u2", "u3", "u4", "u5"]); 
            c = rig.Client(m, login=False, timeout=30)
            pw = r.choice(["secret", "secret", "secret", "second", "wrong%d" % r.randrange(3)])
            if r.random() < 0.1: c.send(f"a LOGIN {u} {pw}\r\n"); time.sleep(r.random() * 0.1); c.rst(); note("vanish"); continue
            a = c.cmd(f"LOGIN {u} {pw}")
            if b" OK " not in a: note("login " + a.split(b" ", 1)[1][:22].decode()); c.s.close(); continue
            for _ in range(r.randrange(5)):
                a = c.cmd(r.choice(["SELECT INBOX", "SELECT Two", "EXAMINE Three", "NOOP", "LIST \"\" *", "STATUS Two (MESSAGES)", "CREATE x", "CLOSE", "UID FETCH 1:3 FLAGS"]))
                note("cmd " + re.sub(rb"^\S+ ", b"", a.splitlines()[-1])[:16].decode())
                if r.random() < 0.05:
                    c.send("i IDLE\r\n"); time.sleep(r.random()); c.send("DONE\r\n")
                    c.until("i OK")
                if r.random() < 0.1: break
            if r.random() < 0.5: c.cmd("LOGOUT"); c.s.close()
            elif r.random() < 0.5: c.rst()
            else: c.s.close()
        except (EOFError, ConnectionError): note("eof")
        except (OSError, TimeoutError) as e: problems.append((i, repr(e))); return
def reloads():
    r = random.Random(seed)
    while time.monotonic() < stop - 3 and len(sys.argv) > 5:
        time.sleep(r.random() * 2)
        t = base_text.replace('"connections_per_user": 2', '"connections_per_user": %d' % r.choice([1, 2])).replace('"max_connections": 4', '"max_connections": %d' % r.choice([2, 3, 4])).replace('"mailbox_access": "%s"' % mode, '"mailbox_access": "%s"' % r.choice(["shared", "exclusive", "unrestricted"]))
        conf.write_text(t); m.p.send_signal(signal.SIGHUP)
ths = [threading.Thread(target=client, args=(i,)) for i in range(14)] + [threading.Thread(target=reloads)]
[t.start() for t in ths]; [t.join() for t in ths]
conf.write_text(base_text); m.p.send_signal(signal.SIGHUP); time.sleep(4)
print(json.dumps(stats)); print("worst", worst, "now total", total, per)
for u in ["u1", "u2", "u3", "u4", "u5"]:
    try:
        c = rig.Client(m, login=False, timeout=30); a = c.cmd(f"LOGIN {u} secret")
        if b" OK " not in a: problems.append((u, a))
        else:
            a = c.cmd("SELECT INBOX")
            if b" OK " not in a: problems.append((u, a))
        c.cmd("LOGOUT")
    except Exception as e: problems.append((u, repr(e)))
time.sleep(4)
s = m.status()
print("at the end: total", total, {k: v for k, v in (s.get("counters") or {}).items() if "client" in k})
if worst["total"] > MAX: problems.append(("max_connections exceeded", worst))
if worst["user"] > K: problems.append(("K exceeded", worst))
print("problems", problems[:8])
t = time.time()
try: m.stop(); print("stopped %.1f" % (time.time() - t), m.dir)
except RuntimeError as e: print("DIED", m.dir, str(e)[-4000:])
sys.exit(bool(problems))
