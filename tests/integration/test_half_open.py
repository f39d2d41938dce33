"""Servers that fall silent: the connection stays, and nothing comes on it any more."""
import os
import signal
import time

from case import Background, IntegrationTest, proxy_only
from common import message, wait_until
from proxy import Proxy
from relay import SilentRelay
from servers import Dovecot

TIMEOUT = 2       # command_timeout
BACKEND_WAIT = 5
SLACK = 4         # of a busy machine
OPTIONS = {"connections_per_user": 1, "command_timeout": f"{TIMEOUT}s", "connect_timeout": "1s",
           "backend_wait": f"{BACKEND_WAIT}s", "poll_interval": "500ms"}

# What each is answered when the server falls silent before it reads the command. RFC 3501 knows no better word than NO for
# what may have happened or not.
AGAIN = ["NOOP", "CHECK", "FETCH 1 (FLAGS)", "UID FETCH 2 (BODY.PEEK[])", "FETCH 2 (BODY[])", "SEARCH SUBJECT one",
         r"STORE 1 +FLAGS (\Flagged)", r"UID STORE 2 +FLAGS.SILENT (\Answered)", "STATUS Other (MESSAGES)",
         "STATUS INBOX (MESSAGES)", 'LIST "" *', "SUBSCRIBE Other", "SELECT Other", "SELECT INBOX", "EXAMINE Other"]
UNKNOWN = ["EXPUNGE", "COPY 1 Other", "UID MOVE 1 Other", "CREATE Third", "RENAME Other Another", "DELETE Other"]


class SilenceTest(IntegrationTest):
    timeout = 150

    def setUp(self):
        self.server = self.enterContext(Dovecot())
        self.relay = self.enterContext(SilentRelay(self.server))
        self.proxy = self.enterContext(Proxy(self.relay, "shared", backend=OPTIONS))

    def in_inbox(self, user):
        client = self.raw(self.proxy, user, timeout=40)
        self.assertOk(client.command("SELECT INBOX"))
        return client

    def new_user(self):
        user = self.server.new_user()
        self.server.make_mailbox(user, "Other")
        self.server.fill(user, "INBOX", [message("one"), message("two")])
        return user

    @staticmethod
    def timed(client, command, literal=None):
        began = time.monotonic()
        reply = client.finish(client.start(command, literal, plus=literal is not None))
        return reply, time.monotonic() - began

    def all_at_once(self, commands, silence):
        """Each by a user of its own; beside it there is another client in the same mailbox."""
        clients = [(self.in_inbox(user), self.in_inbox(user), user) for user in (self.new_user() for _ in commands)]
        for client, _, _ in clients:
            self.assertOk(client.command("FETCH 1:2 (UID FLAGS)"))
        silence()
        asked = [Background(self.timed, client, *([command] if isinstance(command, str) else command))
                 for (client, _, _), command in zip(clients, commands)]
        return [(command, *one.result(60), client, other, user)
                for command, one, (client, other, user) in zip(commands, asked, clients)]


@proxy_only
class HalfOpen(SilenceTest):
    """The connections there are."""

    def test_what_may_be_repeated_is_run_again(self):
        for command, reply, seconds, client, other, user in self.all_at_once(AGAIN, self.relay.silence):
            with self.subTest(command):
                self.assertOk(reply)
                self.assertLess(seconds, TIMEOUT + SLACK)
                self.assertOk(client.command("NOOP"))
                self.assertOk(other.command("FETCH 1:2 (UID BODY.PEEK[])"))
                if "STORE" in command:
                    flag = "\\Flagged" if "Flagged" in command else "\\Answered"
                    wait_until(lambda: any(flag in one.flags for one in self.server.messages(user)), what=f"{flag} is stored")

    def test_what_may_not_is_answered_unknown(self):
        commands = [*UNKNOWN, ("APPEND Other", message("appended"))]
        for command, reply, seconds, client, other, user in self.all_at_once(commands, self.relay.silence):
            with self.subTest(command):
                self.assertNo(reply, "UNAVAILABLE")
                self.assertLess(seconds, TIMEOUT + SLACK)
                self.assertOk(client.command("NOOP"))
                self.assertOk(client.command("FETCH 1:2 (UID FLAGS)"))
                self.assertOk(other.command("FETCH 1:2 (UID BODY.PEEK[])"))
                # none of them reached the server, neither at once nor later
                self.assertEqual([one.subject for one in self.server.messages(user)], ["one", "two"])
                self.assertEqual(self.server.mailboxes(user), {"INBOX", "Other"})
                self.assertEqual(self.server.messages(user, "Other"), [])

    def test_a_stopped_process(self):
        """What the kernel still takes, nobody reads."""
        user = self.new_user()
        client, other = self.in_inbox(user), self.in_inbox(user)
        pids = wait_until(lambda: self.server.sessions(user), what="the session")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            fetched = Background(self.timed, client, "UID FETCH 1:2 (BODY.PEEK[])")
            stored = Background(self.timed, other, r"STORE 2 +FLAGS (\Answered)")
            for one in (fetched, stored):
                reply, seconds = one.result()
                self.assertOk(reply)
                self.assertLess(seconds, TIMEOUT + SLACK)
            self.assertOk(client.command("EXPUNGE"))
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: any("\\Answered" in one.flags for one in self.server.messages(user)), what="\\Answered is stored")

    def test_in_idle(self):
        """Nobody asks for anything: the polls find out, and new mail is told all the same."""
        user = self.new_user()
        client = self.in_inbox(user)
        tag = client.start("IDLE")
        client.until(rb"^\+")
        time.sleep(1)
        self.relay.silence()
        self.server.deliver(user, "INBOX", message("three"))
        client.until(rb"^\* 3 EXISTS", 3 * TIMEOUT + SLACK)
        client.send("DONE\r\n")
        self.assertOk(client.finish(tag))


@proxy_only
class SilentServer(SilenceTest):
    """New connections, too."""

    def test_a_silent_server_is_waited_for(self):
        """New connections get no greeting either, for less than backend_wait."""
        commands = ["FETCH 1:2 (UID FLAGS)", "NOOP", "STATUS Other (MESSAGES)", "SELECT Other"]
        began = time.monotonic()

        def silence():
            self.relay.silence(new_ones_too=True)
            Background(lambda: (time.sleep(TIMEOUT + 1.5), self.relay.speak()))
        for command, reply, seconds, client, other, _ in self.all_at_once(commands, silence):
            with self.subTest(command):
                self.assertOk(reply)
                self.assertLess(seconds, TIMEOUT + BACKEND_WAIT + SLACK)
                self.assertOk(client.command("NOOP"))
                self.assertOk(other.command("FETCH 1:2 (UID FLAGS)"))
        self.assertLess(time.monotonic() - began, 60)

    def test_a_server_that_stays_silent(self):
        """After backend_wait commands are refused, the clients stay; when it speaks again, so does the proxy."""
        commands = ["FETCH 1:2 (UID FLAGS)", "STATUS Other (MESSAGES)", "SELECT Other", ("APPEND Other", message("later"))]
        answers = self.all_at_once(commands, lambda: self.relay.silence(new_ones_too=True))
        for command, reply, seconds, client, _, _ in answers:
            with self.subTest(command):
                self.assertNo(reply, "UNAVAILABLE")
                self.assertLess(seconds, TIMEOUT + BACKEND_WAIT + SLACK)
                noop, seconds = self.timed(client, "NOOP")  # from the view: it never waits for a connection
                self.assertOk(noop)
                self.assertLess(seconds, 1 + SLACK)
        self.relay.speak()
        for command, _, _, client, other, _ in answers:
            with self.subTest(command):
                self.assertOk(other.command("FETCH 1:2 (UID FLAGS)"))
                self.assertOk(client.command("SELECT INBOX"))
