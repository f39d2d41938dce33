"""What the person who runs it uses: check, status, health, the protocol trace, the demo."""
import base64
import imaplib
import json
import re
import subprocess
import urllib.error
import urllib.request

from case import IntegrationTest, proxy_only
from common import LOOPBACK, Process, free_port, wait_until
from proxy import BINARY, Proxy
from servers import Dovecot


def imapmux(*arguments):
    """Exit status and output of a command that ends by itself."""
    run = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, run.stdout + run.stderr


@proxy_only
class CommandLine(IntegrationTest):
    def file(self, text):
        path = self.temp_folder("config") / "imapmux.yaml"
        path.write_text(text)
        return path

    def test_check_prints_every_problem_with_its_place(self):
        path = self.file("workers: 0\nbackends:\n  legacy:\n    servers: [\"127.0.0.1:143\"]\n    send_proxy: v3\n")
        status, output = imapmux("check", "--config", path)
        self.assertEqual(status, 1, output)
        self.assertRegex(output, rf"(?m)^{re.escape(str(path))}:1:10: .*workers")
        self.assertRegex(output, rf"(?m)^{re.escape(str(path))}:5:\d+: .*send_proxy.*v3")

    def test_check_judges_certificates_authorities_and_ciphers_where_they_stand(self):
        folder = self.temp_folder("pem")
        for name, text in (("empty.pem", ""), ("garbage.pem", "no certificate\n")):
            (folder / name).write_text(text)
        for name in ("one", "two"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
                           check=True, capture_output=True)
        path = self.file("workers: 0\n"
                         "certificates:\n"
                         f"  - {{certificate: {folder}/garbage.pem, private_key: {folder}/one.key}}\n"
                         f"  - {{names: [a.example], certificate: {folder}/one.crt, private_key: {folder}/two.key}}\n"
                         f"  - {{names: [b.example], certificate: {folder}/one.crt, private_key: {folder}/empty.pem}}\n"
                         f"  - {{names: [c.example], certificate: {folder}/one.crt, private_key: {folder}/one.key}}\n"
                         "listeners:\n"
                         "  - bind: 127.0.0.1:0\n"
                         f"    client_ca: {folder}/garbage.pem\n"
                         "backends:\n"
                         "  old:\n"
                         "    servers: [\"127.0.0.1:143\"]\n"
                         "    tls: starttls\n"
                         f"    ca: {folder}/empty.pem\n"
                         "    ciphers: NONSENSE\n")
        status, output = imapmux("check", "--config", path)
        self.assertEqual(status, 1, output)
        name = re.escape(str(path))
        lines = output.splitlines()
        self.assertRegex(lines[0], rf"^{name}:1:10: workers")
        self.assertRegex(lines[1], rf"^{name}:3:19: certificates#1\.certificate: .*garbage\.pem: \S")
        self.assertRegex(lines[2], rf"^{name}:4:\d+: certificates#2\.private_key: .*two\.key does not belong to .*one\.crt")
        self.assertRegex(lines[3], rf"^{name}:5:\d+: certificates#3\.private_key: .*empty\.pem: \S")
        self.assertRegex(lines[4], rf"^{name}:9:16: listeners#1\.client_ca: .*garbage\.pem: \S")
        self.assertRegex(lines[5], rf"^{name}:14:9: backends\.old\.ca: .*empty\.pem: \S")
        self.assertRegex(lines[6], rf"^{name}:15:14: backends\.old\.ciphers: ciphers \"NONSENSE\": \S")
        self.assertEqual(len(lines), 7, output)

    def test_check_says_where_a_user_goes(self):
        path = self.file("listeners: [{name: imap, bind: \"127.0.0.1:0\", tls: none}]\n"
                         "backends:\n"
                         "  old: {servers: [\"127.0.0.1:1143\"], tls: none, mailbox_access: exclusive}\n"
                         "  new: {servers: [\"127.0.0.1:2143\"], tls: none, mailbox_access: exclusive}\n"
                         "routes:\n"
                         "  - {user: \"*@old.example.org\", backend: old, login_as: \"{local}\"}\n"
                         "  - {backend: new}\n")
        status, output = imapmux("check", "--config", path, "--route", "bob@old.example.org")
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"old")
        self.assertRegex(output, r"127\.0\.0\.1:1143")
        self.assertRegex(output, r"\bbob\b")
        status, output = imapmux("check", "--config", path, "--route", "eve@elsewhere.org")
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"127\.0\.0\.1:2143")

    def test_exit_statuses(self):
        self.assertEqual(imapmux("--version")[0], 0)
        self.assertEqual(imapmux("--help")[0], 0)
        for command in ("serve", "check", "status", "health", "demo"):
            status, output = imapmux(command, "--help")
            self.assertEqual(status, 0, output)
        self.assertEqual(imapmux()[0], 2)
        self.assertEqual(imapmux("nonsense")[0], 2)
        self.assertEqual(imapmux("serve")[0], 2)
        self.assertEqual(imapmux("health", "--admin", f"{LOOPBACK}:{free_port()}")[0], 1)
        self.assertEqual(imapmux("status", "--admin", f"{LOOPBACK}:{free_port()}")[0], 1)
        self.assertEqual(imapmux("serve", "--config", "/nowhere/imapmux.yaml")[0], 1)


@proxy_only
class Status(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def test_who_holds_and_who_waits_for_what(self):
        admin = f"{LOOPBACK}:{free_port()}"
        with Proxy(self.server, "exclusive", top={"admin": {"bind": admin}, "workers": 2}) as proxy:
            self.assertEqual(imapmux("health", "--admin", admin)[0], 0)
            user = self.server.new_user()
            holder = self.raw(proxy, user)
            self.assertOk(holder.command("SELECT INBOX"))
            waiter = self.raw(proxy, user)
            waiter.send("w SELECT INBOX\r\n")

            def status():
                code, output = imapmux("status", "--json", "--admin", admin)
                self.assertEqual(code, 0, output)
                return json.loads(output)
            wait_until(lambda: any(session["waiting_for"] for session in status()["sessions"]), what="a waiting session")
            seen = status()
            sessions = {session["state"]: session for session in seen["sessions"]}
            self.assertEqual(sessions["selected"]["mailbox"], "INBOX")
            self.assertEqual(sessions["selected"]["user"], user.name)
            self.assertIn("INBOX", sessions["authenticated"]["waiting_for"])
            self.assertEqual([(lease["mailbox"], lease["waiting"]) for lease in seen["leases"]], [("INBOX", 1)])
            self.assertEqual([server["connections"] for server in seen["servers"]], [2])
            code, output = imapmux("status", "--admin", admin)
            self.assertEqual(code, 0, output)
            self.assertRegex(output, rf"{user.name} .*selected +INBOX")
            self.assertOk(holder.command("CLOSE"))
            self.assertIn(b"w OK", waiter.until(rb"^w ")[-1])

    def test_with_a_token_the_status_is_for_those_who_have_it(self):
        port = free_port()
        admin = f"{LOOPBACK}:{port}"
        with Proxy(self.server, "exclusive", top={"admin": {"bind": admin, "token": "s3cret"}}):
            self.assertEqual(imapmux("status", "--admin", admin)[0], 1)
            self.assertEqual(imapmux("status", "--admin", admin, "--token", "wrong")[0], 1)
            self.assertEqual(imapmux("status", "--admin", admin, "--token", "s3cret")[0], 0)
            self.assertEqual(imapmux("health", "--admin", admin)[0], 0)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://{admin}/api/v1/status", timeout=10)
            self.assertEqual(refused.exception.code, 401)
            with urllib.request.urlopen(f"http://{admin}/healthz", timeout=10) as answer:
                self.assertEqual(answer.status, 200)


@proxy_only
class Trace(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def test_the_dialogue_without_passwords_and_bodies(self):
        for mode in ("exclusive", "unrestricted"):
            with self.subTest(mode=mode):
                user, other = self.server.new_user(), self.server.new_user()
                plain = base64.b64encode(f"\0{user.name}\0{user.password}".encode()).decode()
                body = b"Subject: traced\r\n\r\nthe words of the body\r\n"
                self.server.fill(user, "INBOX", [body])
                with Proxy(self.server, mode, top={"log": {"level": "info", "protocol_trace": {"user": user.name}}}) as proxy:
                    self.assertOk(self.raw(proxy, other).command("NOOP"))
                    client = self.raw(proxy)
                    self.assertOk(client.command(f"AUTHENTICATE PLAIN {plain}"))
                    self.assertOk(client.command("SELECT INBOX"))
                    self.assertOk(client.command("FETCH 1 (UID BODY[])"))
                    self.assertOk(client.command("LOGOUT"))
                    proxy.wait_for_log("LOGOUT")
                    log = proxy.log()
                traced = "".join(line for line in log.splitlines(True) if " trace " in line)
                self.assertRegex(traced, r"C: \w+ SELECT INBOX")
                self.assertRegex(traced, r"S: \* 1 EXISTS")
                for secret in (user.password, plain, "the words of the body"):
                    self.assertNotIn(secret, log)
                self.assertNotIn("NOOP", traced)


@proxy_only
class Log(IntegrationTest):
    """What happens is one line each, for machines as for people."""
    def setUp(self):
        self.server = self.enterContext(Dovecot())
        self.user = self.server.new_user()

    def proxy(self, log, **options):
        return self.enterContext(Proxy(self.server, "exclusive", tls="starttls", backend={"lease_wait": "200ms", "connections_per_user": 2},
                                       top={"log": log}, **options))

    def some_of_everything(self, proxy):
        """A login, a refused one, a handshake that fails, a mailbox in use, a lost backend, a reload."""
        name = b"eve tls=true\r\n\x1b[2J\xff\"\\"
        eve = self.raw(proxy)
        eve.send(b"a LOGIN {%d+}\r\n%s wrong\r\n" % (len(name), name))
        self.assertIn(b"a NO", eve.until(rb"^a ")[-1])
        self.assertNo(eve.command(f"LOGIN {self.user.name} wrong"))
        self.assertOk(eve.command("LOGOUT"))
        clumsy = self.raw(proxy)
        self.assertOk(clumsy.command("STARTTLS"))
        clumsy.send("this is no TLS\r\n")
        proxy.wait_for_log("TLS handshake failed")
        first, second = self.raw(proxy, self.user), self.raw(proxy, self.user)
        self.assertOk(first.command("SELECT INBOX"))
        self.assertNo(second.command("SELECT INBOX"), "INUSE")
        for _ in range(20):
            self.assertOk(first.command("NOOP"))
        self.assertOk(second.command("LOGOUT"))
        self.server.kill_sessions(self.user)
        proxy.wait_for_log("backend connection lost")
        first.close()
        proxy.wait_for_log(r"session ended\W.*\bNOOP|session ended\W.*commands\W+2[0-9]")
        proxy.reload()
        proxy.wait_for_log("in force")

    def test_every_line_is_json_and_has_its_values(self):
        proxy = self.proxy({"level": "debug", "format": "json"})
        self.some_of_everything(proxy)
        lines = [json.loads(line) for line in proxy.log().splitlines()]
        for line in lines:
            self.assertEqual(list(line)[:3], ["time", "level", "message"])
        first = {}
        for line in lines:
            if not line.get("user", "").startswith("eve"):
                first.setdefault(line["message"], line)
        session = {"session", "client"}
        for message, fields in {
                "login refused": session | {"user", "backend", "server", "reason"},
                "TLS handshake failed": session | {"listener", "reason"},
                "login": session | {"user", "as", "backend", "server", "listener", "tls", "took", "sessions"},
                "command refused": session | {"user", "backend", "command", "code", "reason", "took"},
                "backend connection lost": {"backend", "server", "user", "reason"},
                "session ended": session | {"commands", "received", "sent", "duration", "reason"}}.items():
            self.assertIn(message, first)
            self.assertLessEqual(fields, set(first[message]), message)
        self.assertIn("eve tls=true\r\n\x1b[2J\\xff\"\\", [line["user"] for line in lines if line["message"] == "login refused"])
        self.assertEqual(first["login"]["user"], self.user.name)
        self.assertEqual((first["command refused"]["command"], first["command refused"]["code"]), ("SELECT", "INUSE"))
        self.assertGreater(first["command refused"]["took"], 0)
        ended = [line for line in lines if line["message"] == "session ended" and line.get("commands", 0) > 20]
        self.assertEqual([line["user"] for line in ended], [self.user.name])
        self.assertGreater(ended[0]["sent"], ended[0]["received"])

    def test_as_text_a_user_name_forges_nothing_and_commands_are_not_logged(self):
        proxy = self.proxy({"level": "info"})
        self.some_of_everything(proxy)
        log = proxy.log()
        self.assertIn('user="eve tls=true\\x0d\\x0a\\x1b[2J\\xff\\"\\\\"', log)
        for line in log.splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\S+ (info|warning) +\S")
        self.assertNotIn("NOOP", log)
        told = [line for line in log.splitlines() if "session=" in line]
        self.assertEqual(len([line for line in told if " login session=" in line]), 2, log)
        self.assertLess(len(told), 12, log)


@proxy_only
class Demo(IntegrationTest):
    def test_it_shows_what_it_is_for(self):
        port = free_port()
        log = self.temp_folder("demo") / "output.log"
        demo = Process([BINARY, "demo", "--port", str(port), "--user", "ann", "--password", "secret"], log)
        try:
            demo.wait_for_port(port)
            first, second = (imaplib.IMAP4(LOOPBACK, port, timeout=20) for _ in range(2))
            for client in (first, second):
                client.login("ann", "secret")
            status, (count,) = first.select("INBOX")
            self.assertEqual(status, "OK")
            self.assertGreater(int(count), 5)
            self.assertEqual(second.select("Archive")[0], "OK")
            self.assertEqual(first.close()[0], "OK")
            self.assertEqual(second.select("INBOX")[0], "OK")
            for client in (first, second):
                client.logout()
        finally:
            status = demo.stop(grace=15)
        self.assertEqual(status, 0)
        self.assertRegex(demo.log(), r"curl .*imap://127\.0\.0\.1:%d" % port)
        self.assertIn('"total":0', demo.log().replace(" ", ""))
