"""The admin endpoint: metrics, who may do what, actions, the dashboard in a browser; `imapmux status --watch`."""
import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import urllib.request

from browser import Browser
from case import Background, IntegrationTest, proxy_only
from common import LOOPBACK, Process, free_port, temp_folder, wait_until
from proxy import BINARY, Proxy

# A name that would be a disaster if it ever became markup.
HOSTILE = "<img src=x onerror=document.body.remove()>"


class DemoServer:
    """The demo's legacy server: everybody may log in, the password is the name; one session per mailbox."""
    tls = False

    def __enter__(self):
        self.port = free_port()
        self._folder = temp_folder("demo-server")
        self._process = Process([BINARY, "demo-server", "--port", str(self.port), "--any-user", "--quirks",
                                 "second_session=severs,latency_ms=1"], self._folder.__enter__() / "output.log")
        self._process.wait_for_port(self.port)
        return self

    def __exit__(self, *exception):
        self._process.stop()
        self._folder.__exit__(*exception)


class AdminTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(DemoServer())

    def proxy(self, admin=None, mode="shared", tls="none", backend=None, program=None, **top):
        self.admin = f"{LOOPBACK}:{free_port()}"
        return Proxy(self.server, mode, tls=tls, backend=backend, program=program,
                     top={"admin": {"bind": self.admin, **(admin or {})}, **top})

    def start(self, *arguments, **options):
        return self.enterContext(self.proxy(*arguments, **options))

    def ask(self, method, path, body=None, **headers):
        """Status, headers and text of the answer. Names of headers with _ for -."""
        connection = http.client.HTTPConnection(self.admin, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def act(self, action, body=None, **headers):
        status, _, text = self.ask("POST", f"/api/v1/{action}", body or {}, Content_Type="application/json", **headers)
        return status, json.loads(text)

    def health(self):
        run = subprocess.run([BINARY, "health", "--admin", self.admin], capture_output=True, text=True, timeout=30, check=False)
        return run.returncode, run.stderr

    def stranger(self, octets):
        host, port = self.admin.split(":")
        stranger = socket.create_connection((host, int(port)), 10)
        self.addCleanup(stranger.close)
        stranger.sendall(octets)
        return stranger

    def status(self):
        return json.loads(self.ask("GET", "/api/v1/status")[2])

    def client(self, proxy, name, mailbox=None):
        client = self.raw(proxy)
        client.login(name, name)
        if mailbox:
            self.assertOk(client.command(f'SELECT "{mailbox}"'))
        return client


@proxy_only
class Metrics(AdminTest):
    def metrics(self, **headers):
        status, _, text = self.ask("GET", "/metrics", **headers)
        self.assertEqual(status, 200)
        return text

    def value(self, text, sample):
        found = re.search(rf"(?m)^{re.escape(sample)} (\S+)$", text)
        self.assertTrue(found, f"no {sample} in\n{text}")
        return float(found[1])

    def test_they_count_what_happens_and_promtool_has_nothing_to_say(self):
        proxy = self.start(workers=2)
        alice, second = self.client(proxy, "alice", "INBOX"), self.client(proxy, "alice", "INBOX")
        self.client(proxy, "bob")
        refused = self.raw(proxy)
        self.assertNo(refused.command("LOGIN alice wrong"))
        for _ in range(5):
            self.assertOk(alice.command("UID FETCH 1:* (FLAGS)"))
        self.assertEqual(alice.command("XYZZY").status, "BAD")
        self.assertOk(second.command("STORE 1 +FLAGS (\\Deleted)"))
        self.assertOk(second.command("EXPUNGE"))
        text = self.metrics()
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))
        server = f'backend="server",server="{LOOPBACK}:{self.server.port}"'
        for sample, expected in (
                ('imapmux_client_sessions{state="selected"}', 2), ('imapmux_client_sessions{state="authenticated"}', 1),
                ('imapmux_logins_total{outcome="accepted"}', 3), ('imapmux_logins_total{outcome="refused"}', 1),
                ('imapmux_command_duration_seconds_count{command="UID FETCH"}', 5),
                ('imapmux_command_duration_seconds_bucket{command="UID FETCH",le="+Inf"}', 5),
                ('imapmux_command_duration_seconds_count{command="LOGIN"}', 4),
                ('imapmux_command_duration_seconds_count{command="SELECT"}', 2),
                ('imapmux_command_duration_seconds_count{command="other"}', 1),
                (f'imapmux_backend_up{{{server}}}', 1), (f'imapmux_backend_connections{{{server},state="free"}}', 2),
                ('imapmux_backend_sessions{backend="server"}', 3), ('imapmux_shared_ratio{backend="server"}', 1.5),
                ('imapmux_ghosts', 1), ('imapmux_leases_held', 1), ('imapmux_leases_waiting', 0),
                ('imapmux_mailboxes{state="attached"}', 1), ('imapmux_tls_handshakes_total{side="client",outcome="full"}', 0)):
            self.assertEqual(self.value(text, sample), expected, sample)
        for sample in ('imapmux_received_bytes_total{side="client"}', 'imapmux_sent_bytes_total{side="client"}',
                       'imapmux_received_bytes_total{side="backend"}', 'imapmux_sent_bytes_total{side="backend"}',
                       f'imapmux_backend_answer_seconds{{{server}}}', "process_resident_memory_bytes", "process_open_fds"):
            self.assertGreater(self.value(text, sample), 0, sample)
        self.assertOk(alice.command("NOOP"))
        self.assertEqual(self.value(self.metrics(), "imapmux_ghosts"), 0)

    def test_tls_and_relays(self):
        proxy = self.start(mode="unrestricted", tls="implicit")
        client = self.raw(proxy, tls=True)
        client.login("alice", "alice")
        self.assertOk(client.command("SELECT INBOX"))
        text = self.metrics()
        self.assertEqual(self.value(text, 'imapmux_tls_handshakes_total{side="client",outcome="full"}'), 1)
        self.assertEqual(self.value(text, 'imapmux_client_sessions{state="relaying"}'), 1)
        self.assertEqual(self.value(text, f'imapmux_backend_connections{{backend="server",server="{LOOPBACK}:{self.server.port}",'
                                          'state="relaying"}'), 1)

    def test_with_a_token_of_their_own(self):
        token = self.temp_folder("token") / "token"
        token.write_text("m3trics\n")
        self.start({"metrics_token_file": str(token), "token": "s3cret"})
        self.assertEqual(self.ask("GET", "/metrics")[0], 401)
        self.assertEqual(self.ask("GET", "/metrics", Authorization="Bearer wrong")[0], 401)
        for known in ("m3trics", "s3cret"):
            self.assertIn("imapmux_build_info", self.metrics(Authorization=f"Bearer {known}"))
        self.assertEqual(self.ask("GET", "/api/v1/status", Authorization="Bearer m3trics")[0], 401)


@proxy_only
class Actions(AdminTest):
    def test_who_may_act(self):
        self.start({"token": "s3cret"})
        known = {"Authorization": "Bearer s3cret"}
        self.assertEqual(self.act("drain")[0], 401)
        self.assertEqual(self.act("drain", Authorization="Bearer wrong")[0], 401)
        self.assertEqual(self.ask("POST", "/api/v1/drain", {}, **known)[0], 415)
        self.assertEqual(self.act("drain", Origin="http://evil.example", **known)[0], 403)
        self.assertEqual(self.ask("GET", "/api/v1/drain", **known)[0], 404)
        self.assertEqual(self.ask("GET", "/readyz")[0], 200)
        self.assertEqual(self.act("drain", **known), (200, {"draining": True}))
        self.assertEqual(self.ask("GET", "/readyz")[0], 503)
        self.assertEqual(self.health(), (0, "drained\n"))  # who watches it must not kill it
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertEqual(self.act("undrain", **known), (200, {"draining": False}))
        self.assertEqual(self.ask("GET", "/readyz")[0], 200)

    def test_a_name_that_points_here_is_no_way_in(self):
        self.start()
        self.assertEqual(self.ask("GET", "/api/v1/status", Host="evil.example")[0], 403)
        self.assertEqual(self.ask("GET", "/api/v1/status", Host="localhost")[0], 200)
        with socket.create_connection(self.admin.split(":")) as plain:  # without a body, which curl -X POST sends not
            plain.sendall(b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n")
            self.assertIn(b" 411 ", plain.recv(4096).split(b"\r\n")[0])

    def test_kick(self):
        proxy = self.start(workers=2)
        clients = [self.client(proxy, "alice", "INBOX") for _ in range(3)]
        bob = self.client(proxy, "bob", "INBOX")
        self.assertEqual(self.act("kick", {"user": "carol"})[0], 404)
        first = min((one for one in self.status()["sessions"] if one["user"] == "alice"), key=lambda one: int(one["id"], 16))
        self.assertEqual(self.act("kick", {"session": first["id"]}), (200, {"kicked": 1}))
        self.assertIn(b"* BYE Disconnected by the administrator", clients[0].until(rb"^\* BYE")[-1])
        self.assertEqual(self.act("kick", {"user": "alice"}), (200, {"kicked": 2}))
        for client in clients[1:]:
            self.assertIn(b"* BYE Disconnected by the administrator", client.until(rb"^\* BYE")[-1])
        self.assertOk(bob.command("NOOP"))
        self.assertOk(self.client(proxy, "alice", "INBOX").command("NOOP"))

    def test_kick_of_relays(self):
        proxy = self.start(mode="unrestricted", workers=2)
        clients = [self.client(proxy, "alice", mailbox) for mailbox in ("INBOX", None)]
        bob = self.client(proxy, "bob", "INBOX")
        self.assertEqual(self.act("kick", {"user": "alice"}), (200, {"kicked": 2}))
        for client in clients:
            self.assertIn(b"* BYE Disconnected by the administrator", client.closed_within()[-1])
        self.assertOk(bob.command("NOOP"))
        wait_until(lambda: len(self.status()["sessions"]) == 1, what="nothing is left of the two")

    def test_a_drained_server_keeps_who_is_there_and_gets_nobody_new(self):
        proxy = self.start()
        name = f"{LOOPBACK}:{self.server.port}"
        self.assertEqual(self.act("drain", {"backend": "server", "server": "elsewhere:143"})[0], 404)
        alice = self.client(proxy, "alice", "INBOX")
        self.assertEqual(self.act("drain", {"backend": "server", "server": name}), (200, {"draining": True, "servers": 1}))
        self.assertTrue(self.status()["servers"][0]["draining"])
        self.client(proxy, "alice", "INBOX").close()
        self.assertNo(self.raw(proxy).command("LOGIN bob bob"), "UNAVAILABLE")
        self.assertOk(alice.command("FETCH 1 (FLAGS)"))
        alice.close()
        # Behind its last client the account does not linger.
        wait_until(lambda: self.status()["servers"][0]["connections"] == 0, what="the connection's end")
        self.assertNo(self.raw(proxy).command("LOGIN alice alice"), "UNAVAILABLE")
        self.assertEqual(self.act("undrain", {"backend": "server"}), (200, {"draining": False, "servers": 1}))
        self.client(proxy, "bob", "INBOX")

    def test_reload_answers_with_what_the_log_says(self):
        proxy = self.start()
        proxy.write({**proxy.configuration, "shutdown_grace": "7s", "workers": 2})
        status, answer = self.act("reload")
        self.assertEqual((status, answer["in_force"]), (200, True), answer)
        self.assertTrue(any("in force" in line for line in answer["said"]), answer)
        self.assertTrue(any("workers" in line and "restart" in line for line in answer["said"]), answer)
        proxy.write({**proxy.configuration, "workers": 0})
        status, answer = self.act("reload")
        self.assertEqual((status, answer["in_force"]), (422, False), answer)
        self.assertTrue(any(re.search(r"imapmux\.yaml:1:\d+: .*workers", line) for line in answer["said"]), answer)
        self.client(proxy, "alice", "INBOX")

    def test_strangers_get_so_much_memory_and_no_more(self):
        self.start({"token": "s3cret"})
        for endless in (b"GET /", b"GET / HTTP/1.1\r\n"):
            with self.assertRaises(OSError, msg="it is cut off"), self.stranger(endless) as stranger:
                for _ in range(128):
                    stranger.sendall(b"X: y\r\n" * 10_000 if endless.endswith(b"\n") else b"x" * 60_000)
        for form, answer in ((b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked", b" 411 "), (b"PUT / HTTP/1.1", b" 405 "),
                             (b"POST / HTTP/1.1\r\nContent-Length: 9\r\nContent-Encoding: gzip", b" 415 ")):
            with self.stranger(form + b"\r\n\r\n") as stranger:
                self.assertIn(answer, stranger.recv(1000))
        page = self.ask("GET", "/")[2]
        self.assertEqual(self.ask("GET", "/", Range="bytes=" + ",".join(["0-"] * 1000))[0:3:2][1][:100], page[:100])
        with self.stranger(b"GET /healthz HTTP/1.1\r\n\r\n" * 2 + b"GET /healthz HTTP/1.0\r\n\r\n") as stranger:
            self.assertEqual(stranger.makefile("rb").read().count(b"200 OK"), 3)

    def test_slow_strangers_keep_nothing_from_ending(self):
        """More of them than there may be requests at a time, each with one octet now and then."""
        crowd, over = [], threading.Event()

        def drip():
            while not over.wait(0.5):
                for stranger in list(crowd):
                    with contextlib.suppress(OSError):
                        stranger.send(b"x")
        dripping = Background(drip)
        try:
            with self.proxy():  # which has to end in time
                for _ in range(66):
                    crowd.append(self.stranger(b"GET /"))
        finally:
            over.set()
            dripping.result()

    def test_on_a_unix_socket(self):
        path = self.temp_folder("admin") / "admin.sock"
        left = socket.socket(socket.AF_UNIX)  # what a crash leaves behind
        left.bind(str(path))
        left.close()
        with Proxy(self.server, "shared", top={"admin": {"bind": f"unix:{path}"}}):
            # The listeners are open before the endpoint is.
            wait_until(lambda: path.exists() and path.stat().st_mode & 0o777 == 0o660, 20, "its user and group may come in, nobody else")
            for command in (["health"], ["status"]):
                asked = subprocess.run([BINARY, *command, "--admin", f"unix:{path}"], capture_output=True, text=True,
                                       timeout=30, check=False)
                self.assertEqual(asked.returncode, 0, asked.stderr)
            self.assertIn("BACKEND", asked.stdout)


@proxy_only
class FewThreads(AdminTest):
    def test_requests_are_answered_one_after_the_other(self):
        """As in a container with a small pids.max; what root runs has no limit but for addresses, where stacks are."""
        self.start(program=["prlimit", "--as=200000000", BINARY])
        for stranger in [self.stranger(b"GET /") for _ in range(30)]:
            stranger.close()
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)


@proxy_only
class Watch(AdminTest):
    def test_it_paints_again_until_it_is_interrupted(self):
        proxy = self.start()
        watch = subprocess.Popen([BINARY, "status", "--watch", "--admin", self.admin], stdout=subprocess.PIPE, text=True)
        try:
            seen = ""
            while "per second" not in seen:
                line = watch.stdout.readline()
                self.assertTrue(line, seen)
                if "imapmux" in line and not seen:
                    self.client(proxy, "alice", "INBOX")
                seen += line
            while "alice at server: 1 client on 1 connection" not in seen:
                seen += watch.stdout.readline()
            self.assertNotIn("\x1b", seen)  # no terminal
            watch.send_signal(signal.SIGINT)
            self.assertEqual(watch.wait(10), -signal.SIGINT)
        finally:
            watch.kill()
            watch.stdout.close()


@proxy_only
class Dashboard(AdminTest):
    def test_who_shares_what_in_a_browser(self):
        proxy = self.start({"token": "s3cret"}, backend={"connections_per_user": 1, "yield_after": "never"}, workers=2)
        alice = [self.client(proxy, "alice", "INBOX") for _ in range(3)]
        self.assertOk(alice[0].command(f'CREATE "{HOSTILE}"'))
        mallory = self.client(proxy, "alice", HOSTILE)
        idler = self.client(proxy, "alice", "INBOX")
        idler.send("i IDLE\r\n")
        idler.until(rb"^\+")
        with urllib.request.urlopen(f"http://{self.admin}/", timeout=10) as page:
            policy = page.headers["Content-Security-Policy"]
            for rule in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"):
                self.assertIn(rule, policy)
            self.assertNotIn("unsafe", policy)
            self.assertFalse(re.search(rb"(src|href)=[\"']?(https?:)?//", page.read()))
        with Browser() as browser:
            browser.appear(1280, 900)
            browser.open(f"http://{self.admin}/")
            browser.wait_for("document.querySelector('#ask') && !document.querySelector('#ask').hidden")
            self.assertEqual(len(browser.complaints), 1, browser.complaints)  # the 401, which the browser itself tells
            browser.complaints.clear()
            browser.value("document.querySelector('#ask input').value = 's3cret';"
                          "document.querySelector('#ask form').requestSubmit()")
            browser.wait_for("document.body.dataset.answers >= 2")
            for client in alice[:2]:
                self.assertOk(client.command("FETCH 1:* (FLAGS)"))
            self.assertIn("ready", browser.text("#ready"))
            servers = browser.text("#servers")
            for word in ("server", f"{LOOPBACK}:{self.server.port}", "up", " ms"):
                self.assertIn(word, servers)
            self.assertIn("alice", browser.text(".account h3"))
            self.assertIn("5 clients on 1 connection (at most 1)", browser.text(".account"))
            drawn = browser.text(".account svg text")
            for word in ("INBOX", HOSTILE[:17], "1 in IDLE"):
                self.assertIn(word, drawn)
            self.assertIn(HOSTILE, browser.text(".account svg title"))
            self.assertEqual(browser.value("document.querySelectorAll('.account circle.client').length"), 5)
            self.assertEqual(browser.value("document.querySelectorAll('main img').length"), 0)
            # The plots grow, and so do the rates.
            browser.wait_for("document.querySelector('.plot-line').getAttribute('d').split('L').length > 2")
            self.assertRegex(browser.text(".tile .value"), r"(?m)^5\b")
            # Who has gone is gone from the picture; who waits is in it.
            mallory.close()
            browser.wait_for("document.querySelectorAll('.account circle.client').length == 4")
            self.assertEqual(browser.complaints, [])
            for width, scheme in ((390, "dark"), (1280, "dark"), (390, "light")):
                browser.appear(width, 844, scheme)
                self.assertLessEqual(browser.value("document.documentElement.scrollWidth"), width, "it is as wide as the phone")
            browser.value("document.querySelector('#forget').click()")
            browser.wait_for("!document.querySelector('#ask').hidden")
            self.assertIsNone(browser.value("sessionStorage.getItem('imapmux-token')"))

    def test_who_waits_and_that_nobody_answers(self):
        proxy = self.start(mode="exclusive", backend={"yield_after": "never"})
        self.client(proxy, "alice", "INBOX")
        self.client(proxy, "alice").send("w SELECT INBOX\r\n")
        with Browser() as browser:
            browser.open(f"http://{self.admin}/")
            browser.wait_for("document.querySelector('#waiting tbody tr')")
            row = browser.text("#waiting tbody td")
            for word in ("alice", "mailbox INBOX", "its lease, held by alice (select)"):
                self.assertIn(word, row)
            self.assertEqual(browser.value("document.querySelectorAll('.account.waits circle.client.waits').length"), 1)
            self.assertEqual(browser.complaints, [])
            browser.offline(True)
            browser.wait_for("!document.querySelector('#trouble').hidden")
            self.assertIn("No answer", browser.text("#trouble"))
            browser.offline(False)
            browser.wait_for("document.querySelector('#trouble').hidden")
