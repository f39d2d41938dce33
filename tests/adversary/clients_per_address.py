"""max_clients_per_address: the clients beyond it get BYE, the place comes back, also after a hand-over to another worker;
trusted networks and unix sockets are exempt."""
import sys
from common import *

LIMITS = "{max_clients_per_address: 4, trusted_networks: [%s], auth_failure_delay: 0s}"
OWN = "127.0.0.2"  # an address of this machine, too


class From(Client):
    def __init__(self, port, source):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
        self.f = self.s.makefile("rb")
        self.greeting = self.f.readline()


def served(client):
    return client.greeting.startswith(b"* OK")


def rest(client):
    return client.f.read()


bad = 0
backend = Backend()
folder = tempfile.mkdtemp(prefix="adversary.")
path = f"{folder}/s"
listeners = f"""
  - {{name: local, bind: "unix:{path}", tls: none}}"""
p = Proxy(config(backend, workers=4, access="shared", k=1, limits=LIMITS % "")
          .replace("tls: none}\nbackends", f"tls: none}}{listeners}\nbackends"))
port = p.ports()["imap"]

four = [From(port, OWN) for _ in range(4)]
fifth = From(port, OWN)
bad |= verdict(all(served(c) for c in four) and fifth.greeting.startswith(b"* BYE [UNAVAILABLE]") and rest(fifth) == b"",
               f"4 of an address are served, the 5th gets {fifth.greeting!r} and the end")
other = From(port, "127.0.0.3")
bad |= verdict(served(other), "another address is served")

# Logged in, most of them by another worker than the one that accepted them.
answers = [c.cmd(b"a LOGIN u%d x" % i) for i, c in enumerate(four)]
beyond = From(port, OWN)
bad |= verdict(all(b"a OK" in a for a in answers) and not served(beyond), "handed-over clients count, once each")
for c in four[:2]:
    c.cmd(b"b LOGOUT")
four[2].reset()
time.sleep(0.5)
again = [From(port, OWN) for _ in range(4)]
bad |= verdict([served(c) for c in again] == [True, True, True, False],
               f"3 have gone (LOGOUT, LOGOUT, reset), 3 are let in: {[served(c) for c in again]}")

# Ten connections in a row never add up.
for c in again + [four[3]]:
    c.close()
time.sleep(0.3)
row = []
for _ in range(30):
    c = From(port, OWN)
    row.append(served(c))
    c.close()
    time.sleep(0.01)
bad |= verdict(all(row), "30 clients of one address, one after the other, are served")

local = []
for _ in range(8):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    local.append(s.makefile("rb").readline().startswith(b"* OK"))
bad |= verdict(all(local), "a unix socket's clients have no address, and no limit")
p.stop()

p = Proxy(config(backend, limits=LIMITS % "127.0.0.0/8"))
many = [From(p.ports()["imap"], OWN) for _ in range(20)]
bad |= verdict(all(served(c) for c in many), "20 clients of a trusted network are served")
p.reload(config(backend, limits=LIMITS % ""))
fresh = [From(p.ports()["imap"], OWN) for _ in range(5)]
bad |= verdict([served(c) for c in fresh] == [True] * 4 + [False], "a reload applies to the clients that come then")
p.stop()
sys.exit(bad)
