"""max_clients_per_user: in all three modes the login beyond it gets NO [LIMIT], its connection can go on, and the place
comes back when a client logs out or is lost."""
import sys
from common import *

bad = 0
for access in ("shared", "exclusive", "unrestricted"):
    backend = Backend()
    p = Proxy(config(backend, workers=3, access=access, k=9 if access != "unrestricted" else 0,
                     limits="{max_clients_per_user: 2, auth_failure_delay: 0s}", backend_extra="    lease_wait: 2s"))
    port = p.ports()["imap"]
    clients = [Client(port) for _ in range(4)]
    answers = [c.cmd(b"a LOGIN %s x" % name) for c, name in zip(clients, (b"bob", b"BOB", b"bob", b"alice"))]
    ok = [b"a OK" in a for a in answers]
    bad |= verdict(ok == [True, True, False, True] and answers[2].startswith(b"a NO [LIMIT] "),
                   f"{access}: of bob, BOB, bob and alice these get in: {ok}; the third hears {answers[2]!r}")
    third = clients[2]
    noop = third.cmd(b"b NOOP")
    other = third.cmd(b"c LOGIN carol x")
    bad |= verdict(b"b OK" in noop and b"c OK" in other, f"{access}: its connection goes on, as somebody else")
    clients[0].cmd(b"d LOGOUT")
    if access == "unrestricted":  # its LOGOUT is the backend's to answer
        time.sleep(0.3)
    again = Client(port)
    answer = again.cmd(b"e LOGIN bob x")
    bad |= verdict(b"e OK" in answer, f"{access}: after a LOGOUT bob is let in: {answer!r}")
    clients[1].reset()
    time.sleep(0.5)
    last, beyond = Client(port), Client(port)
    answer, full = last.cmd(b"f LOGIN bob x"), beyond.cmd(b"g LOGIN bob x")
    bad |= verdict(b"f OK" in answer and b"[LIMIT]" in full, f"{access}: after a reset, too, and then it is full again")
    p.stop()
sys.exit(bad)
