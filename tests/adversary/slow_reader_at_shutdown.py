"""SIGTERM while a client takes in a message, within shutdown_grace: the command in flight ends, BYE is told."""
import sys, time
from common import *
bad = 0
for access in ("exclusive", "unrestricted"):
    b = Backend()
    p = Proxy(config(b, access=access, k=0).replace("shutdown_grace: 2s", "shutdown_grace: 10s"))
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536); s.connect(("127.0.0.1", p.ports()["imap"])); s.settimeout(10)
    s.recv(500); s.sendall(b"a LOGIN u p\r\n"); time.sleep(0.3); s.sendall(b"b SELECT INBOX\r\n"); time.sleep(0.3)
    s.sendall(b"c FETCH 1 BODY[]\r\n"); time.sleep(0.5)
    p.process.terminate(); t = time.time(); n = 0; tail = b""
    try:
        while d := s.recv(32768):
            n += len(d); tail = (tail + d)[-200:]; time.sleep(0.01)
    except OSError as e: tail += repr(e).encode()
    took = time.time() - t
    code, _ = p.stop()
    bad |= verdict(code == 0 and b"BYE" in tail and (b"c OK" in tail or access == "unrestricted"), f"{access}: {n} octets came in {took:.1f} s, exit {code}, the last: {tail[-90:]}")
sys.exit(bad)
