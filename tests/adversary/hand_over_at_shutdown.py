"""A client whose login is handed over while the proxy shuts down is told BYE."""
import sys, time, threading
from common import *
b = Backend()
none = 0; total = 0
p = Proxy(config(b, workers=4, k=0).replace("shutdown_grace: 2s", "shutdown_grace: 6s"))
port = p.ports()["imap"]
cs = []
for i in range(16):
    # Answers pile up unread, so that the hand-over has to wait until they have gone out.
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096); s.connect(("127.0.0.1", port)); s.settimeout(15)
    s.setblocking(False)
    sent = 0; chunk = b"x CAPABILITY\r\n" * 1000
    end = time.time() + 0.4
    while time.time() < end:
        try: s.send(chunk[sent % 14:] if sent % 14 else chunk) and 0
        except BlockingIOError: break
    s.setblocking(True); s.settimeout(15)
    cs.append(s)
def late(s, out):
    got = b""
    try:
        while True:
            d = s.recv(65536)
            if not d: break
            got = (got + d)[-4000:]
    except OSError as e: got += str(e).encode()
    out.append(got)
time.sleep(0.5)
p.process.terminate(); 
out = []; ts = [threading.Thread(target=late, args=(s, out)) for s in cs]
time.sleep(1)
[t.start() for t in ts]; [t.join() for t in ts]
code, took = p.stop()
n = sum(b"* BYE" in g for g in out)
sys.exit(verdict(code == 0 and n == len(cs), f"{n} of {len(cs)} were told BYE, exit {code}"))
