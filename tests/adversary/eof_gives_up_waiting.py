"""Architecture, rule 7: at EOF waits for a slot are abandoned; at SIGTERM who waits for a place gets BYE soon."""
import sys, time
from common import *
bad = 0
b = Backend()
p = Proxy(config(b, k=1, backend_extra="    lease_wait: 8s\n    backend_wait: 8s"))
port = p.ports()["imap"]
c = Client(port); assert b"a OK" in c.cmd(b"a LOGIN u p")
w = Client(port); w.send(b"a LOGIN u p\r\n"); w.s.shutdown(socket.SHUT_WR)
t = time.time(); got = w.f.read(); took = time.time() - t
bad |= verdict(took < 2, f"half-closed client in line for a place of its user: {took:.1f} s, {got[-80:]}")
p.stop()
p = Proxy(config(b, k=0, backend_extra="    lease_wait: 8s\n    backend_wait: 8s\n    max_connections: 1"))
port = p.ports()["imap"]
c = Client(port); assert b"a OK" in c.cmd(b"a LOGIN u p")
w = Client(port); w.send(b"a LOGIN v p\r\n"); time.sleep(0.3)
code, took = p.stop()
got = w.f.read()
bad |= verdict(code == 0 and took < 5 and b"* BYE" in got, f"SIGTERM beside one in line: exit {code} after {took:.1f} s, {got}")
sys.exit(bad)
