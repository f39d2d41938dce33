"""A server that hangs after its greeting is failed over within connect_timeout."""
import sys, time
from common import *
bad = 0
for where in (b"CAPABILITY", None):
    hung = Backend(hang_at=(where,)) if where else Backend(greeting=None)
    good = Backend()
    text = config(good, backend_extra="    connect_timeout: 1s", limits="{login_timeout: 12s}").replace(
        f'servers: ["127.0.0.1:{good.port}"]', f'servers: ["127.0.0.1:{hung.port}", "127.0.0.1:{good.port}"]')
    p = Proxy(text)
    port = p.ports()["imap"]
    worst, answers = 0, []
    for i in range(6):
        c = Client(port)
        t = time.time(); a = c.cmd(b"a LOGIN user%d p" % i); worst = max(worst, time.time() - t)
        answers.append(a.split(b"\r\n")[0][:60])
        if worst > 5: break
        c.close()
    p.stop()
    bad |= verdict(worst < 5, f"hangs at {where or 'greeting'}: worst login {worst:.1f} s, {answers[-1]}")
sys.exit(bad)
