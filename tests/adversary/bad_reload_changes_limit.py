"""A reload that is refused changes nothing, max_connections included."""
import sys, time, pathlib
from common import *
bad = 0
b = Backend()
def text(n, ca="", with_a=True):
    return f"""workers: 1
shutdown_grace: 1s
listeners: [{{name: imap, bind: "127.0.0.1:0", tls: none}}]
backends:
""" + (f"""  a: {{servers: ["127.0.0.1:{b.port}"], tls: none, mailbox_access: unrestricted, max_connections: {n}, backend_wait: 500ms}}
""" if with_a else "") + f"""  z: {{servers: ["127.0.0.1:1"], tls: implicit, mailbox_access: exclusive{ca}}}
routes: [{{backend: {'a' if with_a else 'z'}}}]
"""
p = Proxy(text(1), files={"notpem": "this is no certificate\n"})
port = p.ports()["imap"]
def ins():
    c = Client(port); a = c.cmd(b"a LOGIN u%d p" % time.time_ns()); return c, b"a OK" in a
c1, ok1 = ins(); c2, ok2 = ins()
assert ok1 and not ok2
p.reload(text(100, ", ca: notpem"))
assert "nothing has changed" in p.log(), p.log()
c3, ok3 = ins()
bad |= verdict(not ok3, f"refused reload with max_connections 100 (was 1): a second connection {'is let through' if ok3 else 'is not'}")
for c in (c1, c2, c3): c.close()
p.stop()
sys.exit(bad)
