"""A disk with room for 1 MiB per file: an upload that does not fit is refused, and only that; the connection goes on, and so does
another client, whose small messages fit."""
import resource, signal, sys
from common import *


def small_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG, as a full disk says ENOSPC
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, 1024 * 1024))


b = Backend()
p = Proxy(config(b, access="shared", k=1), before=small_disk)
big, small = (Client(p.ports()["imap"]) for _ in range(2))
for client in (big, small):
    client.cmd(b"a LOGIN bob secret")
answers = []
for size in (3_000_000, 1000):
    big.send(b"b APPEND Sent {%d+}\r\n" % size + b"m" * size + b"\r\n")
    answers.append(big.until(b"b "))
    small.send(b"c APPEND Sent {5+}\r\nhello\r\n")
    answers.append(small.until(b"c "))
code, _ = p.stop()
wanted = [b"b NO [UNAVAILABLE]", b"c OK", b"b OK", b"c OK"]
uploads = [line for line in b.seen if b"APPEND" in line]
holds = all(a.startswith(w) for a, w in zip(answers, wanted)) and len(uploads) == 3 and code == 0
sys.exit(verdict(holds, f"answers {answers}, {len(uploads)} uploads reached the server, exit {code}"))
