"""log.protocol_trace: no password and no message text is in the log."""
import sys, time, base64
from common import *
bad = 0
def run(name, trace, script, secrets, k=2, access="exclusive", listener="", workers=1):
    global bad
    b = Backend(capability=b'IMAP4rev1 UNSELECT')
    p = Proxy(config(b, workers=workers, access=access, k=k, listener=listener, head="log: {level: info, protocol_trace: %s}" % trace))
    try:
        c = Client(p.ports()["imap"]); script(c); time.sleep(0.3); c.close()
    finally:
        p.stop()
    log = p.log()
    leaks = [l.split(" trace ")[1][:110] for l in log.splitlines() if " trace " in l and any(s in l for s in secrets)]
    bad |= verdict(not leaks, f"{name}: {leaks}")
BYCLIENT, BYUSER = '{client: 127.0.0.1}', '{user: bob}'
body = b"Subject: topsecret\r\n\r\n" + b"topsecret body line\r\n" * 30
n = len(body)
def held(c):
    c.send(b"a LOGIN bob pw\r\nb APPEND INBOX {%d+}\r\n" % n); time.sleep(0.4); c.send(body + b"\r\n"); c.until(b"b ")
run("APPEND pipelined behind LOGIN, trace by user", BYUSER, held, ["topsecret"])
def trycreate(c):
    c.cmd(b"a LOGIN bob pw"); c.cmd(b"b APPEND Nope {999999999}")  # [TOOBIG], or by the server
    c.cmd(b"c CREATE Sent"); c.send(b"d APPEND Sent {%d}\r\n" % n); c.f.readline(); c.send(body + b"\r\n"); c.until(b"d ")
run("APPEND refused before its literal, then again", BYCLIENT, trycreate, ["topsecret"])
run("the same through a relay", BYCLIENT, trycreate, ["topsecret"], k=0, access="unrestricted")
def refused(c):
    c.cmd(b"a AUTHENTICATE LOGIN"); c.cmd(base64.b64encode(b"hunter2hunter2")); c.cmd(b"b NOOP")
run("a client that goes on after a refused AUTHENTICATE", BYCLIENT, refused, [base64.b64encode(b"hunter2hunter2").decode()], listener=", auth: [PLAIN]")
def biglit(c):
    c.cmd(b"a LOGIN bob {9000}")           # BAD: too large
    for i in range(300): c.cmd(b"n%03d ID (\"name\" \"filler\")" % i)   # the trace takes them for the literal
    c.send(b"b AUTHENTICATE PLAIN\r\n"); c.f.readline(); c.send(base64.b64encode(b"\0bob\0hunter2hunter2") + b"\r\n"); c.until(b"b "); 
run("LOGIN literal refused, later AUTHENTICATE", BYCLIENT, biglit, [base64.b64encode(b"\0bob\0hunter2hunter2").decode()])
def biglit2(c):
    pad = 9000 - len(b"b AUTHENTICATE PLAIN\r\n")
    c.cmd(b"a LOGIN bob {9000}")
    while pad:
        m = min(pad, 1000)
        if pad - m and pad - m < 20: m -= 30
        c.cmd((b"n ID (\"name\" \"" + b"f" * 900)[:m - 4].ljust(m - 4, b"f") + b"\")") if m >= 30 else None
        pad -= m
    c.send(b"b AUTHENTICATE PLAIN\r\n"); c.f.readline(); c.send(base64.b64encode(b"\0bob\0hunter2hunter2") + b"\r\n"); c.until(b"b ")
run("LOGIN literal refused, AUTHENTICATE at its end", BYCLIENT, biglit2, [base64.b64encode(b"\0bob\0hunter2hunter2").decode()])
def handed(c):
    c.send(b"a LOGIN carol pw\r\nb APPEND INBOX {%d+}\r\n" % n); time.sleep(0.5); c.send(body + b"\r\n"); c.until(b"b ")
for u in range(3):
    run("APPEND behind a LOGIN that is handed over, trace by client", BYCLIENT, handed, ["topsecret"], workers=4)
sys.exit(bad)
