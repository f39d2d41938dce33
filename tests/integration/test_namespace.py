"""Two users at work in one shared namespace of a server that severs the first session in a mailbox."""
import os
import random
import re
import threading
import time

from case import IntegrationTest, proxy_only
from common import message
from proxy import Proxy
from raw import Closed
from relay import SeveringRelay
from servers import Dovecot

SECONDS = float(os.environ.get("IMAPMUX_TEST_SECONDS", "16")) / 2  # of each of the two
LEASE_WAIT = 30
NAMES = ("Shared/One", "Shared/Two")


class Worker(threading.Thread):
    """One client of one user: a mailbox for a while, then the other one."""

    def __init__(self, test, number, user, proxy, end):
        super().__init__(daemon=True)
        self.user, self.proxy, self.end, self.number = user, proxy, end, number
        self.client = test.raw(proxy, user, timeout=LEASE_WAIT + 30)
        self.random = random.Random(number)
        self.appended, self.copied, self.waits, self.problems = [], 0, [], []
        self.error = None

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.visit(*self.random.sample(NAMES, 2))
            self.must("LOGOUT")
        except BaseException as error:  # of a thread: the test raises it
            self.error = error

    def must(self, command, literal=None):
        began = time.monotonic()
        reply = self.client.command(command, literal)
        self.waits.append((time.monotonic() - began, command))
        if not reply.ok:
            self.problems.append(f"{self.user.name}, client {self.number}: {command}: {reply.text}")
        return reply

    def visit(self, here, there):
        if not self.must(f'SELECT "{here}"').ok:
            return
        for _ in range(self.random.randint(3, 12)):
            if time.monotonic() >= self.end:
                return
            self.random.choice([self.append, self.copy, self.copy, self.look, self.mark, self.idle])(here, there)
            time.sleep(self.random.random() * 0.1)

    def append(self, here, there):
        subject = f"{self.number}-{len(self.appended)}"
        if self.must(f'APPEND "{self.random.choice((here, there))}"', message(subject)).ok:
            self.appended.append(subject)

    def copy(self, here, there):
        """One of the messages that were there before: two users do this crosswise."""
        self.must(f'COPY {self.random.randint(1, 3)} "{there}"')
        self.copied += 1

    def look(self, here, there):
        self.must("FETCH 1:3 (UID FLAGS)")
        self.must(f'STATUS "{there}" (MESSAGES UIDNEXT)')
        self.must("UID SEARCH ALL")

    def mark(self, here, there):
        self.must(f"STORE {self.random.randint(1, 3)} {self.random.choice('+-')}FLAGS (\\Flagged)")

    def idle(self, here, there):
        tag = self.client.start("IDLE")
        self.client.until(rb"^\+")
        time.sleep(self.random.random())
        self.client.send("DONE\r\n")
        self.client.finish(tag)


class Namespace(IntegrationTest):
    timeout = int(SECONDS) + 120

    def setUp(self):
        shared = self.temp_folder("shared")
        # all by one user's directory: Dovecot keeps its indexes there, too
        settings = ("namespace shared {\n  type = public\n  prefix = Shared/\n  separator = /\n  subscriptions = no\n"
                    f"  list = yes\n  location = maildir:{shared}/mail\n}}\n")
        self.server = self.enterContext(Dovecot(settings=settings))
        (shared / "mail").mkdir()
        self.server._own(shared, shared / "mail")
        self.relay = self.enterContext(SeveringRelay(self.server, "Shared/"))
        self.users = [self.server.new_user() for _ in range(2)]
        with self.server.connect(self.users[0]) as client:
            for name in NAMES:
                self.assertOk(client.command(f'CREATE "{name}"'))
                for number in range(3):
                    self.assertOk(client.command(f'APPEND "{name}"', message(f"there-{number}")))

    def subjects(self, name):
        with self.server.connect(self.users[0]) as client:
            client.command(f'EXAMINE "{name}"')
            reply = self.assertOk(client.command("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]"))
            return [line.split(b"ubject: ")[1].split(b"\r\n")[0].decode() for line in reply.untagged if b"ubject: " in line]

    def test_the_server_severs(self):
        """Without the proxy, the first session ends when the second one comes."""
        first, second = (self.raw(self.relay, user) for user in self.users)
        self.assertOk(first.command('SELECT "Shared/One"'))
        self.assertOk(second.command('SELECT "Shared/One"'))
        self.assertTrue(any(b"BYE Killed" in line for line in first.closed_within(5)), first.dialogue())
        self.assertEqual(len(self.relay.severed), 1, self.relay.severed)
        with self.assertRaises((Closed, OSError)):
            first.command("NOOP")
        self.assertOk(second.command("NOOP"))

    @proxy_only
    def test_two_users_at_work_and_none_is_severed(self):
        self.two_users_at_work(connections=2)

    @proxy_only
    def test_two_users_with_one_connection_each(self):
        self.two_users_at_work(connections=1)

    def two_users_at_work(self, connections):
        backend = {"connections_per_user": connections, "shared_namespaces": ["Shared/"], "lease_wait": f"{LEASE_WAIT}s",
                   "yield_after": "200ms", "max_hold": "500ms", "min_hold": "50ms"}
        with Proxy(self.relay, "shared", backend=backend) as proxy:
            end = time.monotonic() + SECONDS
            workers = [Worker(self, number, self.users[number % 2], proxy, end) for number in range(6)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(SECONDS + 2 * LEASE_WAIT + 30)
                self.assertFalse(worker.is_alive(), f"client {worker.number} is stuck\n{worker.client.dialogue()}")
            per_user = {user.name: sum(len(w.waits) for w in workers if w.user is user) for user in self.users}
            longest = max(wait for worker in workers for wait in worker.waits)
            print(f"commands {per_user}, copies {sum(w.copied for w in workers)}, longest wait {longest[0]:.2f} s ({longest[1]})")
            for worker in workers:
                if worker.error:
                    raise worker.error
            self.assertEqual([problem for worker in workers for problem in worker.problems], [])
            self.assertEqual(re.findall(r" (?:warning|error) .* backend=.*", proxy.log()), [])
        self.assertEqual(self.relay.severed, [])
        self.assertLess(longest[0], LEASE_WAIT)
        fewer, more = sorted(per_user.values())
        self.assertGreater(fewer, SECONDS * 5)
        self.assertGreater(fewer * 4, more)
        found = [subject for name in NAMES for subject in self.subjects(name) if not subject.startswith("there-")]
        self.assertEqual(sorted(found), sorted(subject for worker in workers for subject in worker.appended))
