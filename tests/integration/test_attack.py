"""Strangers: those who never log in, those who guess passwords, those who open too many connections."""
import json
import os
import re
import subprocess
import sys
import time

from case import IntegrationTest, proxy_only
from common import HERE, LOOPBACK, message, wait_until
from measure import Pulse, median, show, together
from proxy import Proxy
from raw import Closed, RawClient, quoted
from servers import Dovecot

SECONDS = float(os.environ.get("IMAPMUX_TEST_SECONDS", "12"))
SLACK = float(os.environ.get("IMAPMUX_TEST_SLACK", "2"))
SQUATTERS, GUESSERS = 2000, 50
LEASE_WAIT = 10


class Attackers:
    """attackers.py under command."""

    def __init__(self, *arguments):
        self._process = subprocess.Popen([sys.executable, HERE / "attackers.py", *map(str, arguments)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def toggle(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def __exit__(self, *_):
        self.answers = json.loads(self._process.communicate(timeout=20)[0] or "{}")


@proxy_only
class Crowded(IntegrationTest):
    """2,000 connections that never log in, and 50 that guess."""
    timeout = int(3 * SECONDS) + 120

    def test_the_others_do_not_notice(self):
        server = self.enterContext(Dovecot())
        users = [server.new_user() for _ in range(5)]
        for user in users:
            server.fill(user, "INBOX", [message("one")])
        limits = {"max_clients": 5000, "login_timeout": "5s", "auth_failure_delay": "200ms", "trusted_networks": []}
        proxy = self.enterContext(Proxy(server, "shared", backend={"connections_per_user": 1},
                                        top={"log": {"level": "info"}, "limits": limits, "workers": 2}))
        pulses = []
        for user in users:
            client = self.raw(proxy, user)
            self.assertOk(client.command("SELECT INBOX"))
            pulses.append(Pulse(client, "UID FETCH 1 (FLAGS)", pause=0.01))
        spans = {"undisturbed": [], "attacked": []}
        with Attackers("squat", proxy.port, SQUATTERS, "127.1") as squatters, \
                Attackers("guess", proxy.port, "guess-%d@example.test", GUESSERS, 0, "127.2.0") as guessers:
            time.sleep(0.5)
            for _ in range(2):
                time.sleep(SECONDS / 6)
                spans["undisturbed"].append((time.monotonic() - SECONDS / 6, time.monotonic()))
                for one in (squatters, guessers):
                    one.toggle()
                time.sleep(2)  # until they are there
                began = time.monotonic()
                time.sleep(SECONDS / 4)
                spans["attacked"].append((began, time.monotonic()))
                for one in (squatters, guessers):
                    one.toggle()
                wait_until(lambda: self.strangers(proxy) == 0, 15, "the strangers are put out", 0.2)
        for pulse in pulses:
            pulse.stop()
        waits = {what: [s for begin, end in those for s in together(pulses, begin, end)] for what, those in spans.items()}
        print({what: show(those) for what, those in waits.items()}, squatters.answers, guessers.answers, flush=True)
        self.assertGreater(sum(n for a, n in squatters.answers.items() if a.startswith("OK")), 2 * SQUATTERS * 0.9)
        self.assertGreater(sum(n for a, n in guessers.answers.items() if a.startswith("NO")), GUESSERS)
        self.assertLess(median(waits["attacked"]), 1.5 * SLACK * median(waits["undisturbed"]))

    def strangers(self, proxy):
        """Connections from 127.1.0.0/16 and 127.2.0.0/16."""
        output = subprocess.run(["ss", "-Htn", "state", "established", f"sport = :{proxy.port}"], capture_output=True,
                                text=True, check=True).stdout
        return len(re.findall(r" 127\.[12]\.\d+\.\d+:\d+", output))


@proxy_only
class Guard(IntegrationTest):
    """10 wrong passwords a second from 20 addresses against one owner with one connection."""
    timeout = int(4 * SECONDS) + 120
    MOST = float(os.environ.get("IMAPMUX_TEST_COST", "0.5"))  # 0.05 on a machine that does nothing else

    def test_the_owner_does_not_notice(self):
        server = self.enterContext(Dovecot(max_userip_connections=1))
        owner = server.new_user()
        for name in ("one", "two"):
            server.deliver(owner, "INBOX", message(name))
        proxy = self.enterContext(Proxy(server, "shared", backend={"connections_per_user": 1, "lease_wait": f"{LEASE_WAIT}s"}, top={
            "log": {"level": "info"}, "limits": {"trusted_networks": [], "auth_failure_delay": "2s"}}))
        client = self.raw(proxy, owner)
        self.assertOk(client.command("SELECT INBOX"))
        before = server.log().count("auth failed")
        rates = {"undisturbed": [], "attacked": []}
        self.refused = []
        with Attackers("guess", proxy.port, owner.name, 20, 10, "127.0.1") as attackers:
            self.rate(client, 1)
            for _ in range(4):
                rates["undisturbed"].append(self.rate(client, SECONDS / 8))
                attackers.toggle()
                rates["attacked"].append(self.rate(client, SECONDS / 8))
                attackers.toggle()
                self.rate(client, 0.3)  # what has begun ends
        cost = 1 - median(rates["attacked"]) / max(1, median(rates["undisturbed"]))
        print(f"commands per second {({k: [round(r) for r in v] for k, v in rates.items()})}, cost {cost:.1%}, "
              f"{server.log().count('auth failed') - before} guesses reached the server, "
              f"answers {attackers.answers}, logins {server.log().count('Login: user=')}, refused {self.refused[:3]}", flush=True)
        self.assertEqual(self.refused, [])
        self.assertLess(cost, self.MOST)
        self.assertEqual(server.log().count("Login: user="), 1, "the owner's place was taken for a guess")
        other = self.raw(proxy, owner)  # the owner's next device is let in, whatever the strangers do
        self.assertOk(other.command("SELECT INBOX"))

    def rate(self, client, seconds):
        """Commands per second of one who does one thing after the other."""
        began, done = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            reply = client.command(("UID FETCH 1:2 (FLAGS)", "NOOP", "UID SEARCH ALL")[done % 3], timeout=2 * LEASE_WAIT)
            if reply.ok:
                done += 1
            else:
                self.refused.append(reply.text)
            del client.transcript[:-20]
        return done / (time.monotonic() - began)


@proxy_only
class Limits(IntegrationTest):
    """Every limit answers as specified."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Dovecot())

    def proxy(self, **limits):
        return self.enterContext(Proxy(self.server, "shared", top={"limits": {"trusted_networks": [], **limits}}))

    def greeted(self, proxy, address=LOOPBACK):
        client = RawClient(proxy.port, source=address)
        self.addCleanup(client.close)
        return client

    def refused(self, proxy, address=LOOPBACK):
        client = self.greeted(proxy, address)
        self.assertRegex(client.greeting, rb"^\* BYE \[UNAVAILABLE\]")
        self.assertEqual(client.closed_within(5), [])

    def test_max_clients(self):
        proxy = self.proxy(max_clients=5)
        inside = [self.greeted(proxy, f"127.0.3.{n}") for n in range(1, 6)]
        for client in inside:
            self.assertTrue(client.greeting.startswith(b"* OK"))
        self.refused(proxy)
        inside[0].close()
        wait_until(lambda: self.greeted(proxy).greeting.startswith(b"* OK"), what="a place became free")

    def test_max_clients_per_address(self):
        proxy = self.proxy(max_clients_per_address=3, trusted_networks=["127.0.4.9/32"])
        inside = [self.greeted(proxy, "127.0.4.1") for _ in range(3)]
        self.refused(proxy, "127.0.4.1")
        self.assertTrue(self.greeted(proxy, "127.0.4.2").greeting.startswith(b"* OK"))
        for _ in range(6):
            self.assertTrue(self.greeted(proxy, "127.0.4.9").greeting.startswith(b"* OK"))
        inside[0].close()
        wait_until(lambda: self.greeted(proxy, "127.0.4.1").greeting.startswith(b"* OK"), what="a place became free")

    def test_max_clients_per_user(self):
        proxy = self.proxy(max_clients_per_user=2)
        user, other = self.server.new_user(), self.server.new_user()
        inside = [self.raw(proxy, user) for _ in range(2)]
        login = f"LOGIN {quoted(user.name)} {quoted(user.password)}"
        try:
            self.assertNo(self.greeted(proxy).command(login), "LIMIT", "UNAVAILABLE")
        except Closed as closed:
            self.assertRegex(str(closed), r"\* BYE \[(LIMIT|UNAVAILABLE)\]")
        self.assertOk(self.raw(proxy, other).command("SELECT INBOX"))
        self.assertOk(inside[0].command("LOGOUT"))
        wait_until(lambda: self.greeted(proxy).command(login).ok, what="a place became free")

    def test_login_timeout(self):
        proxy = self.proxy(login_timeout="1s")
        silent, busy = self.greeted(proxy), self.greeted(proxy)
        began = time.monotonic()
        while time.monotonic() - began < 0.8:
            self.assertOk(busy.command("NOOP"))  # that is no login
            time.sleep(0.1)
        for client in (silent, busy):
            lines = client.closed_within(5)
            self.assertTrue(lines and lines[-1].startswith(b"* BYE"), client.dialogue())
        self.assertLess(time.monotonic() - began, 5)
        user = self.server.new_user()
        inside = self.raw(proxy, user)
        time.sleep(1.5)
        self.assertOk(inside.command("NOOP"))

    def delays(self, proxy, user, addresses):
        """How long each wrong password in turn was waited for."""
        waits = []
        for address in addresses:
            client = self.greeted(proxy, address)
            began = time.monotonic()
            self.assertNo(client.command(f"LOGIN {quoted(user.name)} wrong-{len(waits)}"))
            waits.append(time.monotonic() - began)
        return waits

    def test_delays_grow(self):
        proxy = self.proxy(auth_failure_delay="200ms")
        first, second = self.server.new_user(), self.server.new_user()
        account = self.delays(proxy, first, [f"127.0.5.{n}" for n in range(1, 6)])  # one account, many addresses
        address = [self.delays(proxy, user, ["127.0.6.1"])[0] for user in [second] * 3 + [self.server.new_user() for _ in range(2)]]
        print("delays, one account:", [round(w, 2) for w in account], "one address:", [round(w, 2) for w in address], flush=True)
        for waits in (account, address):
            self.assertGreater(waits[0], 0.15)
            self.assertGreater(waits[-1], waits[0] + 3 * 0.2)  # Dovecot has a delay of its own

    def test_trusted_networks_have_no_delays_per_address(self):
        proxy = self.proxy(auth_failure_delay="300ms", trusted_networks=["127.0.7.0/24"])
        waits = [self.delays(proxy, self.server.new_user(), ["127.0.7.1"])[0] for _ in range(4)]
        self.assertLess(max(waits), 2 * 0.3 + 0.5)  # that of an account's first failure

