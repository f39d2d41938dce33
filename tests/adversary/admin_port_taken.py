"""Two processes do not share an admin port without a word."""
import sys
from common import *
t = config(Backend(), head=f'admin: {{bind: "127.0.0.1:{free_port()}"}}'); p = Proxy(t)
try: q = Proxy(t); q.stop(); got = True
except RuntimeError: got = False
p.stop()
sys.exit(verdict(not got, f"a second process started with the same admin.bind: {got}"))
