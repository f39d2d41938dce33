"""health_check: a backend that is down says so at once, and comes back; checks keep to max_connections, log in as nobody,
and stay away while there is traffic; failover; what is known stays over a reload; off is off."""
import json
import sys
import urllib.request
from common import *

bad = 0
CHECK = "{interval: 300ms, timeout: 500ms, fall: 2, rise: 2}"


def check(holds, what):
    global bad
    bad |= verdict(holds, what)


def until(what, limit=8):
    end = time.time() + limit
    while time.time() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


class Switched(Backend):
    """A backend that can be switched off: it closes its listening socket, and if told to its connections."""

    def _serve(self, s):
        self.connections = getattr(self, "connections", []) + [s]
        super()._serve(s)

    def sever(self):
        for s in self.connections:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def off(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def on(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()


admin = free_port()
HEAD = f'admin: {{bind: "127.0.0.1:{admin}"}}\nlog: {{level: debug}}'


def states():
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/v1/status", timeout=10) as answer:
        return [s["up"] for s in json.load(answer)["servers"]]


def login(port, user=b"bob"):
    c = Client(port)
    began = time.time()
    answer = c.cmd(b"a LOGIN %s x" % user)
    return c, answer, time.time() - began


def settings(backend, servers=None, extra="", health=CHECK, **more):
    text = config(backend, workers=2, head=HEAD,
                  backend_extra=f"    backend_wait: 3s\n    health_check: {health}\n{extra}", **more)
    return text.replace("[\"127.0.0.1:%d\"]" % backend.port, json.dumps([f"127.0.0.1:{one.port}" for one in servers])) \
        if servers else text


# Down and up, one server, all modes.
for access in ("shared", "exclusive", "unrestricted"):
    backend = Switched()
    p = Proxy(settings(backend, access=access))
    port = p.ports()["imap"]
    old, answer, _ = login(port)
    check(b"a OK" in answer, f"{access}: a login while it is up")
    before = backend.accepted
    check(until(lambda: backend.accepted > before + 1), f"{access}: without traffic it is checked")
    greetings = [line for line in backend.seen if b"LOGIN" in line]
    check(len(greetings) == 1 and any(b"LOGOUT" in line for line in backend.seen), f"{access}: checks log in as nobody, and log out")
    backend.off()
    check(until(lambda: "is down" in p.log()) and states() == [False], f"{access}: it is found down, logged and shown")
    _, answer, took = login(port)
    check(answer.startswith(b"a NO [UNAVAILABLE]") and took < 0.3, f"{access}: a login is refused at once: {answer!r} {took:.2f} s")
    _, answer, took = login(port, b"alice")
    check(answer.startswith(b"a NO [UNAVAILABLE]") and took < 0.3, f"{access}: another user's, too: {took:.2f} s")
    if access != "unrestricted":
        check(b"z OK" in old.cmd(b"z NOOP"), f"{access}: who is logged in stays")
    p.reload()
    check(states() == [False], f"{access}: a reload does not forget it")
    backend.on()
    check(until(lambda: "is up again" in p.log()) and states() == [True], f"{access}: it comes back, logged and shown")
    _, answer, _ = login(port, b"carol")
    check(b"a OK" in answer, f"{access}: logins go on")
    check(p.log().count("is down ") == 1 and p.log().count("is up again") == 1, f"{access}: each change is logged once")
    p.stop()

# Who is logged in waits for the server as always, backend_wait per command, and goes on when it is back.
backend = Switched()
p = Proxy(settings(backend, access="shared"))
port = p.ports()["imap"]
old, _, _ = login(port)
backend.off()
backend.sever()
check(until(lambda: "is down" in p.log()), "a server that dies under its clients is down")
began = time.time()
answer = old.cmd(b'b LIST "" *')
took = time.time() - began
check(answer.startswith(b"b NO [UNAVAILABLE]") and 2.5 < took < 5, f"a client's command waits backend_wait (3 s): {answer!r} {took:.1f} s")
fresh, answer, took = login(port)
check(answer.startswith(b"a NO [UNAVAILABLE]") and took < 0.3, f"a login with a password that is known does not: {took:.2f} s")
backend.on()
check(until(lambda: "is up again" in p.log()), "it is back")
check(b"c OK" in old.cmd(b'c LIST "" *') and b"d OK" in fresh.cmd(b"d LOGIN bob x"), "both go on")
p.stop()

# A server that accepts and says nothing is down, too.
silent = Switched(greeting=None)
p = Proxy(settings(silent, access="shared"))
check(until(lambda: "is down" in p.log(), 12), "a server that accepts and does not greet is down")
_, answer, took = login(p.ports()["imap"])
check(b"a NO [UNAVAILABLE]" in answer and took < 0.3, f"and a login does not wait for it: {took:.2f} s")
p.stop()

# Real failures count: no check is needed.
backend = Switched()
backend.off()
p = Proxy(settings(backend, access="shared", health="{interval: 1s, timeout: 500ms, fall: 2, rise: 1}"))
port = p.ports()["imap"]
login(port)
for _ in range(20):
    login(port)
check("is down" not in p.log(), "many failures in one interval are one")
check(until(lambda: (login(port), "is down" in p.log())[1], 3), "failures in two intervals make it be down")
p.stop()

# max_connections: the last place is never a check's, and no connection is one too many.
backend = Switched()
p = Proxy(settings(backend, access="shared", k=1, extra="    max_connections: 1"))
port = p.ports()["imap"]
c, answer, _ = login(port)
time.sleep(1.5)
check(backend.most == 1 and backend.accepted == 1, f"max_connections: 1 in use: no check beside it ({backend.accepted} connections)")
c.cmd(b"b LOGOUT")
p.stop()

# Traffic proves health.
for access in ("shared", "exclusive", "unrestricted"):
    backend = Switched()
    p = Proxy(settings(backend, access=access))
    c, _, _ = login(p.ports()["imap"])
    before = backend.accepted
    for _ in range(30):
        c.cmd(b'b LIST "" *')
        time.sleep(0.05)
    check(backend.accepted == before, f"{access}: no check in 1.5 s of traffic ({backend.accepted - before})")
    p.stop()

# Failover: users of the server that is down go to the other one, and nobody waits for the first.
one, two = Switched(), Switched()
p = Proxy(settings(one, [one, two], access="shared"))
port = p.ports()["imap"]
one.off()
check(until(lambda: "is down" in p.log()) and sorted(states()) == [False, True], "one of two servers is down")
answers = [login(port, b"u%d" % i) for i in range(8)]
check(all(b"a OK" in a and t < 0.5 for _, a, t in answers), "all users are served by the other one")
two.off()
check(until(lambda: p.log().count("is down ") == 2) and states() == [False, False], "then both are down")
_, answer, took = login(port, b"new")
check(b"a NO [UNAVAILABLE]" in answer and took < 0.3, f"and a login is refused at once: {took:.2f} s")
two.on()
check(until(lambda: "is up again" in p.log()) and b"a OK" in login(port, b"new")[1], "one of them is enough")
p.stop()

# off: as it was.
backend = Switched()
p = Proxy(settings(backend, access="shared", health="off"))
time.sleep(1)
check(backend.accepted == 0, "off: nothing is checked")
backend.off()
for _ in range(3):
    login(p.ports()["imap"])
    time.sleep(0.4)
check("is down" not in p.log(), "off: a server is never down")
backend.on()
check(b"a OK" in login(p.ports()["imap"])[1], "off: the next login finds it back")
p.stop()

# A check that hangs does not hold the shutdown up.
silent = Switched(greeting=None)
p = Proxy(settings(silent, access="shared", health="{interval: 200ms, timeout: 20s}"))
until(lambda: silent.accepted > 0)
code, took = p.stop()
check(code == 0 and took < 1.5, f"the proxy stops with {code} in {took:.1f} s while a check is under way")
sys.exit(bad)
