"""Servers that die, connections that break, a proxy that is told to stop or to read its file again."""
import re
import signal
import unittest

from case import IntegrationTest, proxy_only
from common import message, wait_until
from proxy import Proxy
from raw import Closed, RawClient, quoted
from relay import Relay
from servers import Dovecot

MODES = ("unrestricted", "exclusive")


@proxy_only
class Backend(IntegrationTest):
    """Within 5 seconds a client gets its tagged answer or `* BYE [UNAVAILABLE]`, whatever happens to the server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def answer_or_bye(self, client, tag):
        """The tagged reply, or None after a BYE; fails on silence, and on a close without a word."""
        lines = []
        try:
            while True:
                lines.append(client.line(8))
                if lines[-1].startswith(tag.encode() + b" "):
                    return lines[-1]
        except Closed:
            self.assertTrue(any(re.match(rb"(?i)\* BYE \[UNAVAILABLE\]", line) for line in lines), client.dialogue())
            return None

    def test_session_killed(self):
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, backend={"backend_wait": "3s"}) as proxy:
                user = self.server.new_user()
                self.server.fill(user, "INBOX", [message("one")])
                client = self.raw(proxy, user)
                self.assertOk(client.command("SELECT INBOX"))
                self.server.kill_sessions(user)
                tag = None
                try:
                    tag = client.start("FETCH 1 (FLAGS)")
                except OSError:
                    pass  # the BYE was faster
                answer = self.answer_or_bye(client, tag or "none")
                if answer is not None:
                    self.assertRegex(answer, rb"^\w+ (OK|NO \[(UNAVAILABLE|SERVERBUG)\])", client.dialogue())
                # and whoever comes next is served
                with RawClient(proxy.port) as other:
                    other.login(user.name, user.password)
                    client.close()
                    self.assertOk(other.command("SELECT INBOX"))

    def test_a_session_outlives_its_connection(self):
        """Nobody shares it, and yet its client hears of nothing but what changed."""
        with Proxy(self.server, "exclusive", backend={"backend_wait": "3s"}) as proxy:
            user = self.server.new_user()
            self.server.fill(user, "INBOX", [message("one")])
            client = self.raw(proxy, user)
            self.assertOk(client.command("SELECT INBOX"))
            for number in (2, 3):
                self.server.kill_sessions(user)
                wait_until(lambda: proxy.log().count("connection lost ") == number - 1, 10, "the loss is noticed")
                self.server.deliver(user, "INBOX", message(f"no. {number}"))
                reply = self.assertOk(client.command("FETCH 1 (FLAGS)"))
                self.assertTrue(reply.find(rb"^\* %d EXISTS" % number), repr(reply))
            self.assertIn(b"no. 3", b"".join(self.assertOk(client.command("FETCH 3 BODY.PEEK[]")).untagged))

    def test_session_killed_in_idle(self):
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, backend={"backend_wait": "3s"}) as proxy:
                user = self.server.new_user()
                client = self.raw(proxy, user)
                self.assertOk(client.command("SELECT INBOX"))
                tag = client.start("IDLE")
                client.until(rb"^\+")
                self.server.kill_sessions(user)
                try:
                    client.send("DONE\r\n")
                except OSError:
                    pass
                self.answer_or_bye(client, tag)
                client.close()

    def test_cut_in_a_literal(self):
        """Half a body, then nothing: the client gets the rest, or sees the connection end; never a completed lie."""
        for mode in MODES:
            user = self.server.new_user()
            body = message("big", b"".join(b"%07d\r\n" % n for n in range(60_000)))
            self.server.fill(user, "INBOX", [body])
            with self.subTest(mode=mode), Relay(self.server, cut_after=200_000) as relay, \
                    Proxy(relay, mode, backend={"backend_wait": "3s"}) as proxy:
                client = self.raw(proxy, user)
                self.assertOk(client.command("SELECT INBOX"))
                tag = client.start("FETCH 1 BODY.PEEK[]")
                lines = []
                try:
                    while True:
                        lines.append(client.line(15))
                        if lines[-1].startswith(tag.encode() + b" "):
                            break
                except Closed:
                    continue  # the literal was not finished, so that no BYE could be said
                if lines[-1].startswith(tag.encode() + b" OK"):
                    self.assertTrue(any(body in line for line in lines), "OK without the body")

    def test_append_cut_is_not_repeated(self):
        """The server dies before it answers an APPEND: the client is not told OK, nor is the message there twice."""
        user = self.server.new_user()
        with Relay(self.server) as relay, Proxy(relay, "exclusive", backend={"backend_wait": "3s"}) as proxy:
            client = self.raw(proxy, user)
            self.assertOk(client.command("CREATE Target"))
            body = message("once", b"y" * 60 + b"\r\n")
            relay.drop_answers_to("APPEND")
            tag = client.start("APPEND Target", body)
            answer = self.answer_or_bye(client, tag)
            if answer is not None:
                self.assertRegex(answer, rb"^\w+ NO", client.dialogue())
            appends = [line for line in relay.sent() if b" APPEND " in line.upper()]
            self.assertEqual(len(appends), 1, relay.show()[-2000:])
            self.assertEqual(len(self.server.messages(user, "Target")), 1)

    def test_server_down_at_login(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                with Dovecot() as server:
                    user = server.new_user()
                with Proxy(server, mode, backend={"backend_wait": "2s"}) as proxy:
                    reply = self.raw(proxy).command(f"LOGIN {quoted(user.name)} {quoted(user.password)}")
                    self.assertNo(reply, "UNAVAILABLE")

    def test_server_comes_back(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                server = Dovecot()
                with Proxy(server, mode, backend={"backend_wait": "2s"}) as proxy:
                    self.assertNo(self.raw(proxy).command('LOGIN "user01@example.test" "secret-01"'), "UNAVAILABLE")
                    with server:
                        user = server.new_user()

                        def works():
                            with RawClient(proxy.port) as client:
                                return client.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}").ok \
                                    and client.command("SELECT INBOX").ok
                        wait_until(works, 30, "a login after the server came back", 0.3)


@proxy_only
class Lifecycle(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def test_sigterm(self):
        """Every client gets a BYE; exit status 0 within the grace."""
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, top={"shutdown_grace": "5s"}) as proxy:
                fresh = self.raw(proxy)
                authenticated = self.raw(proxy, self.server.new_user())
                idle = self.raw(proxy, self.server.new_user())
                self.assertOk(idle.command("SELECT INBOX"))
                idle.start("IDLE")
                idle.until(rb"^\+")
                proxy.process.signal(signal.SIGTERM)
                for client in (fresh, authenticated, idle):
                    lines = client.closed_within(12)
                    self.assertTrue(any(line.upper().startswith(b"* BYE") for line in lines), client.dialogue())
                self.assertEqual(proxy.process.popen.wait(12), 0, proxy.log()[-3000:])
                proxy.process.running = lambda: True  # ended as it should, before __exit__ asks for it

    def test_sigterm_with_a_client_that_does_not_read(self):
        """Nobody can hold the end up."""
        user = self.server.new_user()
        self.server.fill(user, "INBOX", [message("big", b"".join(b"%07d\r\n" % n for n in range(600_000)))])
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, top={"shutdown_grace": "2s"}) as proxy:
                client = self.raw(proxy, user)
                self.assertOk(client.command("SELECT INBOX"))
                for _ in range(5):
                    client.start("FETCH 1 BODY.PEEK[]")
                self.assertTrue(client.socket.recv(1000))
                proxy.process.signal(signal.SIGTERM)
                self.assertEqual(proxy.process.popen.wait(12), 0, proxy.log()[-3000:])
                proxy.process.running = lambda: True
                client.close()

    def test_sighup_with_a_bad_file(self):
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode) as proxy:
                user = self.server.new_user()
                before = self.raw(proxy, user)
                self.assertOk(before.command("SELECT INBOX"))
                good = proxy.file.read_text()
                proxy.file.write_text(good.replace('"mailbox_access"', '"mailbox_acces"'))
                proxy.reload()
                proxy.wait_for_log(r"mailbox_acces\b")
                self.assertOk(before.command("NOOP"))
                after = self.raw(proxy, self.server.new_user())
                self.assertOk(after.command("SELECT INBOX"))

    def test_sighup_with_a_good_file(self):
        """New logins follow the new file; who is in stays in."""
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode) as proxy:
                stays, refused, allowed = (self.server.new_user() for _ in range(3))
                client = self.raw(proxy, stays)
                self.assertOk(client.command("SELECT INBOX"))
                proxy.write({**proxy.configuration, "routes": [{"user": allowed.name, "backend": "server"}]})
                proxy.reload()

                def new_rules():
                    with RawClient(proxy.port) as other:
                        return not other.command(f"LOGIN {quoted(refused.name)} {quoted(refused.password)}").ok
                wait_until(new_rules, 10, "the new routes are in force", 0.1)
                self.assertOk(self.raw(proxy, allowed).command("SELECT INBOX"))
                self.assertOk(client.command("NOOP"))

    def test_workers(self):
        """Clients of one user, accepted by whichever worker, all at work at once."""
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, top={"workers": 2}) as proxy:
                user = self.server.new_user()
                clients = [RawClient(proxy.port) for _ in range(10)]
                for client in clients:
                    self.addCleanup(client.close)
                    client.login(user.name, user.password)
                for number, client in enumerate(clients):
                    self.assertOk(client.command(f"CREATE Box{number}"))
                for number, client in enumerate(clients):
                    self.assertOk(client.command(f"SELECT Box{number}"))
                bodies = [message(f"box{number}") for number in range(len(clients))]
                for number, client in enumerate(clients):
                    self.assertOk(client.finish(client.start(f"APPEND Box{number} (\\Seen)", bodies[number])))
                for number, client in enumerate(clients):
                    self.assertOk(client.command("NOOP"))
                    reply = self.assertOk(client.command("FETCH 1 BODY.PEEK[]"))
                    self.assertTrue(any(bodies[number] in line for line in reply.untagged), client.dialogue())
                for number, client in enumerate(clients):
                    self.assertOk(client.command("LOGOUT"))
                    self.server.wait_for_messages(user, f"Box{number}", [({"\\Seen"}, bodies[number])])

    def test_bad_file_at_the_start(self):
        """Every problem with its line, exit status 1, nothing is listened on."""
        proxy = Proxy(self.server, "exclusive", backend={"mailbox_access": "sometimes"})
        with self.assertRaises(AssertionError) as caught, proxy:
            pass
        self.assertRegex(str(caught.exception), r"ended with 1")
        self.assertRegex(str(caught.exception), r"imapmux\.yaml:\d+:\d+: .*sometimes")


if __name__ == "__main__":
    unittest.main()
