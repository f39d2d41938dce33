"""The delay grows per account of the backend, however its name is written (spaces are trimmed, login_as maps)."""
import sys, time
from common import *
b = Backend(users=[b"nope"]); p = Proxy(config(b, limits="{auth_failure_delay: 200ms}")); c = Client(p.ports()["imap"]); ts = []
for i in range(5):
    t = time.time(); c.cmd(b'a LOGIN "%sbob" p' % (b" " * i)); ts.append(round(time.time() - t, 1))
p.stop(); names = {l.split()[2] for l in b.seen if b"LOGIN" in l}
sys.exit(verdict(ts[-1] > 0.7, f"names at the backend {names}, delays {ts}"))
