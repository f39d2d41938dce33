"""A restart of the server is a pause, not an outage: clients stay, and what was acknowledged is there."""
import asyncio
import os
import random
import sys
import time

from case import IntegrationTest, proxy_only
from common import SOURCE, message, wait_until
from outage_clients import OutageClient, Outages, Owned
from proxy import Proxy
from servers import Dovecot, Imap4d

sys.path.insert(0, str(SOURCE / "tests/load"))
from ledger import Ledger  # noqa: E402
from load import Report, milliseconds, watch  # noqa: E402

SECONDS = float(os.environ.get("IMAPMUX_TEST_SECONDS", "15"))
KILLS = 5
CLIENTS = 20
MAILBOXES = ["INBOX", *(f"box{n}" for n in range(1, 8))]
BACKEND_WAIT = 20


class OutageTests:
    """Twenty clients of one user in eight mailboxes on one connection; kill -9 and restart of the server, five times."""
    make_server = None
    client = OutageClient
    login = {}
    keeps_flags = True  # that it has acknowledged, through kill -9
    timeout = int(SECONDS) + 180

    def test_clients_outlive_the_server(self):
        server = self.enterContext(self.make_server())
        user = server.new_user()
        top = {"log": {"level": "debug"}, "limits": {"max_clients": 1000}}
        if os.environ.get("IMAPMUX_TEST_TRACE"):
            top["log"]["protocol_trace"] = {"user": user.name}
        backend = {"connections_per_user": 1, "backend_wait": f"{BACKEND_WAIT}s", "lease_wait": "60s", **self.login}
        proxy = self.enterContext(Proxy(server, "shared", backend=backend, top=top))
        for name in MAILBOXES[1:]:
            server.make_mailbox(user, name)
        self.prepare(server, user)
        self.ledger, self.report, self.owned = Ledger(f"r{time.time_ns():x}", "u", MAILBOXES), Report(), Owned()
        self.outages = Outages(BACKEND_WAIT, self.report)

        def client(number):
            return self.client(f"client{number}", proxy.port, user, self.ledger, self.owned, self.report, self.outages,
                               random.Random(number))
        clients = [client(number) for number in range(CLIENTS)]
        try:
            asyncio.run(self.work(server, clients, client(99)))
        finally:
            if os.environ.get("IMAPMUX_TEST_TRACE"):
                with open(os.environ["IMAPMUX_TEST_TRACE"], "w", encoding="utf-8") as file:
                    file.write(proxy.log())
        self.judge(server, user, clients)

    async def work(self, server, clients, surveyor):
        await surveyor.once(surveyor.survey(True))
        self.report.waits.clear()
        watcher = asyncio.create_task(watch(clients))
        tasks = [asyncio.create_task(client.run()) for client in clients]
        dice = random.Random(1)
        for _ in range(KILLS):
            await asyncio.sleep(SECONDS / (KILLS + 1) * (0.6 + 0.4 * dice.random()))
            self.outages.kills.append(time.monotonic())
            await asyncio.to_thread(server.kill)
            if not self.keeps_flags:
                self.owned.forget_flags()
            await asyncio.sleep(SECONDS / (KILLS + 1) * 0.4 * dice.random())
            await asyncio.to_thread(server.launch)
        await asyncio.sleep(SECONDS / (KILLS + 1))
        for client in clients:
            client.over = True
        await asyncio.gather(*tasks)
        print(milliseconds([wait for waits in self.report.waits.values() for wait in waits]))
        await surveyor.once(surveyor.final_count())
        await asyncio.gather(*(client.converge() for client in clients))
        watcher.cancel()

    def judge(self, server, user, clients):
        report, outages = self.report, self.outages
        print(f"{server.name}: {sum(c.answered for c in clients)} commands of {len(clients)} clients, "
              f"{len(outages.kills)} kills, outcome unknown {len(outages.unknown)}, cut in a literal {len(outages.broken)}")
        print(*outages.unknown, sep="\n")
        for error in report.errors:
            print(f"\n{error['client']}: {error['error']}", *error["transcript"], sep="\n  ")
        self.assertEqual(report.error_count, 0, "errors of clients: see above")
        self.assertEqual(report.refused, {"cycle": 0, "other": 0}, report.refusals)
        self.assertEqual(report.problems, [])
        # with one connection, the commands of one client are in flight
        self.assertLessEqual(len(outages.unknown), 2 * KILLS)
        self.assertLessEqual(len(outages.broken), KILLS)
        for client in clients:
            self.assertGreater(client.answered, 1, f"{client.name} did not come to its work")
        problems = None

        def on_disk():
            nonlocal problems
            problems = self.problems_on_disk(server, user)
            return not problems
        try:
            wait_until(on_disk, 15, "the server holds what the model says", 0.5)
        except AssertionError:
            self.fail("\n".join(problems))
        self.judge_log(server)

    def problems_on_disk(self, server, user):
        problems = []
        for name, box in self.ledger.mailboxes.items():
            stored = server.messages(user, name)
            if len({one.uid for one in stored}) != len(stored):
                problems.append(f"{name}: UIDs are not unique: {[one.uid for one in stored]}")
            problems += box.final_problems({one.uid: one.subject for one in stored}, self.ledger.run)
            problems += self.owned.differences(name, stored, box.marked)
        return problems

    def prepare(self, server, user):
        """Before anybody is at work."""

    def judge_log(self, server):
        """What the server must not have seen."""


@proxy_only
class OutagesDovecot(OutageTests, IntegrationTest):
    @staticmethod
    def make_server():
        # A lock file without the pid of its owner, left behind by kill -9, holds up Dovecot itself for two minutes.
        return Dovecot(max_userip_connections=1, settings="dotlock_use_excl = no\n")

    def judge_log(self, server):
        self.assertNotIn("Maximum number of connections", server.log())


@proxy_only
class OutagesImap4d(OutageTests, IntegrationTest):
    make_server = Imap4d
    login = {"login": {"mechanism": "LOGIN"}}
    keeps_flags = False

    class client(OutageClient):
        # it writes its UIDs into the messages' headers
        sections = ["BODY.PEEK[TEXT]", "BODY[TEXT]", "BODY.PEEK[HEADER.FIELDS (X-LOAD-TOKEN)]"]
        appended_with = [""]  # a session that has the mailbox open does not see those flags

    def prepare(self, server, user):
        """It gives a mailbox another UIDVALIDITY each time until it has written one down, with the UIDs of messages."""
        for name in MAILBOXES:
            server.deliver(user, name, message("anchor"))
            with server.connect(user) as client:
                self.assertOk(client.command(f"SELECT {name}"))
                self.assertOk(client.command("STORE 1 +FLAGS (\\Seen)"))
                self.assertOk(client.command("CLOSE"))
