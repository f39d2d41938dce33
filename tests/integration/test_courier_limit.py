"""Courier with MAXPERIP=4, which closes the fifth connection without a word: the proxy is one address to it."""
import os
import random
import threading
import time

from case import IntegrationTest, proxy_only
from common import message
from measure import show
from proxy import Proxy
from raw import RawClient
from servers import Courier

SECONDS = float(os.environ.get("IMAPMUX_TEST_SECONDS", "15"))
USERS, CLIENTS, MOST = 20, 3, 4
BACKEND_WAIT = 20


class Reader(threading.Thread):
    """A mail client: logs in, stays for a while in a mailbox, goes, comes again."""

    def __init__(self, number, user, port, end):
        super().__init__(daemon=True)
        self.number, self.user, self.port, self.end = number, user, port, end
        self.random = random.Random(number)
        self.waits, self.problems, self.appended = [], [], []

    def run(self):
        time.sleep(self.random.random() * 2)
        while time.monotonic() < self.end:
            try:
                self.session()
            except Exception as error:
                self.problems.append(f"client {self.number} of {self.user.name}: {type(error).__name__}: {error}")

    def session(self):
        with RawClient(self.port, timeout=60) as client:
            self.must(client, f'LOGIN "{self.user.name}" "{self.user.password}"')
            self.must(client, self.random.choice(["SELECT INBOX", "SELECT INBOX", "EXAMINE INBOX"]))
            for _ in range(self.random.randint(3, 10)):
                if time.monotonic() >= self.end:
                    break
                time.sleep(self.random.random() * 2)
                self.step(client)
            self.must(client, "LOGOUT")

    def step(self, client):
        what = self.random.randrange(6)
        if what == 0:
            subject = f"{self.number}-{len(self.appended)}"
            self.must(client, "APPEND INBOX", message(subject))
            self.appended.append(subject)
        elif what == 1:
            tag = client.start("IDLE")
            client.until(rb"^\+")
            time.sleep(self.random.random() * 2)
            client.send("DONE\r\n")
            client.finish(tag)
        else:
            self.must(client, ["NOOP", "FETCH 1 (FLAGS UID)", "UID SEARCH UNSEEN", "FETCH 1 BODY.PEEK[]"][what - 2])

    def must(self, client, command, literal=None):
        began = time.monotonic()
        reply = client.command(command, literal)
        self.waits.append(time.monotonic() - began)
        if not reply.ok:
            self.problems.append(f"client {self.number} of {self.user.name}: {command}: {reply.text}")


@proxy_only
class FewConnections(IntegrationTest):
    timeout = int(SECONDS) + 150

    def test_twenty_users_on_four_connections(self):
        server = self.enterContext(Courier(max_per_ip=MOST))
        users = [server.new_user() for _ in range(USERS)]
        for user in users:
            server.fill(user, "INBOX", [message("first")])  # EXAMINE alone would not keep its UIDVALIDITY
        backend = {"max_connections": MOST, "connections_per_user": 2, "backend_wait": f"{BACKEND_WAIT}s", "poll_interval": "5s"}
        proxy = self.enterContext(Proxy(server, "shared", backend=backend, top={"limits": {"max_clients": 1000}}))
        end = time.monotonic() + SECONDS
        readers = [Reader(number, users[number % USERS], proxy.port, end) for number in range(USERS * CLIENTS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(SECONDS + 90)
            self.assertFalse(reader.is_alive(), f"client {reader.number} is stuck")
        waits = [wait for reader in readers for wait in reader.waits]
        log = [line for line in proxy.log().splitlines() if " warning " in line and " backend=" in line]
        print(f"{len(readers)} clients: {show(waits)}; {len(log)} warnings", flush=True)
        problems = [problem for reader in readers for problem in reader.problems]
        self.assertEqual(problems, [], "\n".join(log[:10]))
        self.assertEqual(log, [])
        self.assertLess(max(waits), BACKEND_WAIT)
        for reader in readers:
            self.assertGreater(len(reader.waits), 3, f"client {reader.number} did not come to its work")
        for user in users:
            subjects = sorted(one.subject for one in server.messages(user))
            mine = [s for reader in readers if reader.user is user for s in reader.appended]
            self.assertEqual(subjects, sorted(["first", *mine]))
