"""login_timeout counts from the connection, also when logins are handed over between workers."""
import sys, time
from common import *
b = Backend(users=[b"nobodyatall"])
p = Proxy(config(b, workers=4, limits="{login_timeout: 2s, auth_failure_delay: 0s}"))
port = p.ports()["imap"]
c = Client(port); t = time.time(); n = 0
try:
    while time.time() - t < 10:
        a = c.cmd(b"a LOGIN user%d p" % n); n += 1
        if b"BYE" in a or not a: break
        time.sleep(0.1)
except OSError: pass
took = time.time() - t
p.stop()
sys.exit(verdict(took < 4, f"login_timeout: 2s: a client that fails {n} logins stays for {took:.1f} s"))
