"""Who waits for a place of the account is served before those who come later."""
import sys, threading, time
from common import *
b = Backend()
p = Proxy(config(b, k=1, backend_extra="    lease_wait: 10s")); port = p.ports()["imap"]
over = threading.Event(); order = []
def greedy(i):
    while not over.is_set():
        c = Client(port); c.cmd(b"a LOGIN u p"); c.send(b"z LOGOUT\r\n"); c.f.read(); c.close()
c0 = Client(port); c0.cmd(b"a LOGIN u p")
ws = []
for i in range(10):
    c = Client(port); c.send(b"a LOGIN u p\r\n"); ws.append(c); time.sleep(0.03)
lock = threading.Lock()
def wait(i):
    a = ws[i].until(b"a ")
    with lock: order.append((i, a[:4]))
    ws[i].cmd(b"z LOGOUT"); ws[i].close()
ts = [threading.Thread(target=wait, args=(i,)) for i in range(10)]; [t.start() for t in ts]
gs = [threading.Thread(target=greedy, args=(i,)) for i in range(6)]; [t.start() for t in gs]
time.sleep(0.2); c0.cmd(b"z LOGOUT"); [t.join() for t in ts]; over.set(); [t.join() for t in gs]
p.stop()
sys.exit(verdict([i for i, _ in order] == list(range(10)), f"{order}"))
