"""Every client does its work on every server in every mode; what the server holds afterwards is compared."""
import unittest

import clients
from case import DIRECT, IntegrationTest, front
from common import message, nasty_body
from raw import quoted
from servers import Courier, Dovecot, Imap4d


class ClientTests:
    """What is done with each server; the classes below say which, and how."""
    make_server = None
    mode = None
    tls = "none"            # between client and proxy
    backend_tls = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(cls.make_server())
        options = {} if DIRECT else {"backend_tls": cls.backend_tls}
        if not DIRECT and cls.server.name == "imap4d":
            options["backend"] = {"login": {"mechanism": "LOGIN"}}
        cls.proxy = cls.enterClassContext(front(cls.server, cls.mode, tls=cls.tls, **options))

    def account(self, user=None):
        concurrent = self.server.pushes_in_idle or not DIRECT and self.mode != "unrestricted"
        return clients.Account(self.server, user or self.server.new_user(), self.proxy.port, self.tls, concurrent=concurrent)

    def drive(self, name):
        account = self.account()
        mail = clients.Mail(self.server, account.user)
        outcome = clients.CLIENTS[name](account, mail, self.temp_folder(name))
        outcome.check(account)

    def test_imaplib(self):
        self.drive("imaplib")

    def test_curl(self):
        self.drive("curl")

    def test_mbsync(self):
        self.drive("mbsync")

    def test_mutt(self):
        self.drive("mutt")

    def test_imapflow(self):
        self.drive("imapflow")

    def test_node_imap(self):
        self.drive("node_imap")

    def test_roundcube(self):
        self.drive("roundcube")

    def idle(self, script):
        # in `unrestricted` (as without a proxy) IDLE is the server's business
        if not self.server.pushes_in_idle and (DIRECT or self.mode == "unrestricted"):
            self.skipTest(f"{self.server.name} pushes nothing in IDLE")
        account = self.account()
        self.server.fill(account.user, "INBOX", [message("first")])
        with clients.NodeClient(script, account, "idle", self.temp_folder(script)) as client:
            client.wait_for("idle")
            self.server.deliver(account.user, "INBOX", message("second"))
            self.assertEqual(client.wait_for("new", 30)["exists"], 2)
            self.assertEqual(client.wait_for("subject")["subject"], "second")
            client.finish()

    def test_imapflow_hears_of_new_mail_in_idle(self):
        self.idle("imapflow_client")

    def test_node_imap_hears_of_new_mail_in_idle(self):
        self.idle("node_imap_client")

    def test_password_with_odd_characters(self):
        account = self.account(self.server.odd_user)
        body = message("odd", nasty_body())
        self.server.fill(account.user, "INBOX", [body])
        self.assertIn(b"INBOX", clients.curl(account, ""))                          # AUTHENTICATE PLAIN
        connection = clients.imaplib_connection(account)
        self.addCleanup(connection.shutdown)
        # imaplib quotes passwords, but sends ASCII only
        tag = connection._new_tag()
        connection.send(tag + f" LOGIN {quoted(account.user.name)} {quoted(account.user.password)}\r\n".encode())
        while not (line := connection.readline()).startswith(tag):
            self.assertTrue(line, "closed at login")
        self.assertIn(b" OK", line)


class Clear(ClientTests):
    @staticmethod
    def make_server():
        return Dovecot()


class Tls(ClientTests):
    """TLS on both sides: STARTTLS from the clients, implicit or STARTTLS towards the server."""
    tls = "starttls"

    @staticmethod
    def make_server():
        return Dovecot(tls=True)


class Mbox(ClientTests):
    @staticmethod
    def make_server():
        return Imap4d()


class CourierMaildir(ClientTests):
    @staticmethod
    def make_server():
        return Courier()


class DovecotUnrestricted(Clear, IntegrationTest):
    mode = "unrestricted"


class DovecotExclusive(Clear, IntegrationTest):
    mode = "exclusive"


class DovecotShared(Clear, IntegrationTest):
    mode = "shared"


class DovecotTlsUnrestricted(Tls, IntegrationTest):
    mode = "unrestricted"
    backend_tls = "starttls"


class DovecotTlsExclusive(Tls, IntegrationTest):
    mode = "exclusive"
    tls = "implicit"
    backend_tls = "implicit"


class DovecotTlsShared(Tls, IntegrationTest):
    mode = "shared"
    backend_tls = "implicit"


class Imap4dUnrestricted(Mbox, IntegrationTest):
    mode = "unrestricted"


class Imap4dExclusive(Mbox, IntegrationTest):
    mode = "exclusive"


class Imap4dShared(Mbox, IntegrationTest):
    mode = "shared"


class CourierUnrestricted(CourierMaildir, IntegrationTest):
    mode = "unrestricted"


class CourierExclusive(CourierMaildir, IntegrationTest):
    mode = "exclusive"


class CourierShared(CourierMaildir, IntegrationTest):
    mode = "shared"


if __name__ == "__main__":
    unittest.main()
