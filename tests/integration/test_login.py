"""Logins: who gets in, what the others are told, TLS, limits, the master user."""
import base64
import json
import re
import shutil
import subprocess
import time
import unittest

from auth_service import AuthService
from case import DIRECT, Background, IntegrationTest, front, proxy_only
from common import LOOPBACK, certificates, free_port, message, wait_until
from proxy import Proxy
from raw import Closed, RawClient, quoted
from servers import Courier, Dovecot, Imap4d

MODES = ("unrestricted", "exclusive")


def plain(user, password, authorize_as=""):
    return base64.b64encode(f"{authorize_as}\0{user}\0{password}".encode()).decode()


class Passwords(IntegrationTest):
    """Right and wrong ones, by LOGIN and AUTHENTICATE PLAIN, in both modes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())
        cls.proxies = {mode: cls.enterClassContext(front(cls.server, mode)) for mode in (MODES[:1] if DIRECT else MODES)}

    def test_wrong_then_right(self):
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                user = self.server.new_user()
                client = self.raw(proxy)
                reply = self.assertNo(client.command(f"LOGIN {quoted(user.name)} wrong"), "AUTHENTICATIONFAILED")
                self.assertIsNone(reply.find(rb"PREAUTH|BYE"), repr(reply))
                self.assertNo(client.command(f"AUTHENTICATE PLAIN {plain(user.name, 'wrong')}"), "AUTHENTICATIONFAILED")
                self.assertEqual(client.command("SELECT INBOX").status, "BAD")
                self.assertOk(client.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}"))
                self.assertOk(client.command("SELECT INBOX"))
                # an account that is open makes a wrong password no better, nor does an earlier success
                other = self.raw(proxy)
                self.assertNo(other.command(f"LOGIN {quoted(user.name)} wrong"))
                self.assertNo(other.command(f"LOGIN {quoted(user.name)} {quoted(user.password + ' ')}"))
                self.assertOk(other.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}"))

    def test_no_hint_whether_the_user_exists(self):
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                user = self.server.new_user()
                known = self.raw(proxy).command(f"LOGIN {quoted(user.name)} wrong")
                unknown = self.raw(proxy).command('LOGIN "nobody@example.test" wrong')
                self.assertEqual(known.text, unknown.text)
                self.assertNo(unknown, "AUTHENTICATIONFAILED")

    def test_another_users_password(self):
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                one, two = self.server.new_user(), self.server.new_user()
                self.raw(proxy, one)
                self.assertNo(self.raw(proxy).command(f"LOGIN {quoted(one.name)} {quoted(two.password)}"), "AUTHENTICATIONFAILED")

    def test_mechanisms(self):
        """AUTHENTICATE PLAIN with and without initial response, cancelled, LOGIN with literals."""
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                user = self.server.new_user()
                client = self.raw(proxy)
                client.send("a1 AUTHENTICATE PLAIN\r\n")
                self.assertTrue(client.line().startswith(b"+"))
                client.send("*\r\n")
                self.assertRegex(client.until(rb"^a1 ")[-1], rb"^a1 (BAD|NO)")
                client.send("a2 AUTHENTICATE PLAIN\r\n")
                self.assertTrue(client.line().startswith(b"+"))
                client.send(plain(user.name, user.password) + "\r\n")
                self.assertRegex(client.until(rb"^a2 ")[-1], rb"^a2 OK")
                self.assertOk(client.command("SELECT INBOX"))
                client = self.raw(proxy, self.server.odd_user)
                self.assertOk(client.command("SELECT INBOX"))
                client = self.raw(proxy)
                client.send(f"a1 LOGIN {{{len(user.name)}}}\r\n")
                self.assertTrue(client.line().startswith(b"+"))
                client.send(f"{user.name} {{{len(user.password)}}}\r\n")
                self.assertTrue(client.line().startswith(b"+"))
                client.send(f"{user.password}\r\n")
                self.assertRegex(client.until(rb"^a1 ")[-1], rb"^a1 OK")

    def test_pipelined_behind_login(self):
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                user = self.server.new_user()
                body = message("pipelined")
                self.server.fill(user, "INBOX", [body])
                client = self.raw(proxy)
                client.send(f"a LOGIN {quoted(user.name)} {quoted(user.password)}\r\nb SELECT INBOX\r\nc NOOP\r\n"
                            f"d FETCH 1 BODY.PEEK[]\r\ne LOGOUT\r\n")
                lines = client.closed_within()
                # sorted: Dovecot may answer a NOOP after the FETCH behind it
                tagged = sorted(line.split(b" ")[:2] for line in lines if re.match(rb"[a-e] ", line))
                self.assertEqual(tagged, [[t, b"OK"] for t in (b"a", b"b", b"c", b"d", b"e")], client.dialogue())
                self.assertTrue(any(body in line for line in lines), client.dialogue())

    def test_pipelined_behind_a_refused_login(self):
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                user = self.server.new_user()
                client = self.raw(proxy)
                client.send(f"a LOGIN {quoted(user.name)} wrong\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
                lines = client.closed_within()
                tagged = [line.split(b" ")[:2] for line in lines if re.match(rb"[a-c] ", line)]
                self.assertEqual(tagged, [[b"a", b"NO"], [b"b", b"BAD"], [b"c", b"OK"]], client.dialogue())

    @unittest.skipUnless(shutil.which("nc"), "no nc")
    def test_netcat(self):
        """Half-closed by the client right after its commands: they are answered all the same."""
        for mode, proxy in self.proxies.items():
            with self.subTest(mode=mode):
                user = self.server.new_user()
                result = subprocess.run(["nc", "-N", "127.0.0.1", str(proxy.port)], timeout=30, capture_output=True,
                                        input=f"a LOGIN {user.name} {user.password}\r\nb LOGOUT\r\n".encode())
                lines = result.stdout.split(b"\r\n")
                if DIRECT:  # Dovecot itself drops what is in flight when the client closes its half
                    continue
                self.assertTrue([l for l in lines if l.startswith(b"a OK")] and [l for l in lines if l.startswith(b"b OK")],
                                result.stdout)


@proxy_only
class OtherServers(IntegrationTest):
    """A refusal is AUTHENTICATIONFAILED whatever words the server has for it."""

    def check(self, server, **backend):
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(server, mode, backend=backend) as proxy:
                user = server.new_user()
                client = self.raw(proxy)
                self.assertNo(client.command(f"LOGIN {quoted(user.name)} wrong"), "AUTHENTICATIONFAILED")
                self.assertOk(client.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}"))
                client.close()

    def test_imap4d(self):
        with Imap4d() as server:
            self.check(server, login={"mechanism": "LOGIN"})

    def test_courier(self):
        with Courier() as server:
            self.check(server)


class Limits(IntegrationTest):
    """Dovecot's mail_max_userip_connections: the server is full, the password is right."""

    @proxy_only
    def test_full_is_not_a_wrong_password(self):
        with Dovecot(max_userip_connections=1) as server:
            for mode in MODES:
                with self.subTest(mode=mode), Proxy(server, mode, backend={"lease_wait": "1s", "backend_wait": "2s"}) as proxy:
                    user = server.new_user()
                    server.make_mailbox(user, "Other")
                    first = self.raw(proxy, user)
                    self.assertOk(first.command("SELECT INBOX"))
                    second = self.raw(proxy)
                    reply = second.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}")
                    if reply.ok:  # the proxy knows the password already; the slot is missed later
                        reply = second.command("SELECT Other")
                    self.assertNo(reply, "UNAVAILABLE", "LIMIT")
                    self.assertNotIn("AUTHENTICATIONFAILED", second.dialogue())
                    # the first one has not noticed
                    self.assertOk(first.command("NOOP"))
                    # and leaves: there is room again
                    self.assertOk(first.command("LOGOUT"))
                    first.close()
                    second.close()

                    def again():
                        with RawClient(proxy.port) as third:
                            if not third.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}").ok:
                                return False
                            return third.command("SELECT Other").ok
                    wait_until(again, 20, "a login after the first session's end", 0.3)

    def test_the_server_refuses_at_all(self):
        """What the test above relies on."""
        with Dovecot(max_userip_connections=1) as server:
            user = server.new_user()
            with server.connect(user), RawClient(server.port) as second:
                reply = second.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}")
                self.assertNotEqual(reply.status, "OK", repr(reply))


class Tls(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot(tls=True))

    @proxy_only
    def test_starttls_required(self):
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, tls="starttls",
                                                listener={"allow_plaintext_login": "never"}) as proxy:
                user = self.server.new_user()
                client = self.raw(proxy)
                reply = self.assertOk(client.command("CAPABILITY"))
                offered = reply.find(rb"^\* CAPABILITY (.*)$").group(1).split()
                self.assertIn(b"LOGINDISABLED", offered)
                self.assertIn(b"STARTTLS", offered)
                self.assertNotIn(b"AUTH=PLAIN", offered)
                self.assertNo(client.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}"), "PRIVACYREQUIRED")
                self.assertNotEqual(client.command(f"AUTHENTICATE PLAIN {plain(user.name, user.password)}").status, "OK")
                client.starttls()
                reply = self.assertOk(client.command("CAPABILITY"))
                offered = reply.find(rb"^\* CAPABILITY (.*)$").group(1).split()
                self.assertNotIn(b"LOGINDISABLED", offered)
                self.assertNotIn(b"STARTTLS", offered)
                client.login(user.name, user.password)
                self.assertOk(client.command("SELECT INBOX"))
                client.close()

    @proxy_only
    def test_nothing_sent_before_the_handshake_counts_after_it(self):
        """CVE-2011-0411: a command injected behind STARTTLS must not be executed."""
        with Proxy(self.server, "exclusive", tls="starttls") as proxy:
            client = self.raw(proxy)
            client.send("a1 STARTTLS\r\na2 NOOP\r\n")
            try:
                first = client.line()
                if first.startswith(b"a1 OK"):
                    client.start_tls_handshake()
                    client.send("a3 NOOP\r\n")
                    self.assertTrue(client.line().startswith(b"a3 "), client.dialogue())
                else:
                    self.assertRegex(first, rb"^(a1 BAD|a1 NO|\* BYE)", client.dialogue())
            except (Closed, OSError):
                pass  # closing is fine as well

    def test_implicit(self):
        for mode in MODES[:1] if DIRECT else MODES:
            with self.subTest(mode=mode), front(self.server, mode, tls="implicit") as proxy:
                user = self.server.new_user()
                with RawClient(proxy.port, tls=True) as client:
                    client.login(user.name, user.password)
                    self.assertOk(client.command("SELECT INBOX"))
                    self.assertOk(client.command("LOGOUT"))

    @proxy_only
    def test_the_servers_certificate_is_checked(self):
        """Neither a name that is not in the certificate nor an unknown authority gets the user's password."""
        for backend in ({"server_name": "mail.example.test"}, {"ca": "/etc/ssl/certs/ca-certificates.crt"}):
            with self.subTest(backend=backend), Proxy(self.server, "exclusive",
                                                      backend={**backend, "backend_wait": "2s"}) as proxy:
                user = self.server.new_user()
                reply = self.raw(proxy).command(f"LOGIN {quoted(user.name)} {quoted(user.password)}")
                self.assertNo(reply, "UNAVAILABLE")
                self.assertNotIn(f"user=<{user.name}>", self.server.log())


@proxy_only
class MasterUser(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def test_it_opens_no_door(self):
        for mode in MODES:
            with self.subTest(mode=mode), Proxy(self.server, mode, backend={"login": {
                    "master_user": self.server.master.name, "master_password": self.server.master.password}}) as proxy:
                user = self.server.new_user()
                body = message("master")
                self.server.fill(user, "INBOX", [body])
                client = self.raw(proxy)
                self.assertNo(client.command(f"LOGIN {quoted(user.name)} wrong"), "AUTHENTICATIONFAILED")
                self.assertNo(client.command(f"LOGIN {quoted(user.name)} {quoted(self.server.master.password)}"))
                self.assertOk(client.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}"))
                self.assertOk(client.command("SELECT INBOX"))
                reply = self.assertOk(client.command("FETCH 1 BODY.PEEK[]"))
                self.assertIn(body, reply.untagged[0])
                self.assertNo(self.raw(proxy).command(f"LOGIN {quoted(user.name)} wrong"))
                client.close()

    @proxy_only
    def test_it_brings_a_session_back(self):
        """The client's password is wiped after its login; the master user logs in again, whatever was open."""
        with Dovecot() as server, Proxy(server, "exclusive", backend={"login": {
                "master_user": server.master.name, "master_password": server.master.password}}) as proxy:
            user = server.new_user()
            body = message("back again")
            server.fill(user, "INBOX", [body])
            client = self.raw(proxy, user)
            self.assertOk(client.command("NOOP"))
            server.kill_sessions(user)
            proxy.wait_for_log("connection lost")
            self.assertOk(client.command("SELECT INBOX"))
            self.assertIn(body, self.assertOk(client.command("FETCH 1 BODY.PEEK[]")).untagged[0])
            server.kill_sessions(user)
            wait_until(lambda: proxy.log().count("connection lost ") > 1, 10, "the second loss is noticed")
            self.assertIn(body, self.assertOk(client.command("FETCH 1 BODY.PEEK[]")).untagged[0])


def xoauth2(user, token):
    return base64.b64encode(f"user={user.name}\1auth=Bearer {token}\1\1".encode()).decode()


def oauthbearer(user, token):
    """RFC 7628, 3.1, with the host and port that clients tell."""
    return base64.b64encode(f"n,a={user.name},\1host=localhost\1port=143\1auth=Bearer {token}\1\1".encode()).decode()


class Tokens(IntegrationTest):
    """XOAUTH2 and OAUTHBEARER: Dovecot checks the token, whoever carries it."""
    MECHANISMS = {"XOAUTH2": (xoauth2, ""), "OAUTHBEARER": (oauthbearer, "AQ==")}  # … and the answer to a refusal's reason

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot(oauth=True))
        cls.proxies = {mode: cls.enterClassContext(front(cls.server, mode, listener={"auth": ["PLAIN", *cls.MECHANISMS]}))
                       for mode in (MODES[:1] if DIRECT else MODES)}

    def each(self):
        for mode, proxy in self.proxies.items():
            for mechanism, (initial, answer) in self.MECHANISMS.items():
                with self.subTest(mode=mode, mechanism=mechanism):
                    client = self.raw(proxy)
                    self.assertIn(f"AUTH={mechanism}".encode(), client.greeting)
                    yield client, mechanism, initial, answer
                    client.close()

    def test_a_good_token(self):
        for client, mechanism, initial, _ in self.each():
            user = self.server.new_user()
            self.assertOk(client.command(f"AUTHENTICATE {mechanism} {initial(user, self.server.token(user))}"))
            self.assertOk(client.command("SELECT INBOX"))

    def test_without_an_initial_response(self):
        for client, mechanism, initial, _ in self.each():
            user = self.server.new_user()
            tag = client.start(f"AUTHENTICATE {mechanism}")
            self.assertRegex(client.line(), rb"^\+ ?$")
            client.send(initial(user, self.server.token(user)) + "\r\n")
            self.assertOk(client.finish(tag))
            self.assertOk(client.command("SELECT INBOX"))

    def test_a_refused_token_is_explained_first(self):
        for client, mechanism, initial, answer in self.each():
            user, another = self.server.new_user(), self.server.new_user()
            for token in ("not.a.token", self.server.token(another), self.server.token(user, lasts=-60)):
                tag = client.start(f"AUTHENTICATE {mechanism} {initial(user, token)}")
                reason = client.line()
                self.assertRegex(reason, rb"^\+ .", client.dialogue())
                self.assertIn("status", json.loads(base64.b64decode(reason[2:])))
                client.send(answer + "\r\n")
                self.assertNo(client.finish(tag), "AUTHENTICATIONFAILED")
            self.assertEqual(client.command("SELECT INBOX").status, "BAD")
            self.assertOk(client.command(f"AUTHENTICATE {mechanism} {initial(user, self.server.token(user))}"))
            self.assertOk(client.command("SELECT INBOX"))


if __name__ == "__main__":
    unittest.main()


@proxy_only
class Origin(IntegrationTest):
    """Dovecot is told who the client is: by a PROXY header, or by ID."""

    CLIENT = "127.0.0.42"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain, cls.tls = free_port(), free_port()
        cls.server = cls.enterClassContext(Dovecot(settings=f"""
haproxy_trusted_networks = 127.0.0.1
login_trusted_networks = 127.0.0.1
service imap-login {{
  inet_listener haproxy {{
    port = {cls.plain}
    haproxy = yes
  }}
  inet_listener haproxys {{
    port = {cls.tls}
    haproxy = yes
    ssl = yes
  }}
}}
"""))
        ca = {"ca": str(certificates().ca), "health_check": {"interval": "100ms"}}
        cls.backends = {
            "v1": {"servers": [f"{LOOPBACK}:{cls.plain}"], "tls": "none", "send_proxy": "v1"},
            "v2": {"servers": [f"{LOOPBACK}:{cls.plain}"], "tls": "none", "send_proxy": "v2"},
            "v2tls": {"servers": [f"localhost:{cls.tls}"], "tls": "implicit", "send_proxy": "v2", **ca},
            "v1starttls": {"servers": [f"localhost:{cls.plain}"], "tls": "starttls", "send_proxy": "v1", **ca},
            "id": {"servers": [f"{LOOPBACK}:{cls.server.port}"], "tls": "none", "send_client_id": True}}
        cls.proxy = cls.enterClassContext(Proxy(cls.server, "shared", top={
            "backends": cls.backends,
            "routes": [{"user": f"user{10 + n}@*", "backend": name} for n, name in enumerate(cls.backends)]}))

    def test_the_log_of_the_server_names_the_client(self):
        for number, name in enumerate(self.backends):
            with self.subTest(name):
                user = self.server.users[f"user{10 + number}@example.test"]
                client = self.raw(self.proxy, user, source=self.CLIENT)
                self.assertOk(client.command("SELECT INBOX"))
                line = wait_until(lambda: re.search(rf"Login: user=<{re.escape(user.name)}>.*", self.server.log()), 10,
                                  "the login in Dovecot's log").group()
                self.assertIn(f"rip={self.CLIENT}, lip=127.0.0.1", line)
                if name == "id":  # the session of the proxy's own log
                    session = re.search(rf"login session=(\S+) client={self.CLIENT}:\d+ user={user.name}", self.proxy.log()).group(1)
                    self.assertIn(f"session=<{session}>", line)

    def test_health_checks_are_the_proxys_own(self):
        """LOCAL and UNKNOWN, which Dovecot takes: the address is that of the connection."""
        log = wait_until(lambda: self.server.log() if re.search(r"Disconnected.*rip=127\.0\.0\.1,", self.server.log()) else None,
                         10, "a health check in Dovecot's log")
        self.assertNotRegex(log, "(?i)haproxy.*(invalid|unexpected|error|disconnected)")
        self.assertNotIn("is down", self.proxy.log())


@proxy_only
class AuthHttp(IntegrationTest):
    """Two workers before a Dovecot that only the service knows; it knows other passwords than the users, too."""

    KEY = "of imapmux and the service"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())
        cls.service = cls.enterClassContext(AuthService(cls.answer))
        https = {"url": cls.service.url, "header": {"X-Auth-Key": cls.KEY}, "max_connections": 3}
        cls.proxy = cls.enterClassContext(Proxy(cls.server, "shared", top={
            "workers": 2,
            "backends": {"mail": {"tls": "none", "login": {"mechanism": "PLAIN"}}},
            "routes": [{"user": "*@untrusted.test", "backend": "mail", "auth_http": https},
                       {"backend": "mail", "auth_http": {**https, "ca": str(certificates().ca)}}]}))

    @classmethod
    def answer(cls, asked):
        time.sleep(0.02)
        user = cls.server.users.get(asked["Auth-User"])
        if asked["X-Auth-Key"] != cls.KEY or not user or asked["Auth-Pass"] != f"of%20{user.name}":
            return {"Auth-Status": "Invalid login or password", "Auth-Wait": "1"}
        return {"Auth-Status": "OK", "Auth-Server": LOOPBACK, "Auth-Port": str(cls.server.port), "Auth-Pass": user.password}

    def log_in(self, user):
        for _ in range(2):  # the second time, the proxy knows the password; the service is asked all the same
            with RawClient(self.proxy.port) as client:
                self.assertOk(client.command(f"LOGIN {quoted(user.name)} {quoted('of ' + user.name)}"))
                self.assertOk(client.command("SELECT INBOX"))
                client.command("LOGOUT")

    def test_many_at_once(self):
        before = self.service.asked
        users = [self.server.new_user() for _ in range(12)]
        for login in [Background(self.log_in, user) for user in users]:
            login.result()
        self.assertEqual(self.service.asked - before, 24)
        self.assertLessEqual(self.service.most, 3)
        self.assertGreater(self.service.most, 1)
        # LOGIN, SELECT, LOGOUT: also of those who went from worker to worker
        ended = re.findall(r"session ended .*? user=(\S+) .*? commands=(\d+)", self.proxy.log())
        self.assertEqual({commands for name, commands in ended if name in {user.name for user in users}}, {"3"})

    def test_a_wrong_password(self):
        user = self.server.new_user()
        client = self.raw(self.proxy)
        reply = self.assertNo(client.command(f"LOGIN {quoted(user.name)} {quoted(user.password)}"), "AUTHENTICATIONFAILED")
        self.assertIn("Invalid login or password", reply.text)
        self.assertOk(client.command(f"LOGIN {quoted(user.name)} {quoted('of ' + user.name)}"))

    def test_a_service_whose_certificate_nobody_vouches_for_gets_no_password(self):
        before = self.service.asked
        self.assertNo(self.raw(self.proxy).command("LOGIN me@untrusted.test secret"), "UNAVAILABLE")
        self.assertEqual(self.service.asked, before)
        self.assertIn("certificate", self.proxy.log())
