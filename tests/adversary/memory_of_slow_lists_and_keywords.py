"""unbounded memory: argv[1] keywords | list"""
import os, sys, time, threading
import rig
BINARY = os.environ["IMAPMUX"]
what = sys.argv[1]
def handler(c, tag, verb, rest):
    ok = tag + b" OK done\r\n"
    if verb == b"LIST" and b"*" in rest:
        try:
            for i in range(2000):
                c.s.sendall(b'* LIST () "/" "%s"\r\n' % (b"m" * 60) * 2000)
        except OSError: pass
        return ok
    if verb == b"UID FETCH":
        if b":*" in rest:
            return b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (i, 3*i+2) for i in (1, 2, 3)) + ok
        return b"* 2 FETCH (UID 8 FLAGS ())\r\n" + ok
b = rig.Backend(handler, caps="IMAP4rev1 UNSELECT LITERAL+")
m = rig.Mux(b.port, "shared", backend={"connections_per_user": 1, "poll_interval": "30s"}, binary=BINARY)
try:
    c = rig.Client(m, rcvbuf=65536 if what == "list" else None, timeout=30)
    before = m.rss()
    if what == "list":
        c.send('l LIST "" *\r\n'); time.sleep(6)
        after = m.rss(); c.s.close(); most = 20
    else:
        c.cmd("SELECT INBOX")
        n = 0
        for batch in range(120):
            o = b""
            for i in range(100):
                n += 1; o += b"s%d STORE 1 FLAGS.SILENT (%s%d)\r\n" % (n, b"k" * 1000, n)
            c.send(o); c.until("s%d OK" % n)
        after = m.rss(); most = 10; print(n, "commands")
    print(what, "rss", before, "->", after, "MiB", "FAILED" if after - before > most else "fine")
    sys.exit(after - before > most)
finally:
    m.stop()
