"""source_addresses: connections opened at once are spread; none comes from an address that is not listed."""
import collections, subprocess, sys
from common import *
def run(addresses):
    b = Backend(login_delay=0.3); p = Proxy(config(b, k=0, backend_extra=f"    source_addresses: [{addresses}]"))
    for phase in range(2):
        cs = [Client(p.ports()["imap"]) for _ in range(6)]
        for i, c in enumerate(cs): c.send(b"a LOGIN u%d%d p\r\n" % (phase, i)); (phase and c.until(b"a "))
        for c in cs: phase or c.until(b"a ")
        if phase: break
        keep = cs
    out = subprocess.run(["ss", "-tnH", "dport", "=", str(b.port)], capture_output=True, text=True).stdout
    n = collections.Counter(x.split()[3].rsplit(":", 1)[0] for x in out.splitlines()); once = None
    p.stop(); return n
a = run("127.0.0.2, 127.0.0.3"); m = run('127.0.0.2, "::1"')
bad = verdict(a and max(a.values()) <= 7, f"two addresses, 6 logins at once then 6 in turn: {dict(a)}")
bad |= verdict("127.0.0.1" not in m, f"127.0.0.2 and ::1, to an IPv4 server: {dict(m)}")
sys.exit(bad)
