"""auth_failure_delay holds back whoever guesses, also if he does not wait for the NO but comes again."""
import sys, time
from common import *
b = Backend(users=[b"rightpassword"])
p = Proxy(config(b, k=0, limits="{auth_failure_delay: 2s, trusted_networks: []}"))
port = p.ports()["imap"]; t = time.time(); n = 0
while time.time() - t < 5:
    c = Client(port); c.s.settimeout(0.1); c.send(b"a LOGIN bob guess%d\r\n" % n); n += 1
    try: c.s.recv(100)
    except OSError: pass
    c.close()
asked = sum(b"LOGIN" in l for l in b.seen)
p.stop()
sys.exit(verdict(asked <= 5, f"one address, one user, {asked} guesses at the backend in 5 s with auth_failure_delay: 2s (growing to 15 s)"))
