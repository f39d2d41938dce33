"""A client that reads slowly has its answer in the backlog (another client wanted the connection), and says LOGOUT: it has to get
all of its answer, BYE and OK all the same. argv[1]: logout | eof | stop"""
import os, sys, time, threading
import rig
BINARY = os.environ["IMAPMUX"]
how = sys.argv[1] if len(sys.argv) > 1 else "logout"
SIZE = 30_000_000
def handler(c, tag, verb, rest):
    ok = tag + b" OK done\r\n"
    if verb == b"UID FETCH" and b"BODY" in rest:
        c.s.sendall(b"* 1 FETCH (UID 5 FLAGS (\\Seen) BODY[] {%d}\r\n" % SIZE)
        piece = b"x" * 60000
        left = SIZE
        while left:
            n = min(left, len(piece)); c.s.sendall(piece[:n]); left -= n
        return b")\r\n" + ok
    if verb == b"UID FETCH":
        if b":*" in rest:
            return b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (i, 3*i+2) for i in (1, 2, 3)) + ok
        return b"* 2 FETCH (UID 8 FLAGS ())\r\n" + ok
b = rig.Backend(handler, caps="IMAP4rev1 UNSELECT LITERAL+")
m = rig.Mux(b.port, "shared", backend={"connections_per_user": 1, "poll_interval": "30s", "min_hold": "500ms"}, binary=BINARY,
            limits={"max_backlog": "100MiB"}, top={"shutdown_grace": "15s"})
try:
    c1 = rig.Client(m, rcvbuf=65536, timeout=20); c2 = rig.Client(m, timeout=20)
    c1.cmd("SELECT INBOX"); c2.cmd("SELECT INBOX")
    c1.send("f FETCH 1 BODY[]\r\n"); time.sleep(1)
    print("c2:", c2.cmd("FETCH 2 FLAGS")[-20:], "rss", m.rss())
    if how == "logout": c1.send("z LOGOUT\r\n")
    elif how == "eof": c1.s.shutdown(1)
    elif how == "stop": m.p.terminate()
    time.sleep(1)
    got = c1.rest(10); got = got[0] if isinstance(got, tuple) else got
    print(how, "c1 got", len(got), "of", SIZE, "tail", got[-60:])
    bad = len(got) < SIZE or b"f OK" not in got[-200:]
    print("FAILED" if bad else "fine")
    sys.exit(bad)
finally:
    m.p.kill() if how == "stop" else m.stop()
