"""A proxy without descriptors says so, and takes no server for being down."""
import json, resource, sys, urllib.request
from common import *
a, b, ap = Backend(), Backend(), free_port()
p = Proxy(config(a, head=f'admin: {{bind: "127.0.0.1:{ap}"}}').replace(f'"127.0.0.1:{a.port}"', f'"127.0.0.1:{a.port}", "127.0.0.1:{b.port}"'))
first = Client(p.ports()["imap"]); first.cmd(b"a LOGIN first p")  # what is opened once is open
soft, hard = resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE)
c = Client(p.ports()["imap"])
resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, (p.fds(), hard))
without = c.cmd(b"a LOGIN second p")
resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
servers = json.load(urllib.request.urlopen(f"http://127.0.0.1:{ap}/api/v1/status"))["servers"]
after = c.cmd(b"b LOGIN second p")
p.stop()
bad = verdict(b"a NO [UNAVAILABLE]" in without and "too many open files" in p.log(), f"without descriptors: {without}")
bad |= verdict([s["up"] for s in servers] == [True, True] and b"b OK" in after, f"after that: {servers}, {after[:40]}")
sys.exit(bad)
