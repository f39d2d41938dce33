"""The harness itself, without a proxy: what the other tests rely on to find faults does find them."""
import unittest

from case import IntegrationTest
from common import message
from raw import Closed, RawClient
from relay import Relay
from servers import Courier, Dovecot, Imap4d, User


class Harness(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def client(self, relay, user):
        client = RawClient(relay.port)
        self.addCleanup(client.close)
        return client.login(user.name, user.password)

    def test_relay_sees_two_sessions_in_one_mailbox(self):
        user = self.server.new_user()
        with Relay(self.server) as relay:
            one, two = self.client(relay, user), self.client(relay, user)
            self.assertOk(one.command("SELECT INBOX"))
            self.assertOk(one.command("CLOSE"))
            self.assertOk(two.command("EXAMINE inbox"))
            self.assertOk(two.command("LOGOUT"))
            self.assertOk(one.command("SELECT INBOX"))
            one.close()
            three, four = self.client(relay, user), self.client(relay, user)
            self.assertOk(three.command("SELECT INBOX"))
            self.assertOk(self.client(relay, self.server.new_user()).command("SELECT INBOX"))  # another INBOX
            self.assertEqual(relay.overlaps(user, "INBOX"), [], relay.show())
            self.assertOk(four.command('SELECT "INBOX"'))
            self.assertEqual(len(relay.overlaps(user, "INBOX")), 1, relay.show())

    def test_relay_leaves_literals_out(self):
        user = self.server.new_user()
        with Relay(self.server) as relay:
            client = self.client(relay, user)
            self.assertOk(client.finish(client.start("APPEND INBOX", message("one", "x STATUS y\r\n" * 3))))
            self.assertEqual([line for line in relay.sent() if b"STATUS" in line], [])
            self.assertOk(client.command("STATUS INBOX (MESSAGES)"))
            self.assertEqual(len([line for line in relay.sent() if b"STATUS" in line]), 1)

    def test_relay_cuts(self):
        user = self.server.new_user()
        self.server.fill(user, "INBOX", [message("big", b"x" * 70 + b"\r\n" + b"line\r\n" * 50_000)])
        with Relay(self.server, cut_after=100_000) as relay:
            client = self.client(relay, user)
            self.assertOk(client.command("SELECT INBOX"))
            with self.assertRaises(Closed):
                client.command("FETCH 1 BODY.PEEK[]")

    def test_relay_drops_an_answer(self):
        user = self.server.new_user()
        with Relay(self.server) as relay:
            client = self.client(relay, user)
            relay.drop_answers_to("APPEND")
            with self.assertRaises(Closed):
                client.finish(client.start("APPEND INBOX", message("one")))
            self.server.wait_for_messages(user, "INBOX", [(set(), self.server.messages(user)[0].body)])

    def test_killed_sessions_are_noticed(self):
        user = self.server.new_user()
        client = self.server.connect(user)
        self.addCleanup(client.close)
        self.assertEqual(len(self.server.kill_sessions(user)), 1)
        client.closed_within()

    def test_master_user(self):
        user, master = self.server.new_user(), self.server.master
        with self.server.connect(User(f"{user.name}*{master.name}", master.password)) as client:
            self.assertOk(client.command("SELECT INBOX"))

    def test_every_server_says_no_and_shows_its_mail(self):
        for make in (Dovecot, Imap4d, Courier):
            with self.subTest(server=make.__name__), make() as server:
                user = server.new_user()
                client = server.connect()
                self.addCleanup(client.close)
                self.assertNo(client.command(f'LOGIN "{user.name}" "wrong"'))
                client.login(user.name, user.password)
                body = message("one")
                self.assertOk(client.finish(client.start("APPEND INBOX (\\Flagged)", body)))
                server.wait_for_messages(user, "INBOX", [({"\\Flagged"}, body)])
                with self.assertRaises(AssertionError):
                    server.wait_for_messages(user, "INBOX", [({"\\Seen"}, body)], timeout=0.1)
                with self.assertRaises(AssertionError):
                    server.wait_for_messages(user, "INBOX", [({"\\Flagged"}, body + b"x")], timeout=0.1)
                self.assertOk(client.command(f"CREATE {server.mailbox('Work')}"))
                self.assertEqual(server.mailboxes(user), {"INBOX", "Work"})
                self.assertOk(client.command("LOGOUT"))


if __name__ == "__main__":
    unittest.main()
