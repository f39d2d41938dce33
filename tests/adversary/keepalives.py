"""tcp_keepalive is on for both sides' connections, with the configured time; 0 switches it off. Wants `ss`."""
import sys
from common import *

bad = 0
for value, expected in (("30s", True), ("0", False)):
    backend = Backend()
    p = Proxy(config(backend, access="shared", limits=f"{{tcp_keepalive: {value}}}"))
    port = p.ports()["imap"]
    c = Client(port)
    c.cmd(b"a LOGIN bob x")
    time.sleep(0.5)  # other timers are done
    lines = subprocess.run(["ss", "-tnoH", "state", "established"], capture_output=True, text=True, check=True).stdout.splitlines()
    client = [l for l in lines if re.search(rf"127.0.0.1:{port}\s+127.0.0.1:{c.s.getsockname()[1]}\b", l)]
    server = [l for l in lines if re.search(rf"\s127.0.0.1:{backend.port}(\s|$)", l) and f"127.0.0.1:{backend.port} " not in l.split("  ")[0]
              and re.search(rf"127.0.0.1:\d+\s+127.0.0.1:{backend.port}\b", l)]
    for side, found in (("client", client), ("backend", server)):
        on = [re.search(r"timer:\(keepalive,([\d.]+)(sec|ms)", l) for l in found]
        right = bool(on) and all((m is not None) == expected and (m is None or m[2] == "sec" and float(m[1]) <= 30) for m in on)
        bad |= verdict(right, f"tcp_keepalive: {value}: {side}: {[' '.join(l.split()) for l in found]}")
    p.stop()
sys.exit(bad)
