"""Two slow HTTP clients neither stop the health check nor the shutdown (exit within grace + 3 s)."""
import sys, threading, time, subprocess
from common import *
b = Backend(); ap = free_port()
p = Proxy(config(b, head=f'admin: {{bind: "127.0.0.1:{ap}"}}'))
stop = threading.Event()
def drip():
    try:
        s = socket.create_connection(("127.0.0.1", ap)); s.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        while not stop.wait(1): s.sendall(b"x")
    except OSError: pass
for _ in range(4): threading.Thread(target=drip, daemon=True).start()
time.sleep(1)
h = subprocess.run([IMAPMUX, "health", "--admin", f"127.0.0.1:{ap}"], capture_output=True, text=True)
bad = verdict(h.returncode == 0, f"imapmux health beside 4 slow HTTP clients: exit {h.returncode} {h.stderr.strip()}")
code, took = p.stop(25)
stop.set()
bad |= verdict(code == 0 and took < 5, f"SIGTERM beside them (grace 2 s): {code} after {took:.1f} s")
sys.exit(bad)
