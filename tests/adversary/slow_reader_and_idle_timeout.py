"""A client that takes in a long answer says nothing meanwhile, and is not idle (RFC 3501, 5.4)."""
import sys, time
from common import *
bad = 0
for access in ("exclusive", "unrestricted"):
    b = Backend()
    p = Proxy(config(b, access=access, limits="{idle_timeout: 2s, auth_failure_delay: 0s}"))
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536); s.connect(("127.0.0.1", p.ports()["imap"])); s.settimeout(10)
    s.recv(500); s.sendall(b"a LOGIN u p\r\nb SELECT INBOX\r\n" + b"c FETCH 1 BODY[]\r\n" * 3 + b"d FETCH 1 BODY[]\r\n")
    began, n, tail, told = time.time(), 0, b"", b""
    try:
        while not tail.endswith(b"d OK done\r\n") and (d := s.recv(65536)):
            n += len(d); tail = (tail + d)[-200:]; time.sleep(0.02)
        told = s.recv(500)
    except OSError as e: told = repr(e).encode()
    took = time.time() - began
    p.stop()
    bad |= verdict(tail.endswith(b"d OK done\r\n") and told == b"* BYE Idle for too long\r\n", f"{access}: {n} octets came in {took:.1f} s, the last: {(tail + told)[-60:]}")
sys.exit(bad)
