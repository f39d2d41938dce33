"""mailbox_access: exclusive. One session at a time has a mailbox; the others wait, or take turns with it, and nothing is
lost on the way."""
import random
import unittest

from case import Background, IntegrationTest, proxy_only
from common import message, wait_until
from proxy import Proxy
from raw import RawClient
from relay import Relay
from servers import Dovecot


@proxy_only
class Leases(IntegrationTest):
    """Two sessions, one mailbox."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())
        cls.relay = cls.enterClassContext(Relay(cls.server))
        cls.proxy = cls.enterClassContext(Proxy(cls.relay, "exclusive", backend={"yield_after": "never"}))

    def setUp(self):
        self.user = self.server.new_user()
        self.bodies = [message("one"), message("two"), message("three", b"x" * 70 + b"\r\n" * 2)]
        self.server.fill(self.user, "INBOX", self.bodies)

    def tearDown(self):
        # whatever a test did: the server never saw two sessions in one mailbox
        self.assertEqual(self.relay.overlaps(self.user, "INBOX"), [], self.relay.show()[-4000:])

    def holder(self):
        client = self.raw(self.proxy, self.user)
        self.assertOk(client.command("SELECT INBOX"))
        return client

    def waiter(self):
        """A second session whose SELECT waits."""
        client = self.raw(self.proxy, self.user)
        tag = client.start("SELECT INBOX")
        with self.assertRaises(TimeoutError, msg="the second SELECT was answered while the first session has the mailbox"):
            while True:
                self.assertFalse(client.line(1).startswith(tag.encode()), client.dialogue())
        return client, tag

    def check_next(self, release):
        first = self.holder()
        second, tag = self.waiter()
        self.assertOk(first.command("NOOP"))
        release(first)
        reply = self.assertOk(second.finish(tag))
        self.assertTrue(reply.find(rb"^\* 3 EXISTS"), repr(reply))
        return first, second

    def test_waits_for_close(self):
        first, _ = self.check_next(lambda c: self.assertOk(c.command("CLOSE")))
        self.assertOk(first.command("NOOP"))

    def test_waits_for_unselect(self):
        self.check_next(lambda c: self.assertOk(c.command("UNSELECT")))

    def test_waits_for_select_of_another(self):
        self.server.make_mailbox(self.user, "Other")
        first, second = self.check_next(lambda c: self.assertOk(c.command("SELECT Other")))
        self.assertOk(first.command("NOOP"))
        self.assertOk(second.command("NOOP"))

    def test_waits_for_logout(self):
        self.check_next(lambda c: self.assertOk(c.command("LOGOUT")))

    def test_waits_for_a_client_that_vanishes(self):
        self.check_next(lambda c: c.close())

    def test_waits_for_a_client_that_is_reset(self):
        self.check_next(lambda c: c.reset())

    def test_line_of_waiters(self):
        """Everyone gets it, one after the other, each after an EXPUNGE of its own."""
        first = self.holder()
        waiters = []
        for number in range(3):
            client = self.raw(self.proxy, self.user)
            waiters.append((client, client.start("SELECT INBOX")))
        self.assertOk(first.command("LOGOUT"))

        def take(client, tag):
            reply = client.finish(tag)
            assert reply.ok, reply
            count = int(reply.find(rb"^\* (\d+) EXISTS").group(1))
            assert client.command("STORE 1 +FLAGS.SILENT (\\Deleted)").ok, client.dialogue()
            assert client.command("EXPUNGE").ok, client.dialogue()
            assert client.command("LOGOUT").ok, client.dialogue()
            return count
        counts = sorted(job.result() for job in [Background(take, *waiter) for waiter in waiters])
        self.assertEqual(counts, [1, 2, 3])
        self.server.wait_for_messages(self.user, "INBOX", [])

    def test_a_waiter_that_gives_up_is_out_of_the_line(self):
        first = self.holder()
        second, _ = self.waiter()
        second.reset()
        third, tag = self.waiter()
        self.assertOk(first.command("LOGOUT"))
        self.assertOk(third.finish(tag))

    def test_other_mailboxes_do_not_wait(self):
        self.server.make_mailbox(self.user, "Other")
        self.holder()
        second = self.raw(self.proxy, self.user)
        self.assertOk(second.command("SELECT Other", timeout=8))
        self.assertOk(second.command('LIST "" *', timeout=8))

    def test_other_users_do_not_wait(self):
        self.holder()
        other = self.raw(self.proxy, self.server.new_user())
        self.assertOk(other.command("SELECT INBOX", timeout=8))

    def test_one_mailbox_under_several_names(self):
        """INBOX in any case is one mailbox."""
        first = self.raw(self.proxy, self.user)
        self.assertOk(first.command("SELECT inbox"))
        second = self.raw(self.proxy, self.user)
        tag = second.start('SELECT "InBoX"')
        with self.assertRaises(TimeoutError):
            second.finish(tag, 1)
        self.assertOk(first.command("LOGOUT"))
        self.assertOk(second.finish(tag))

    def test_two_mailboxes_crosswise(self):
        """Each has one mailbox and wants the other's: no deadlock, whoever is refused."""
        self.server.make_mailbox(self.user, "Other")
        one, two = self.raw(self.proxy, self.user), self.raw(self.proxy, self.user)
        self.assertOk(one.command("SELECT INBOX"))
        self.assertOk(two.command("SELECT Other"))
        tags = one.start("SELECT Other"), two.start("SELECT INBOX")
        # a SELECT gives up the old mailbox (RFC 3501, 6.3.1), so both can be served; refusing one at once is no deadlock
        replies = one.finish(tags[0], 15), two.finish(tags[1], 15)
        self.assertTrue(any(reply.ok for reply in replies), repr(replies))
        for reply in replies:
            if not reply.ok:
                self.assertNo(reply, "INUSE")

    # --- nothing is expunged but by EXPUNGE and CLOSE ---
    def check_deleted_stays(self, leave):
        first = self.holder()
        self.assertOk(first.command("STORE 2 +FLAGS (\\Deleted)"))
        leave(first)
        second = self.raw(self.proxy, self.user)
        reply = self.assertOk(second.command("SELECT INBOX"))
        self.assertTrue(reply.find(rb"^\* 3 EXISTS"), repr(reply))
        reply = self.assertOk(second.command("FETCH 2 (FLAGS)"))
        self.assertTrue(reply.find(rb"\\Deleted"), repr(reply))
        self.assertOk(second.command("LOGOUT"))
        self.server.wait_for_messages(self.user, "INBOX", [(None, body) for body in self.bodies])
        self.assertEqual([m.subject for m in self.server.messages(self.user) if "\\Deleted" in m.flags], ["two"])

    def test_vanishing_expunges_nothing(self):
        self.check_deleted_stays(lambda c: c.close())

    def test_reset_in_idle_expunges_nothing(self):
        def leave(client):
            client.start("IDLE")
            self.assertTrue(client.line().startswith(b"+"))
            client.reset()
        self.check_deleted_stays(leave)

    def test_vanishing_in_idle_expunges_nothing(self):
        def leave(client):
            client.start("IDLE")
            self.assertTrue(client.line().startswith(b"+"))
            client.close()
        self.check_deleted_stays(leave)

    def test_logout_expunges_nothing(self):
        self.check_deleted_stays(lambda c: self.assertOk(c.command("LOGOUT")))

    def test_unselect_expunges_nothing(self):
        self.check_deleted_stays(lambda c: self.assertOk(c.command("UNSELECT")))

    def test_select_of_another_expunges_nothing(self):
        self.server.make_mailbox(self.user, "Other")
        self.check_deleted_stays(lambda c: self.assertOk(c.command("SELECT Other")))

    def test_close_of_examine_expunges_nothing(self):
        def leave(client):
            self.assertOk(client.command("EXAMINE INBOX"))
            self.assertOk(client.command("CLOSE"))
        self.check_deleted_stays(leave)

    def test_close_expunges(self):
        first = self.holder()
        self.assertOk(first.command("STORE 2 +FLAGS (\\Deleted)"))
        reply = self.assertOk(first.command("CLOSE"))
        self.assertIsNone(reply.find(rb"EXPUNGE"), repr(reply))
        self.server.wait_for_messages(self.user, "INBOX", [(None, self.bodies[0]), (None, self.bodies[2])])

    def test_vanishing_in_a_fetch(self):
        """A client that leaves in the middle of a body: the next one gets the mailbox, whole."""
        big = message("big", b"".join(b"%07d\r\n" % n for n in range(600_000)))
        self.server.deliver(self.user, "INBOX", big)
        first = self.holder()
        self.assertOk(first.command("STORE 1 +FLAGS (\\Deleted)"))
        first.start("FETCH 1:* BODY.PEEK[]")
        self.assertTrue(first.socket.recv(1000))
        first.close()
        second = self.raw(self.proxy, self.user)
        reply = self.assertOk(second.command("SELECT INBOX"))
        self.assertTrue(reply.find(rb"^\* 4 EXISTS"), repr(reply))
        reply = self.assertOk(second.command("FETCH 4 BODY.PEEK[]"))
        self.assertTrue(any(big in line for line in reply.untagged), "the body is not the same")

    def test_vanishing_in_an_upload(self):
        """Half a message is no message, and its sender keeps nothing."""
        first = self.raw(self.proxy, self.user)
        first.send("a1 APPEND INBOX {100000+}\r\nSubject: half\r\n\r\n" + "x\r\n" * 10_000)
        self.assertOk(self.raw(self.proxy, self.user).command("NOOP"))
        first.close()
        second = self.raw(self.proxy, self.user)
        reply = self.assertOk(second.command("SELECT INBOX"))
        self.assertTrue(reply.find(rb"^\* 3 EXISTS"), repr(reply))
        self.assertOk(second.command("LOGOUT"))
        self.server.wait_for_messages(self.user, "INBOX", [(None, body) for body in self.bodies])

    # --- what may reach the server ---
    def test_status_of_the_own_mailbox(self):
        """Never sent as STATUS (RFC 3501, 6.3.10), and right nevertheless."""
        self.server.deliver(self.user, "INBOX", message("seen"), ["\\Seen"])
        client = self.holder()
        before = len(self.relay.sent())
        reply = self.assertOk(client.command("STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"))
        sent = self.relay.sent()[before:]
        self.assertEqual([line for line in sent if b" STATUS " in line.upper()], [])
        counts = reply.find(rb'^\* STATUS "?INBOX"? \((.*)\)').group(1).decode().split()
        counts = dict(zip(counts[::2], counts[1::2]))
        with self.server.connect(self.user) as direct:
            wanted = self.assertOk(direct.command("STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"))
            wanted = wanted.find(rb'^\* STATUS "?INBOX"? \((.*)\)').group(1).decode().split()
        self.assertEqual(counts, dict(zip(wanted[::2], wanted[1::2])))
        self.assertEqual((counts["MESSAGES"], counts["UNSEEN"]), ("4", "3"))
        # also after a change, and with the mailbox still selected
        self.assertOk(client.command("STORE 1 +FLAGS (\\Seen)"))
        reply = self.assertOk(client.command("STATUS INBOX (UNSEEN)"))
        self.assertTrue(reply.find(rb"UNSEEN 2"), repr(reply))
        self.assertOk(client.command("FETCH 1 (FLAGS)"))

    def test_status_of_anothers_mailbox_waits(self):
        first = self.holder()
        second = self.raw(self.proxy, self.user)
        before = len(self.relay.sent())
        tag = second.start("STATUS INBOX (MESSAGES)")
        with self.assertRaises(TimeoutError):
            second.finish(tag, 1)
        self.assertEqual([line for line in self.relay.sent()[before:] if b" STATUS " in line.upper()], [])
        self.assertOk(first.command("LOGOUT"))
        reply = self.assertOk(second.finish(tag))
        self.assertTrue(reply.find(rb"MESSAGES 3"), repr(reply))

    def test_append_waits(self):
        """An APPEND opens its mailbox too."""
        first = self.holder()
        second = self.raw(self.proxy, self.user)
        before = len(self.relay.sent())
        body = message("appended")
        tag = second.start("APPEND INBOX (\\Seen)", body, plus=True)
        with self.assertRaises(TimeoutError):
            second.finish(tag, 1)
        self.assertEqual([line for line in self.relay.sent()[before:] if b" APPEND " in line.upper()], [])
        self.assertOk(first.command("LOGOUT"))
        self.assertOk(second.finish(tag))
        self.server.wait_for_messages(self.user, "INBOX", [*((None, b) for b in self.bodies), ({"\\Seen"}, body)])

    def test_append_to_the_own_mailbox(self):
        client = self.holder()
        body = message("appended")
        reply = self.assertOk(client.finish(client.start("APPEND INBOX (\\Flagged)", body)))
        replies = [reply, self.assertOk(client.command("NOOP"))]
        self.assertTrue(any(r.find(rb"^\* 4 EXISTS") for r in replies), client.dialogue())
        reply = self.assertOk(client.command("FETCH 4 (FLAGS BODY.PEEK[])"))
        self.assertIn(body, b"".join(reply.untagged))

    def test_nothing_of_extensions_that_carry_state(self):
        """Not offered, and refused without reaching the server."""
        client = self.holder()
        reply = self.assertOk(client.command("CAPABILITY"))
        offered = reply.find(rb"^\* CAPABILITY (.*)$").group(1).upper().split()
        for name in (b"COMPRESS=DEFLATE", b"QRESYNC", b"NOTIFY", b"UTF8=ACCEPT", b"LIST-STATUS", b"CATENATE"):
            self.assertNotIn(name, offered)
        before = len(self.relay.sent())
        for command in ("COMPRESS DEFLATE", "NOTIFY NONE", "XFOO BAR", "SETQUOTA2 x"):
            self.assertEqual(client.command(command).status, "BAD")
        self.assertEqual([l for l in self.relay.sent()[before:] if any(
            w in l.upper() for w in (b"COMPRESS", b"NOTIFY", b"XFOO", b"SETQUOTA2"))], [])
        self.assertOk(client.command("NOOP"))


@proxy_only
class Turns(IntegrationTest):
    """Sessions that stay in their mailbox, and lend it to each other."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())
        cls.relay = cls.enterClassContext(Relay(cls.server))
        cls.proxy = cls.enterClassContext(Proxy(cls.relay, "exclusive", backend={
            "yield_after": "300ms", "max_hold": "1s", "min_hold": "100ms"}))

    def setUp(self):
        self.user = self.server.new_user()
        self.server.fill(self.user, "INBOX", [message("one"), message("two"), message("three")])

    def tearDown(self):
        self.assertEqual(self.relay.overlaps(self.user, "INBOX"), [], self.relay.show()[-4000:])

    def test_what_changed_is_told(self):
        first, second = self.raw(self.proxy, self.user), self.raw(self.proxy, self.user)
        self.assertOk(first.command("SELECT INBOX"))
        self.assertOk(second.command("SELECT INBOX"))
        self.assertOk(second.command("STORE 2 +FLAGS.SILENT (\\Deleted)"))
        self.assertOk(second.command("EXPUNGE"))
        self.assertOk(second.command("STORE 2 +FLAGS.SILENT (\\Flagged)"))
        # the first one's numbers are as he knows them until he is told
        reply = self.assertOk(first.command("FETCH 3 (FLAGS)"))
        self.assertTrue(reply.find(rb"^\* 3 FETCH .*\\Flagged"), repr(reply))
        reply = self.assertOk(first.command("UID SEARCH ALL"))
        self.assertTrue(reply.find(rb"^\* 2 EXPUNGE"), repr(reply))
        self.assertOk(second.command("NOOP"))

    def test_in_idle(self):
        first, second = self.raw(self.proxy, self.user), self.raw(self.proxy, self.user)
        self.assertOk(first.command("SELECT INBOX"))
        first.start("IDLE")
        first.until(rb"^\+")
        self.assertOk(second.command("SELECT INBOX"))
        self.assertOk(second.command("STORE 1 +FLAGS.SILENT (\\Deleted)"))
        self.assertOk(second.command("EXPUNGE"))
        self.assertOk(second.command("UNSELECT"))
        first.until(rb"^\* 1 EXPUNGE", 15)

    def test_busy_ones_alternate(self):
        """Three sessions that never pause: all get on, and nobody is refused."""
        def work(number):
            with RawClient(self.proxy.port, timeout=60) as client:
                client.login(self.user.name, self.user.password)
                assert client.command("SELECT INBOX").ok, client.dialogue()
                for turn in range(60):
                    sign = "+-"[turn % 2]
                    reply = client.command(f"STORE {number} {sign}FLAGS.SILENT (\\Flagged)")
                    assert reply.ok, reply
                    reply = client.command(f"FETCH {number} (FLAGS)")
                    assert reply.ok and bool(reply.find(rb"\\Flagged")) == (sign == "+"), reply
        for job in [Background(work, number) for number in (1, 2, 3)]:
            job.result(90)


@proxy_only
class Refusals(IntegrationTest):
    def test_in_use_after_lease_wait(self):
        with Dovecot() as server, \
                Proxy(server, "exclusive", backend={"lease_wait": "1s", "yield_after": "never"}) as proxy:
            user = server.new_user()
            server.fill(user, "INBOX", [message("one")])
            first = self.raw(proxy, user)
            self.assertOk(first.command("SELECT INBOX"))
            second = self.raw(proxy, user)
            self.assertNo(second.command("SELECT INBOX"), "INUSE")
            self.assertEqual(second.command("FETCH 1 (FLAGS)").status, "BAD")  # nothing is selected
            self.assertNo(second.command("STATUS INBOX (MESSAGES)"), "INUSE")
            self.assertNo(second.finish(second.start("APPEND INBOX", message("two"))), "INUSE")
            self.assertOk(second.command("NOOP"))
            self.assertOk(first.command("FETCH 1 (FLAGS)"))
            self.assertOk(first.command("LOGOUT"))
            self.assertOk(second.command("SELECT INBOX"))
            server.wait_for_messages(user, "INBOX", [(None, server.messages(user)[0].body)])

    def test_connections_per_user(self):
        """K = 2: a third session finds no slot, says so, and gets one when another ends."""
        with Dovecot() as server, Relay(server) as relay, \
                Proxy(relay, "exclusive", backend={"connections_per_user": 2, "lease_wait": "1s"}) as proxy:
            user = server.new_user()
            for name in ("A", "B", "C"):
                server.make_mailbox(user, name)
            clients = {}
            for name in ("A", "B"):
                clients[name] = self.raw(proxy, user)
                self.assertOk(clients[name].command(f"SELECT {name}"))
            third = RawClient(proxy.port)
            self.addCleanup(third.close)
            reply = third.command(f'LOGIN "{user.name}" "{user.password}"')
            if reply.ok:
                reply = third.command("SELECT C")
            self.assertNo(reply, "LIMIT", "UNAVAILABLE")
            self.assertLessEqual(len(server.sessions(user)), 2, server.log())
            self.assertOk(clients["A"].command("LOGOUT"))
            clients["A"].close()

            def again():
                with RawClient(proxy.port) as fourth:
                    return fourth.command(f'LOGIN "{user.name}" "{user.password}"').ok and fourth.command("SELECT C").ok
            wait_until(again, 15, "a slot after another session's end", 0.2)
            self.assertLessEqual(len(server.sessions(user)), 2)
            self.assertOk(clients["B"].command("NOOP"))


@proxy_only
class Crowd(IntegrationTest):
    """Eight sessions of one user at work in two mailboxes: what each was told is done, once; no two in one mailbox."""

    def crowd(self, workers):
        with Dovecot() as server, Relay(server) as relay, Proxy(relay, "exclusive", top={"workers": workers}) as proxy:
            user = server.new_user()
            server.make_mailbox(user, "Other")
            rounds, people = 4, 8

            def person(number):
                chance = random.Random(number)
                added = {"INBOX": [], "Other": []}
                for turn in range(rounds):
                    with RawClient(proxy.port, timeout=60) as client:
                        client.login(user.name, user.password)
                        mailbox, other = chance.sample(["INBOX", "Other"], 2)
                        body = message(f"p{number}t{turn}", b"%d\r\n" % chance.getrandbits(64) * chance.randrange(1, 400))
                        reply = client.finish(client.start(f"APPEND {mailbox} (\\Seen)", body))
                        assert reply.ok, reply
                        reply = client.command(f"SELECT {mailbox}")
                        assert reply.ok, reply
                        reply = client.command(f"SEARCH SUBJECT p{number}t{turn}")
                        found = reply.find(rb"^\* SEARCH (\d+)$")
                        assert reply.ok and found, reply
                        mine = found.group(1).decode()
                        reply = client.command(f"FETCH {mine} BODY.PEEK[]")
                        assert reply.ok and any(body in line for line in reply.untagged), reply
                        if chance.random() < 0.5:
                            added[mailbox].append(body)
                        else:
                            reply = client.command(f"STORE {mine} +FLAGS.SILENT (\\Deleted)")
                            assert reply.ok, reply
                            reply = client.command("EXPUNGE")
                            assert reply.ok and reply.find(rb"^\* " + mine.encode() + rb" EXPUNGE"), reply
                        if chance.random() < 0.3:
                            reply = client.command(f"SELECT {other}")
                            assert reply.ok, reply
                        chance.choice([lambda: client.command("LOGOUT"), lambda: client.command("UNSELECT"), client.reset,
                                       lambda: None])()
                return added
            jobs = [Background(person, number) for number in range(people)]
            results = [job.result(90) for job in jobs]
            for mailbox in ("INBOX", "Other"):
                wanted = sorted(body for added in results for body in added[mailbox])
                wait_until(lambda: sorted(m.body for m in server.messages(user, mailbox)) == wanted, 10,
                           f"{mailbox} holds exactly what was told to be there")
                self.assertEqual(relay.overlaps(user, mailbox), [], relay.show()[-4000:])

    def test_one_worker(self):
        self.crowd(1)

    def test_two_workers(self):
        self.crowd(2)


if __name__ == "__main__":
    unittest.main()
