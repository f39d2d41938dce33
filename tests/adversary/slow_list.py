"""D has INBOX open, and asks for a huge LIST (on the second connection), which it does not read. C's FETCH on the mailbox's
connection has to go on. argv[1]: whether D stays or vanishes."""
import os, sys, time, threading
import rig
BINARY = os.environ["IMAPMUX"]
SIZE = 3_000_000
begin = threading.Event(); go = threading.Event()
def handler(c, tag, verb, rest):
    ok = tag + b" OK done\r\n"
    if verb == b"UID FETCH" and b"BODY" in rest:
        c.s.sendall(b"* 1 FETCH (UID 5 FLAGS (\\Seen) BODY[] {%d}\r\n" % SIZE)
        piece = b"x" * 60000
        left = SIZE - len(piece)
        c.s.sendall(piece); begin.set(); go.wait(30)
        while left:
            n = min(left, len(piece)); c.s.sendall(piece[:n]); left -= n
        return b")\r\n" + ok
    if verb == b"LIST" and b"*" in rest:
        for i in range(150):
            c.s.sendall(b'* LIST () "/" "%s"\r\n' % (b"m" * 60) * 2000)
        return ok
    if verb == b"UID FETCH":
        if b":*" in rest:
            return b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (i, 3*i+2) for i in (1, 2, 3)) + ok
        return b"* 2 FETCH (UID 8 FLAGS ())\r\n" + ok
b = rig.Backend(handler, caps="IMAP4rev1 UNSELECT LITERAL+")
m = rig.Mux(b.port, "shared", backend={"connections_per_user": 2, "poll_interval": "30s"}, binary=BINARY)
try:
    c = rig.Client(m, timeout=10); d = rig.Client(m, rcvbuf=65536, timeout=10)
    c.cmd("SELECT INBOX"); d.cmd("SELECT INBOX")
    c.send("f FETCH 1 BODY[]\r\n"); begin.wait(5)
    d.send('l LIST "" *\r\n'); time.sleep(2)
    if sys.argv[1] == "vanishes":
        d.s.close(); time.sleep(1)
    print("backend connections", len(b.conns), "rss", m.rss())
    go.set()
    try:
        got = c.until("f OK", timeout=10); print("C got", len(got), "fine"); bad = 0
    except Exception as e:
        print("FAILED: C's answer stops:", type(e).__name__, len(c.buf), "of", SIZE, "rss", m.rss()); bad = 1
    sys.exit(bad)
finally:
    m.stop()
