"""SIGHUP: everything but a few named keys changes while clients are at work, and nobody is lost by that."""
import contextlib
import errno
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from case import IntegrationTest, proxy_only
from common import LOOPBACK, free_port, wait_until
from demo_server import DemoServer
from proxy import Proxy
from raw import Closed, RawClient


def reload_to(proxy, configuration):
    """Waits until the file is in force, or refused; returns what the log says of it."""
    before = len(proxy.log())
    proxy.write(configuration)
    proxy.reload()
    wait_until(lambda: " is in force " in proxy.log()[before:] or "nothing has changed" in proxy.log()[before:],
               what="the end of the reload")
    return proxy.log()[before:]


def listener(name, port, tls="none", **more):
    return {"name": name, "bind": f"{LOOPBACK}:{port}", "tls": tls, **more}


class Storm:
    """Threads that connect without a pause, and note how each attempt ended."""

    def __init__(self, port, threads=4):
        self.port, self.over, self.outcomes = port, False, {}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self.over:
            outcome = self._attempt()
            with self._lock:
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def _attempt(self):
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=10) as client:
                greeting = client.recv(1000)
            return "greeted" if greeting.startswith(b"* OK") else f"got {greeting!r}"
        except ConnectionRefusedError:
            time.sleep(0.01)
            return "refused"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))

    def greeted(self):
        return self.outcomes.get("greeted", 0)

    def stop(self):
        self.over = True
        for thread in self._threads:
            thread.join(15)
        return self.outcomes


@proxy_only
class Reload(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(DemoServer())

    def client(self, port, user=None):
        client = RawClient(port)
        self.addCleanup(client.close)
        return client.login(user, user) if user else client

    def test_a_listener_comes_and_goes_under_a_storm_and_nobody_is_reset(self):
        port = free_port()
        with Proxy(self.server, "shared", top={"workers": 2, "log": {"level": "info"}}) as proxy:
            stays = self.client(proxy.port, "ann")
            self.assertOk(stays.command("SELECT INBOX"))
            two = {**proxy.configuration,
                   "listeners": [*proxy.configuration["listeners"], listener("second", port)]}
            self.assertIn(f"listener second: added, {LOOPBACK}:{port}", reload_to(proxy, two))
            storm = Storm(port)
            wait_until(lambda: storm.greeted() > 200, what="a storm")
            other = self.client(port, "ann")
            # More in the queue than are accepted in one go, when the reload comes.
            proxy.process.signal(signal.SIGSTOP)
            waiting = [RawClient(port, greeting=False) for _ in range(300)]
            proxy.write(proxy.configuration)
            proxy.reload()
            proxy.process.signal(signal.SIGCONT)
            proxy.wait_for_log(f"listener second: removed, {LOOPBACK}:{port}")
            for client in waiting:
                self.assertTrue(client.line().startswith(b"* OK"))
                client.close()
            wait_until(lambda: storm.outcomes.get("refused", 0) > 20, what="the listener is closed")
            outcomes = storm.stop()
            self.assertEqual(set(outcomes), {"greeted", "refused"}, outcomes)
            for client in (stays, other):
                self.assertOk(client.command("NOOP"))

    def test_a_unix_listener_comes_and_goes(self):
        path = f"{self.temp_folder()}/imap.sock"
        with Proxy(self.server, "shared") as proxy:
            unix = {"name": "local", "bind": f"unix:{path}", "tls": "none"}
            reload_to(proxy, {**proxy.configuration, "listeners": [*proxy.configuration["listeners"], unix]})
            client = wait_until(lambda: self._connect(path), what="the unix listener")
            self.assertTrue(client.recv(100).startswith(b"* OK"))
            reload_to(proxy, proxy.configuration)
            wait_until(lambda: self._connect(path) is None, what="the unix listener is closed")
            client.sendall(b"a NOOP\r\n")
            self.assertIn(b"a OK", client.recv(1000))

    def _connect(self, path):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(10)
        with contextlib.suppress(OSError):
            client.connect(path)
            return client

    def test_a_listener_changes_its_tls_and_its_name_and_keeps_its_socket(self):
        with Proxy(self.server, "shared", tls="starttls") as proxy:
            before = self.client(proxy.port)
            implicit = listener("renamed", proxy.port, "implicit")
            others = [one for one in proxy.configuration["listeners"] if one["name"] != "imap"]
            said = reload_to(proxy, {**proxy.configuration, "listeners": [implicit, *others]})
            self.assertRegex(said, r"listener imap: changed: name, tls\n")
            self.assertNotIn("removed", said)
            with RawClient(proxy.port, tls=True) as after:
                self.assertTrue(after.greeting.startswith(b"* OK"))
            before.starttls()
            before.login("bob", "bob")

    def test_a_certificate_is_replaced_in_place(self):
        folder = self.temp_folder()
        certificate = {"names": ["localhost"], "certificate": f"{folder}/it.crt", "private_key": f"{folder}/it.key"}

        def issue(name):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-subj", f"/CN={name}", "-keyout", f"{folder}/it.key", "-out", f"{folder}/it.crt"],
                           check=True, capture_output=True)

        def served():
            return ssl.get_server_certificate((LOOPBACK, proxy.port))

        def fingerprint():
            run = subprocess.run(["openssl", "x509", "-in", f"{folder}/it.crt", "-noout", "-fingerprint", "-sha256"],
                                 check=True, capture_output=True, text=True)
            return run.stdout.strip().partition("=")[2]
        issue("first")
        with Proxy(self.server, "shared", tls="implicit", top={"certificates": [certificate]}) as proxy:
            proxy.configuration["certificates"] = [certificate]
            reload_to(proxy, proxy.configuration)
            first = served()
            client = RawClient(proxy.port, greeting=False)
            self.addCleanup(client.close)
            client.socket = ssl._create_unverified_context().wrap_socket(client.socket)
            client.line()
            client.login("cid", "cid")
            issue("second")
            said = reload_to(proxy, proxy.configuration)
            self.assertIn(f"certificate {folder}/it.crt: replaced, SHA-256 {fingerprint()}", said)
            self.assertNotEqual(served(), first)
            self.assertOk(client.command("NOOP"))
            # What can't be used changes nothing.
            second = served()
            (folder / "it.crt").write_text("no certificate\n")
            self.assertIn("nothing has changed", reload_to(proxy, proxy.configuration))
            self.assertEqual(served(), second)

    def test_the_sessions_of_a_removed_backend_go_on_and_new_logins_go_elsewhere(self):
        with DemoServer() as new, Proxy(self.server, "shared", backend={"account_linger": "0s"}) as proxy:
            stays, waits = self.client(proxy.port, "dan"), self.client(proxy.port)
            self.assertOk(stays.command("SELECT INBOX"))
            stanza = {**proxy.configuration["backends"]["server"], "servers": [f"{LOOPBACK}:{new.port}"]}
            said = reload_to(proxy, {**proxy.configuration, "backends": {"new": stanza},
                                     "routes": [{"user": "dan", "backend": "new"}]})
            self.assertIn("backend server: removed", said)
            self.assertIn("backend new: added", said)
            self.assertOk(stays.command("FETCH 1 FLAGS"))
            # Who was connected before logs in by the new rules.
            waits.login("dan", "dan")
            self.assertOk(waits.command("CREATE OnlyThere"))
            self.assertFalse(stays.command("LIST \"\" OnlyThere").find(rb"OnlyThere"))
            self.assertNo(self.client(proxy.port).command("LOGIN eve eve"), "AUTHENTICATIONFAILED")
            self.assertOk(stays.command("LOGOUT"))

    def test_the_clients_of_a_server_that_is_replaced_move_and_stay(self):
        for mode in ("shared", "exclusive"):
            with self.subTest(mode=mode), DemoServer() as new, Proxy(self.server, mode) as proxy:
                client = self.client(proxy.port, "fay")
                self.assertOk(client.command("NOOP"))
                stanza = {**proxy.configuration["backends"]["server"], "servers": [f"{LOOPBACK}:{new.port}"]}
                said = reload_to(proxy, {**proxy.configuration, "backends": {"server": stanza}})
                self.assertIn("backend server: changed: servers\n", said)
                self.assertOk(client.command("CREATE OnlyThere"))
                self.assertTrue(self.client(proxy.port, "fay").command("LIST \"\" OnlyThere").find(rb"OnlyThere"))

    def test_what_cannot_be_used_changes_nothing_and_what_cannot_change_is_named(self):
        with Proxy(self.server, "shared") as proxy, socket.create_server((LOOPBACK, 0)) as taken:
            port = taken.getsockname()[1]
            worse = {**proxy.configuration, "limits": {"max_clients": 1}, "routes": [{"user": "nobody", "backend": "server"}],
                     "listeners": [listener("new", port)]}
            said = reload_to(proxy, worse)
            self.assertRegex(said, rf"can't bind {LOOPBACK}:{port}: .*; nothing has changed")
            for user in ("gus", "hal"):
                self.client(proxy.port, user)
            said = reload_to(proxy, {**proxy.configuration, "workers": 2, "limits": {"max_clients": 50}})
            self.assertIn("limits: changed: max_clients", said)
            self.assertIn("reload: workers: takes effect after a restart", said)
            self.assertIn("reload: workers: takes effect after a restart",
                          reload_to(proxy, {**proxy.configuration, "workers": 2}), "as long as it is so")


if __name__ == "__main__":
    unittest.main()
