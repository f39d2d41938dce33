"""SIGTERM while the backend hangs: in a login for a further connection, in a replayed literal, in a command whose client has
gone. The proxy ends within shutdown_grace (1 s) + 5 s."""
import sys, time, socket, threading
sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
import rig
only = sys.argv[1:]
bad = False
def run(name, handler, act, **kw):
    b = rig.Backend(handler, caps="IMAP4rev1 UIDPLUS UNSELECT IDLE")
    if only and name not in only: return
    m = rig.Mux(b.port, kw.pop("mode", "shared"), backend={"connections_per_user": 1, "lease_wait": "30s", "backend_wait": "30s", **kw})
    keep = []
    try: act(m, b, keep)
    except Exception as e: print(name, "act:", repr(e))
    time.sleep(0.3)
    t = time.time()
    global bad
    try: m.stop(); took = time.time() - t; bad |= took > 6; print("%s: stopped in %.1f s" % (name, took))
    except RuntimeError as e: bad = True; print(name, "DIED", str(e)[-1500:])
    b.close()
def cut_in_literal(c, tag, verb, rest):
    if verb == b"UID FETCH" and b"BODY" in rest:
        if c.n == 0:
            c.s.sendall(b"* 1 FETCH (UID 1 BODY[] {100000}\r\n" + b"a" * 50000); time.sleep(0.2); c.kill(); raise EOFError
        c.s.sendall(b"* 1 FETCH (UID 1 BODY[] {100000}\r\n" + b"a" * 30000); time.sleep(60)
def f(m, b, k):
    c = rig.Client(m); k.append(c); c.cmd("SELECT INBOX"); c.send("x FETCH 1 BODY.PEEK[]\r\n"); c.until(b"100000}\r\n"); time.sleep(0.8)
run("in the replay", cut_in_literal, f)
def no_login(c, tag, verb, rest):
    if verb == b"LOGIN" and c.n > 0: time.sleep(60)
    return cut_in_literal(c, tag, verb, rest)
run("waits for the next connection in a literal", no_login, f)
run("the same, exclusive", no_login, f, mode="exclusive")
def slow_list(c, tag, verb, rest):
    if verb == b"LIST" and b"*" in rest: c.s.sendall(b'* LIST () "/" {100000}\r\n' + b"a" * 5000); time.sleep(60)
def vanished(m, b, k):
    c = rig.Client(m); k.append(c); c.send("x CREATE y\r\n"); time.sleep(.2); c.rst(); time.sleep(.5)
def busy(c, tag, verb, rest):
    if verb == b"CREATE": time.sleep(60)
run("server busy for a client that has gone, exclusive", busy, vanished, mode="exclusive")
run("server busy for a client that has gone, shared", busy, vanished, account_linger="0s")
def g(m, b, k):
    c = rig.Client(m); k.append(c); c.send('x LIST "" *\r\n'); time.sleep(.3)
    d = rig.Client(m, timeout=3, login=False); d.send('l LOGIN bob secret\r\n'); k.append(d); d.send('x SELECT INBOX\r\n')
    e = rig.Client(m, login=False); k.append(e); e.send("x LOGIN bob second\r\n")
    h = rig.Client(m, login=False); k.append(h); h.send("x LOGIN bob third\r\n"); time.sleep(.3)
run("held list, waiting select, two waiting checks", slow_list, g)
run("the same, exclusive", slow_list, g, mode="exclusive")
def g2(m, b, k):
    g(m, b, k); k[2].rst(); k[0].rst(); time.sleep(.05)
run("and some vanish", slow_list, g2)
def h(m, b, k):
    for i in range(6):
        c = rig.Client(m, login=False, user="u"); k.append(c); c.send("x LOGIN u%d secret\r\n" % i)
    time.sleep(.5)
run("max_connections waiters", None, h, max_connections=2, min_hold="10s")
def idle(m, b, k):
    c = rig.Client(m); k.append(c); c.cmd("SELECT INBOX"); c.send("i IDLE\r\n"); time.sleep(1)
    e = rig.Client(m, login=False); k.append(e); e.send("x LOGIN bob second\r\n"); time.sleep(0.02)
run("idle, victim on its way", None, idle)
def ro(c, tag, verb, rest):
    if verb == b"UNSELECT": time.sleep(60)
run("backend hangs in UNSELECT", ro, idle)
sys.exit(bad)
