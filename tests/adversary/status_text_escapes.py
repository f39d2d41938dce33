"""`imapmux status` prints no control characters that a mail client chose (they would steer the terminal)."""
import subprocess, sys
from common import *
b = Backend(); ap = free_port()
p = Proxy(config(b, head=f'admin: {{bind: "127.0.0.1:{ap}"}}')); c = Client(p.ports()["imap"]); c.cmd(b"a LOGIN u p")
c.send(b"b SELECT {8}\r\n"); c.f.readline(); c.send(b"\x1b[31mred\r\n"); c.until(b"b ")
out = subprocess.run([IMAPMUX, "status", "--admin", f"127.0.0.1:{ap}"], capture_output=True).stdout
p.stop()
sys.exit(verdict(b"\x1b" not in out, f"{out[-120:]}"))
