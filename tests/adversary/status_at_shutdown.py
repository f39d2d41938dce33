"""SIGTERM while the status is asked for all the time: exit within shutdown_grace + 3 s."""
import sys, threading, time, urllib.request
from common import *
worst = 0
for turn in range(6):
    b = Backend(); ap = free_port()
    p = Proxy(config(b, workers=8, head=f'admin: {{bind: "127.0.0.1:{ap}"}}').replace("shutdown_grace: 2s", "shutdown_grace: 0s"))
    over = threading.Event()
    def ask():
        while not over.is_set():
            try: urllib.request.urlopen(f"http://127.0.0.1:{ap}/api/v1/status", timeout=30).read()
            except Exception: pass
    ts = [threading.Thread(target=ask) for _ in range(8)]; [t.start() for t in ts]
    time.sleep(0.5); code, took = p.stop(60); over.set(); [t.join() for t in ts]
    worst = max(worst, took)
    assert code == 0, (code, p.log()[-2000:])
sys.exit(verdict(worst < 3, f"8 workers, grace 0: the longest end took {worst:.1f} s"))
