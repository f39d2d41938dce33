"""max_clients holds when clients come at once."""
import sys
from common import *
b = Backend()
p = Proxy(config(b, limits="{max_clients: 5}"))
port = p.ports()["imap"]
import os, signal
os.kill(p.process.pid, signal.SIGSTOP)      # a busy moment: the backlog fills
socks = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(60)]
os.kill(p.process.pid, signal.SIGCONT)
greets = [s.makefile("rb").readline() for s in socks]
n = sum(g.startswith(b"* OK") for g in greets)
p.stop()
sys.exit(verdict(n <= 5, f"max_clients: 5, 60 clients at once: {n} are served"))
