"""Many clients ask together for the flags of a large mailbox, and do not read what they get. It is told from the proxy's table, and
must neither fill its memory nor hold anybody up; and it is whole in the end."""
import os, sys, time
import rig
BINARY = os.environ["IMAPMUX"]
MESSAGES, CLIENTS, MOST = 100_000, 12, 10
flags = [b"* %d FETCH (UID %d FLAGS (\\Seen))\r\n" % (n, n) for n in range(1, MESSAGES + 1)]
asked = []
read = 0  # the last message whose flags are known
def handler(c, tag, verb, rest):
    global read
    ok = tag + b" OK done\r\n"
    if verb in (b"SELECT", b"EXAMINE"):
        c.exists = MESSAGES
    if verb == b"UID SEARCH":
        return b"* SEARCH " + b" ".join(b"%d" % n for n in range(1, MESSAGES + 1)) + b"\r\n" + ok
    if verb == b"LIST" and b"*" in rest:
        time.sleep(0.5)  # all of them ask meanwhile
        return ok
    if verb == b"UID FETCH":
        first, last = (int(end) for end in rest.split()[0].split(b":"))
        if last == MESSAGES and first == 1: asked.append(rest)
        read = last
        return b"".join(flags[first - 1:last]) + ok
def whole(c):
    got = b""
    while not got.endswith(b"f OK UID FETCH completed\r\n"): got += c.s.recv(1 << 20)
    return got.count(b" FETCH (UID ") == MESSAGES
b = rig.Backend(handler, caps="IMAP4rev1 UNSELECT LITERAL+")
m = rig.Mux(b.port, "shared", backend={"connections_per_user": 1, "poll_interval": "30s"}, binary=BINARY, top={"log": {"level": "warn"}})
try:
    first = rig.Client(m, timeout=30); first.cmd("SELECT INBOX")
    while read < MESSAGES: time.sleep(0.05)  # behind the SELECT
    slow = [rig.Client(m, rcvbuf=65536, timeout=30) for _ in range(CLIENTS)]
    for c in slow: c.cmd("SELECT INBOX")
    asked.clear(); before = m.rss()
    first.send('l LIST "" *\r\n'); time.sleep(0.2)
    for c in slow: c.send("f UID FETCH 1:* (FLAGS)\r\n")
    first.until("l OK"); first.cmd("NOOP"); time.sleep(0.5)
    after = m.rss(); began = time.monotonic(); first.cmd("NOOP"); took = time.monotonic() - began
    bad = after - before > MOST or took > 5 or len(asked) != 1
    bad = bad or not all([whole(c) for c in slow])
    print(f"asked {asked}, rss {before} -> {after} MiB, a NOOP took {took:.3f} s", "FAILED" if bad else "fine")
    sys.exit(bad)
finally:
    m.stop()
