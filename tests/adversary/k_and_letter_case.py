"""One user in upper and lower case has K connections, as it has one lease per mailbox."""
import sys
from common import *
b = Backend()
p = Proxy(config(b, k=1, backend_extra="    lease_wait: 500ms"))
port = p.ports()["imap"]
cs = [Client(port) for _ in range(4)]
got = [c.cmd(b"a LOGIN " + n + b" p")[:6] for c, n in zip(cs, (b"bob", b"Bob", b"BOB", b"boB"))]
p.stop()
sys.exit(verdict(b.most <= 1, f"K=1, bob/Bob/BOB/boB: {b.most} connections at once"))
