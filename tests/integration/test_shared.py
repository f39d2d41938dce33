"""mailbox_access: shared. Any number of clients in one mailbox over one session, on real servers."""
import contextlib
import hashlib
import os
import pathlib
import re
import threading
import time
import unittest

from case import IntegrationTest, proxy_only
from clients import Account
from common import message, wait_until
from crowd import Crowd
from proxy import Proxy
from relay import Check, Relay
from servers import Courier, Dovecot, Imap4d

SECONDS = float(os.environ.get("IMAPMUX_TEST_SECONDS", "25"))  # that a crowd is at work
TRACE = os.environ.get("IMAPMUX_TEST_TRACE")  # a file for what a crowd and its server say


def options_for(server):
    """imap4d's AUTHENTICATE PLAIN hangs."""
    return {"login": {"mechanism": "LOGIN"}} if server.name == "imap4d" else {}


# --- ten clients -------------------------------------------------------------------------------------------------------
class CrowdTests:
    make_server = None
    mode = "shared"
    more = {}
    connections = 20
    with_work = True
    timeout = 250

    def test_ten_clients_in_one_mailbox(self):
        server = self.enterContext(self.make_server())
        relay = self.enterContext(Relay(server))
        backend = {"connections_per_user": self.connections, "lease_wait": "30s", **options_for(server), **self.more}
        user = server.new_user()
        top = {"limits": {"max_clients": 1000}}
        if TRACE:
            top["log"] = {"level": "debug", "protocol_trace": {"user": user.name}}
        proxy = self.enterContext(Proxy(relay, self.mode, backend=backend, top=top))
        account = Account(server, user, proxy.port)
        # imap4d takes a lock of its file that the tests' own delivery does not know
        crowd = Crowd(account, self.temp_folder("crowd"), SECONDS, self.with_work, delivery_by_server=server.name != "imap4d")
        problems = crowd.run()
        check = Check(relay.record(user), self.connections)
        print(f"{server.name}: {crowd.rounds()} rounds, {check.statistics}", flush=True)
        log = [line for line in proxy.log().splitlines() if re.search(r"\b(warn|error|WARN|ERROR)", line)]
        self.maxDiff = None
        if TRACE:
            pathlib.Path(TRACE).write_text(proxy.log())
            pathlib.Path(TRACE + ".relay").write_text(relay.show())
        self.assertEqual(problems, [], "\n".join(log[-20:]))
        self.assertEqual(relay.problems(user, self.connections), [])
        self.assertEqual(self.surprises(log), [])
        for name, rounds in crowd.rounds().items():
            self.assertGreater(rounds, 0, f"{name} did not come to its work")

    def surprises(self, log):
        """What a proxy in front of one healthy server warns of."""
        return log


@proxy_only
class CrowdDovecot(CrowdTests, IntegrationTest):
    make_server = Dovecot


@proxy_only
class CrowdCourier(CrowdTests, IntegrationTest):
    make_server = Courier

    def surprises(self, log):
        """Its UIDVALIDITY is the second in which a mailbox came to be, and these two come to be together: with as many
        messages they look like one for a moment."""
        return [line for line in log if "look like one and the same" not in line]


@proxy_only
class CrowdImap4d(CrowdTests, IntegrationTest):
    make_server = Imap4d


@proxy_only
class CrowdExclusive(CrowdTests, IntegrationTest):
    """Each client has a session of its own, and they take turns."""
    make_server = Dovecot
    mode = "exclusive"
    more = {"yield_after": "200ms", "max_hold": "1s", "min_hold": "100ms"}


@proxy_only
class CrowdOneConnection(CrowdTests, IntegrationTest):
    """A server that grants a user one connection, and clients that use INBOX alone."""
    connections = 1
    with_work = False

    @staticmethod
    def make_server():
        return Dovecot(max_userip_connections=1)


# --- IDLE --------------------------------------------------------------------------------------------------------------
class IdleTests:
    """What one client changes reaches the others in IDLE without their asking, and so does new mail."""
    make_server = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(cls.make_server())
        cls.relay = cls.enterClassContext(Relay(cls.server))
        cls.proxy = cls.enterClassContext(Proxy(cls.relay, "shared", backend=options_for(cls.server)))

    def setUp(self):
        self.user = self.server.new_user()
        self.server.fill(self.user, "INBOX", [message(name) for name in ("one", "two", "three")])

    def tearDown(self):
        self.assertEqual(self.relay.problems(self.user), [])

    def idlers(self, *commands):
        """Clients in IDLE, each after one of these commands."""
        clients = []
        for command in commands or ("SELECT INBOX", "SELECT INBOX", "EXAMINE INBOX"):
            client = self.raw(self.proxy, self.user)
            self.assertOk(client.command(command))
            client.tag = client.start("IDLE")
            self.assertTrue(client.line().startswith(b"+"), client.dialogue())
            clients.append(client)
        return clients

    def actor(self):
        client = self.raw(self.proxy, self.user)
        self.assertOk(client.command("SELECT INBOX"))
        return client

    def all_hear(self, idlers, *patterns, within):
        """Every idling client is told all of this, in this order, without a command."""
        deadline = time.monotonic() + within
        for idler in idlers:
            for pattern in patterns:
                idler.until(pattern, max(0.1, deadline - time.monotonic()))

    def end(self, idlers):
        for idler in idlers:
            idler.send("DONE\r\n")
            self.assertOk(idler.finish(idler.tag))

    def test_flags(self):
        idlers, actor = self.idlers(), self.actor()
        self.assertOk(actor.command(r"STORE 2 +FLAGS (\Flagged)"))
        self.all_hear(idlers, rb"^\* 2 FETCH \(.*\\Flagged", within=3)
        self.assertOk(actor.command(r"STORE 3 +FLAGS.SILENT (\Answered)"))
        self.all_hear(idlers, rb"^\* 3 FETCH \(.*\\Answered", within=3)
        self.assertOk(actor.command("FETCH 1 BODY[]"))
        self.all_hear(idlers, rb"^\* 1 FETCH \(.*\\Seen", within=3)
        self.assertOk(actor.command(r"UID STORE 1:* -FLAGS (\Seen \Flagged \Answered)"))
        self.all_hear(idlers, rb"^\* 1 FETCH \(.*FLAGS \((\\Recent)?\)", rb"^\* 2 FETCH \(.*FLAGS \((\\Recent)?\)",
                      rb"^\* 3 FETCH \(.*FLAGS \((\\Recent)?\)", within=3)
        self.end(idlers)

    def test_expunge(self):
        idlers, actor = self.idlers(), self.actor()
        self.assertOk(actor.command(r"STORE 1,3 +FLAGS (\Deleted)"))
        self.assertOk(actor.command("EXPUNGE"))
        for idler in idlers:  # 3, 1 or 1, 2: the server's order where each is told at once
            first = idler.until(rb"^\* \d EXPUNGE", 3)[-1]
            idler.until(rb"^\* 1 EXPUNGE" if first == b"* 3 EXPUNGE" else rb"^\* 2 EXPUNGE", 3)
        self.end(idlers)
        for idler in idlers:
            reply = self.assertOk(idler.command("FETCH 1:* (UID ENVELOPE)"))
            self.assertTrue(reply.find(rb'^\* 1 FETCH \(.*"two"'), repr(reply))

    def test_close_of_another(self):
        idlers, actor = self.idlers(), self.actor()
        self.assertOk(actor.command(r"STORE 2 +FLAGS.SILENT (\Deleted)"))
        self.assertOk(actor.command("CLOSE"))
        self.all_hear(idlers, rb"^\* 2 EXPUNGE", within=3)
        self.end(idlers)

    def test_append_by_another(self):
        idlers, actor = self.idlers(), self.raw(self.proxy, self.user)  # which has nothing selected
        self.assertOk(actor.finish(actor.start("APPEND INBOX (\\Seen)", message("four"))))
        self.all_hear(idlers, rb"^\* 4 EXISTS", within=3)
        self.assertOk(actor.command("SELECT INBOX"))
        self.assertOk(actor.finish(actor.start("APPEND INBOX", message("five"))))
        self.all_hear(idlers, rb"^\* 5 EXISTS", within=3)
        self.end(idlers)

    def test_copy_by_another(self):
        self.server.make_mailbox(self.user, "Work")
        work = self.server.mailbox("Work")
        idlers, actor = self.idlers(), self.actor()
        there = self.idlers(f"SELECT {work}")
        self.assertOk(actor.command(f"COPY 1:2 {work}"))
        self.all_hear(there, rb"^\* 2 EXISTS", within=3)
        self.assertOk(actor.command("UID COPY 1 INBOX"))
        self.all_hear(idlers, rb"^\* 4 EXISTS", within=3)
        self.end(idlers + there)

    def test_delivery(self):
        idlers = self.idlers()
        time.sleep(1.5)  # by then the backend idles, where it can
        self.server.deliver(self.user, "INBOX", message("four"))
        self.all_hear(idlers, rb"^\* 4 EXISTS", within=5)
        self.end(idlers)
        for idler in idlers:
            reply = self.assertOk(idler.command("FETCH 4 (ENVELOPE)"))
            self.assertTrue(reply.find(rb'"four"'), repr(reply))

    def test_first_message_of_an_empty_mailbox(self):
        user = self.server.new_user()
        self.user = user
        idlers = self.idlers("SELECT INBOX", "EXAMINE INBOX")
        self.server.deliver(user, "INBOX", message("first"))
        self.all_hear(idlers, rb"^\* 1 EXISTS", within=6)
        self.end(idlers)

    def test_many_in_idle_and_many_who_work(self):
        idlers = self.idlers(*["SELECT INBOX"] * 8)
        for round in range(5):
            actor = self.actor()
            self.assertOk(actor.command(rf"STORE 1 {'+-'[round % 2]}FLAGS (\Flagged)"))
            self.assertOk(actor.command("LOGOUT"))
            self.all_hear(idlers, rb"^\* 1 FETCH \(.*FLAGS", within=3)
        self.end(idlers)

    def test_idle_before_select(self):
        client = self.raw(self.proxy, self.user)
        tag = client.start("IDLE")
        self.assertTrue(client.line().startswith(b"+"), client.dialogue())
        client.send("DONE\r\n")
        self.assertOk(client.finish(tag))


@proxy_only
class IdleDovecot(IdleTests, IntegrationTest):
    make_server = Dovecot

    def test_what_a_session_past_the_proxy_does(self):
        idlers = self.idlers()
        time.sleep(1)
        with self.server.connect(self.user) as other:
            self.assertOk(other.command("SELECT INBOX"))
            self.assertOk(other.command(r"STORE 3 +FLAGS (\Flagged)"))
            self.all_hear(idlers, rb"^\* 3 FETCH \(.*\\Flagged", within=5)
            self.assertOk(other.command(r"STORE 1 +FLAGS (\Deleted)"))
            self.assertOk(other.command("EXPUNGE"))
            self.all_hear(idlers, rb"^\* 1 EXPUNGE", within=5)
        self.end(idlers)


@proxy_only
class IdleCourier(IdleTests, IntegrationTest):
    make_server = Courier


@proxy_only
class IdleImap4d(IdleTests, IntegrationTest):
    make_server = Imap4d


# --- memory ------------------------------------------------------------------------------------------------------------
class MemoryWatch(threading.Thread):
    """The most memory a process had while this watched (PSS: with its share of what others map, too)."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.most = self.now()
        self._ended = threading.Event()
        self.start()

    def now(self):
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:
            return int(re.search(r"(?m)^Pss: *(\d+) kB", file.read()).group(1)) * 1024

    def run(self):
        while not self._ended.wait(0.01):
            self.most = max(self.most, self.now())

    def stop(self):
        self._ended.set()
        self.join()
        return self.most


class BigMail(IntegrationTest):
    """A mailbox with a small message and a big one."""
    SIZE = 50_000_000
    limits = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())
        cls.user = cls.server.new_user()
        lines = b"".join(b"%09d of a message that is too big to be kept in memory by anybody between\r\n" % n
                         for n in range(1000))
        cls.body = message("big", lines * (cls.SIZE // len(lines) + 1))
        cls.server.fill(cls.user, "INBOX", [message("small"), cls.body])
        cls.proxy = cls.enterClassContext(Proxy(cls.server, "shared", backend={"connections_per_user": 1},
                                                top={"log": {"level": "info"}, "limits": cls.limits}))

    def in_inbox(self, timeout=60):
        client = self.raw(self.proxy, self.user, timeout=timeout)
        self.assertOk(client.command("SELECT INBOX"))
        return client

    def begin_fetch(self, client):
        """FETCH of the big message, of which nothing but the beginning is read."""
        tag = client.start("FETCH 2 BODY.PEEK[]")
        head = b""
        while b"}\r\n" not in head:
            head += client.socket.recv(4096)
        at = head.index(b"}\r\n") + 3
        return tag, int(re.search(rb"\{(\d+)\}\r\n$", head[:at]).group(1)), head[at:]

    def other_works(self, client):
        """Another client in the same mailbox is answered, though the connection was busy for the slow one."""
        for command in ("NOOP", "FETCH 1 (FLAGS UID)", "STORE 1 +FLAGS (\\Answered)", "NOOP"):
            began = time.monotonic()
            self.assertOk(client.command(command))
            self.assertLess(time.monotonic() - began, 20, command)


@proxy_only
class SlowReader(BigMail):
    def test_an_answer_waits_for_its_client_and_nobody_else_does(self):
        slow, other = self.in_inbox(), self.in_inbox()
        watch = MemoryWatch(self.proxy.process.pid)
        before = watch.most
        tag, size, body = self.begin_fetch(slow)
        self.other_works(other)
        growth = watch.stop() - before
        digest, left = hashlib.sha256(body), size - len(body)
        while left > 0:
            piece = slow.socket.recv(min(65536, left))
            self.assertTrue(piece)
            digest.update(piece)
            left -= len(piece)
        slow.buffer = b""
        self.assertOk(slow.finish(tag, timeout=30))
        self.assertEqual(size, len(self.body))
        self.assertEqual(digest.hexdigest(), hashlib.sha256(self.body).hexdigest())
        self.assertLess(growth, 8 * 1024 * 1024)  # the rest waits in a file
        self.assertOk(slow.command("NOOP"))

    def test_who_vanishes_in_the_middle_is_not_waited_for(self):
        slow, other = self.in_inbox(), self.in_inbox()
        self.begin_fetch(slow)
        slow.socket.close()
        self.other_works(other)


@proxy_only
class Backlog(BigMail):
    limits = {"max_backlog": "2MiB"}

    def test_a_slow_reader_who_lets_too_much_wait_is_disconnected_and_nobody_else(self):
        slow, other = self.in_inbox(), self.in_inbox()
        self.begin_fetch(slow)
        self.other_works(other)
        wait_until(lambda: "reads too slowly" in self.proxy.log(), 20)
        slow.socket.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while slow.socket.recv(262144):
                pass
        self.other_works(other)


@proxy_only
class Memory(BigMail):
    MOST = 2 * 1024 * 1024

    def fetch(self, client, command, pieces=262144):
        """Reads the answer without keeping it; returns the number of octets of the literal."""
        tag = client.start(command)
        head = b""
        while b"}\r\n" not in head:
            head += client.socket.recv(4096)
        at = head.index(b"}\r\n") + 3
        size = int(re.search(rb"\{(\d+)\}\r\n$", head[:at]).group(1))
        left = size - len(head[at:])
        while left > 0:
            piece = client.socket.recv(min(pieces, left))
            self.assertTrue(piece)
            left -= len(piece)
        client.buffer = b""
        self.assertOk(client.finish(tag, timeout=30))
        return size

    def check(self, command, others=0, **options):
        client = self.raw(self.proxy, self.user, timeout=60)
        self.assertOk(client.command("SELECT INBOX"))
        beside = []
        for _ in range(others):
            idler = self.raw(self.proxy, self.user)
            self.assertOk(idler.command("SELECT INBOX"))
            idler.start("IDLE")
            idler.line()
            beside.append(idler)
        self.assertOk(client.command("FETCH 1 BODY.PEEK[]"))
        watch = MemoryWatch(self.proxy.process.pid)
        before, began = watch.most, time.monotonic()
        size = self.fetch(client, command, **options)
        seconds, growth = time.monotonic() - began, watch.stop() - before
        print(f"{command}: {size} octets in {seconds:.1f} s, the proxy grew by {growth // 1024} KiB to "
              f"{(before + growth) // 1024} KiB", flush=True)
        self.assertEqual(size, len(self.body))
        self.assertLess(growth, self.MOST)

    def test_fetch(self):
        self.check("FETCH 2 BODY.PEEK[]")

    def test_uid_fetch_that_sets_seen_while_others_look_on(self):
        self.check("UID FETCH 2 (BODY[])", others=3)

    def test_fetch_of_an_older_name(self):
        self.check("FETCH 2 (RFC822)")

    def test_slow_reader(self):
        """Small reads: the server is faster than the client, and has to wait for it."""
        self.check("FETCH 2 BODY.PEEK[]", pieces=3000)


if __name__ == "__main__":
    unittest.main()
