"""connections_per_user at the backend is never exceeded, also when clients vanish during their login
(exclusive) or a relayed session ends while the server takes its time to close (unrestricted)."""
import sys, time
from common import *

def churn(access, login_delay, close_delay, reset):
    b = Backend(login_delay=login_delay, close_delay=close_delay)
    p = Proxy(config(b, access=access, k=1))
    port = p.ports()["imap"]
    try:
        for _ in range(10):
            c = Client(port)
            if reset:
                c.send(b"a LOGIN u p\r\n"); time.sleep(0.08); c.reset()
            elif reset is None:
                c.cmd(b"a LOGIN u p"); c.reset()
            else:
                c.cmd(b"a LOGIN u p"); c.close()
            time.sleep(0.02)
        time.sleep(0.3)
        return b.most
    finally:
        p.stop()

bad = 0
m = churn("exclusive", 1.0, 0, True)
bad |= verdict(m <= 1, f"exclusive, K=1, backend decides logins in 1 s, clients reset meanwhile: {m} connections at once")
m = churn("unrestricted", 0, 0.5, False)
bad |= verdict(m <= 1, f"unrestricted, K=1, backend closes 0.5 s after us: {m} connections at once")
m = churn("unrestricted", 0, 0.5, None)
bad |= verdict(m <= 1, f"unrestricted, K=1, clients reset, backend closes 0.5 s after us: {m} connections at once")
m = churn("exclusive", 0, 0.5, False)
bad |= verdict(m <= 1, f"exclusive, K=1, backend closes 0.5 s after LOGOUT: {m} connections at once")
b = Backend(login_delay=1.0)
p = Proxy(config(b, k=0, backend_extra="    max_connections: 2"))
for i in range(10):
    c = Client(p.ports()["imap"]); c.send(b"a LOGIN u%d p\r\n" % i); time.sleep(0.08); c.reset()
p.stop()
bad |= verdict(b.most <= 2, f"max_connections: 2, backend decides logins in 1 s, clients reset meanwhile: {b.most} connections at once")
sys.exit(bad)
