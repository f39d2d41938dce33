"""Thousands of answers wait for the end of a literal that comes slowly: they must not stop it, and all of them have to come."""
import os, sys, time, threading, re
import rig
go=threading.Event()
def handler(c, tag, verb, rest):
    ok = tag + b" OK done\r\n"
    if verb == b"UID FETCH" and b"BODY" in rest:
        c.s.sendall(b"* 1 FETCH (UID 5 BODY[] {100000}\r\n"+b"x"*10000); go.wait(20)
        c.s.sendall(b"x"*90000+b")\r\n"); return ok
    if verb == b"UID FETCH":
        return b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (i, 3*i+2) for i in (1, 2, 3)) + ok
b = rig.Backend(handler, caps="IMAP4rev1 UNSELECT LITERAL+")
m = rig.Mux(b.port, "shared", backend={"connections_per_user": 1, "poll_interval": "30s"}, binary=os.environ["IMAPMUX"])
try:
    c = rig.Client(m, timeout=20); c.cmd("SELECT INBOX")
    c.send("a1 FETCH 1 BODY.PEEK[]\r\n"); time.sleep(0.3)
    c.send("".join("%s%d FOO\r\n"%("t"*50,n) for n in range(1,3801))); time.sleep(1)
    go.set(); time.sleep(1); got=c.rest(2)[0]
    tags=[int(x) for x in re.findall(rb"\r\nt+(\d+) BAD",got)]
    missing = [n for n in range(1, 3801) if n not in tags]
    bad = bool(missing) or b"a1 OK" not in got
    print("BROKEN:" if bad else "holds:", len(tags), "answers, missing:", missing[:10], "a1 OK" if b"a1 OK" in got else "no a1 OK")
    sys.exit(bad)
finally: m.stop()
