"""`serve --takeover`: a new process beside the old one gets its sockets and, one by one, its accounts.

The server severs the first of two sessions in a mailbox, and counts them: none may happen while two proxies run.
"""
import contextlib
import http.client
import os
import pathlib
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest

from case import IntegrationTest, proxy_only
from common import LOOPBACK, Process, free_port, wait_until
from demo_server import DemoServer
from proxy import Proxy
from raw import Closed, RawClient


class Succession(Proxy):
    """A proxy that can be taken over from; `process` is the one that is in charge."""

    def __init__(self, server, mode="shared", drain="500ms", top=None, **options):
        top = {"workers": 2, "log": {"level": "info"}, "shutdown_grace": "3s", **(top or {})}
        super().__init__(server, mode, top=top, **options)
        self.drain, self.generation = drain, 0

    def __enter__(self):
        # The folder is made there, too late for the path of the socket.
        self.socket = pathlib.Path(f"/tmp/imapmux-takeover-{os.getpid()}-{self.port}.sock")
        self.configuration["takeover"] = {"socket": str(self.socket), "drain": self.drain}
        return super().__enter__()

    def __exit__(self, *failure):
        try:
            super().__exit__(*failure)
        finally:
            self.socket.unlink(missing_ok=True)

    def successor(self, env=None):
        self.generation += 1
        return Process([*self.program, "serve", "--takeover", "--config", self.file],
                       self.folder / f"output{self.generation}.log", cwd=self.folder, env=env)

    def begin(self, env=None):
        """Starts the next one, and returns the old one as soon as the new one serves."""
        old, new = self.process, self.successor(env)
        wait_until(lambda: "serves with" in new.log() or not new.running(), 20, "the new process serves")
        if not new.running():
            raise AssertionError(f"the new process ended:\n{new.log()}\nthe old one:\n{old.log()[-2000:]}")
        self.process = new
        return old

    def take_over(self):
        old = self.begin()
        status = old.popen.wait(20)
        assert status == 0, f"the old process ended with {status}:\n{old.log()[-4000:]}"
        wait_until(lambda: "has given up everything" in self.process.log(), what="the end of the take-over")


class Crowd:
    """Clients at work, each in a thread, who come back when they get BYE. What is not in order is in `problems`."""

    def __init__(self, port, users, clients, seed=1):
        self.port, self.over = port, False
        self.problems, self.commands, self.byes, self.sessions = [], 0, 0, 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(f"u{i % users}", random.Random(seed * 1000 + i)), daemon=True)
                         for i in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, user, rng):
        while not self.over:
            try:
                self._session(user, rng)
            except (OSError, AssertionError, TimeoutError) as error:
                with self._lock:
                    self.problems.append(f"{user}: {type(error).__name__} {error}")

    def _session(self, user, rng):
        with RawClient(self.port, timeout=30, greeting=False) as client:
            # A connection is never refused: the greeting comes, whoever says it.
            greeting = client.line()
            assert greeting.startswith(b"* OK"), greeting
            try:
                self._work(client, user, rng)
            except Closed:
                # Only with BYE, and only between commands.
                said = client.dialogue()
                assert "* BYE [UNAVAILABLE]" in said, f"closed without BYE: {said}"
                with self._lock:
                    self.byes += 1

    def _work(self, client, user, rng):
        login = client.command(f"LOGIN {user} {user}")
        if not login.ok and "connect again" in login.text:
            client.closed_within()
            raise Closed
        assert login.ok, repr(login)
        with self._lock:
            self.sessions += 1
        box = rng.choice(["INBOX", "box1"])
        self._command(client, f"SELECT {box}")
        for _ in range(rng.randint(3, 40)):
            if self.over:
                break
            time.sleep(rng.random() * 0.05)
            self._command(client, rng.choice(["FETCH 1:* (UID FLAGS)", "STORE 1 +FLAGS (\\Seen)", "NOOP", "STATUS box2 (MESSAGES)",
                                              "FETCH 1 BODY.PEEK[]", "SEARCH ALL"]))
        self._command(client, "LOGOUT")

    def _command(self, client, text):
        reply = client.command(text)
        assert reply.ok or self._ending(reply), repr(reply)
        with self._lock:
            self.commands += 1

    @staticmethod
    def _ending(reply):
        return reply.code == "UNAVAILABLE"

    def stop(self):
        self.over = True
        for thread in self._threads:
            thread.join(40)
        return self


@proxy_only
class Takeover(IntegrationTest):
    def work_through(self, server, proxy, times, users, clients):
        crowd = Crowd(proxy.port, users, clients)
        wait_until(lambda: crowd.commands > 100, 20, "a crowd at work")
        for _ in range(times):
            before = crowd.sessions
            proxy.take_over()
            wait_until(lambda: crowd.sessions > before + clients // 2 or crowd.problems, 20, "sessions on the new process")
        crowd.stop()
        self.assertEqual(crowd.problems, [])
        self.assertGreater(crowd.byes, times)
        print(f"{times} take-overs: {crowd.commands} commands, {crowd.sessions} sessions, {crowd.byes} times BYE")

    def assertNoViolations(self, server):
        self.assertEqual(server.violations["violations"]["total"], 0, server.violations)

    def test_ten_in_a_row_under_load(self):
        with DemoServer("second_session=severs,status=kills,max_user=2") as server:
            with Succession(server, backend={"connections_per_user": 2}) as proxy:
                self.work_through(server, proxy, 10, users=8, clients=24)
        self.assertNoViolations(server)

    def test_connections_of_both_count_for_max_connections(self):
        with DemoServer("second_session=severs,max_user=1,max_address=4") as server:
            with Succession(server, backend={"connections_per_user": 1, "max_connections": 4, "health_check": "off",
                                             "yield_after": "200ms", "max_hold": "300ms", "min_hold": "50ms"}) as proxy:
                self.work_through(server, proxy, 3, users=8, clients=8)
        self.assertNoViolations(server)

    def test_exclusive_and_other_numbers_of_workers(self):
        with DemoServer("second_session=severs,status=kills") as server:
            with Succession(server, "exclusive", backend={"yield_after": "100ms", "max_hold": "200ms", "min_hold": "20ms"}) as proxy:
                for workers in (1, 3):
                    proxy.write({**proxy.configuration, "workers": workers})
                    self.work_through(server, proxy, 1, users=6, clients=12)
        self.assertNoViolations(server)


@proxy_only
class TakeoverSteps(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(DemoServer("second_session=severs,status=kills,max_user=2"))

    def client(self, proxy, user=None):
        client = RawClient(proxy.port)
        self.addCleanup(client.close)
        return client.login(user, user) if user else client

    def assertAtWork(self, client):
        self.assertOk(client.command("SELECT INBOX"))
        self.assertOk(client.command("FETCH 1 FLAGS"))

    def test_an_account_goes_when_the_new_process_is_asked_for_it(self):
        with Succession(self.server, drain="60s") as proxy:
            ann, bob = self.client(proxy, "ann"), self.client(proxy, "bob")
            for client in (ann, bob):
                self.assertAtWork(client)
            bob.send("i IDLE\r\n")
            bob.until(rb"^\+")
            old = proxy.begin()
            again = self.client(proxy, "bob")  # answered when the old one has let go
            self.assertAtWork(again)
            self.assertIn(b"* BYE", bob.closed_within(1)[-1])
            self.assertOk(ann.command("FETCH 1 FLAGS"))  # nobody has asked for her
            # Who comes to the old process too late is sent to the new one.
            proxy.process.signal(signal.SIGHUP)
            wait_until(lambda: "a take-over is under way" in proxy.process.log(), what="no reload meanwhile")
            old.signal(signal.SIGTERM)
            self.assertIn(b"* BYE", ann.closed_within()[-1])
            self.assertEqual(old.popen.wait(10), 0)

    def test_users_of_shared_namespaces_go_together(self):
        with Succession(self.server, drain="60s", backend={"shared_namespaces": ["Shared/"]}) as proxy:
            ann = self.client(proxy, "ann")
            self.assertAtWork(ann)
            old = proxy.begin()
            self.assertAtWork(self.client(proxy, "bob"))
            self.assertIn(b"* BYE", ann.closed_within(1)[-1])
            self.assertEqual(old.popen.wait(10), 0)

    def test_with_other_backends_everything_goes_first(self):
        with Succession(self.server, drain="60s") as proxy:
            ann = self.client(proxy, "ann")
            self.assertAtWork(ann)
            proxy.write({**proxy.configuration, "backends": {"renamed": proxy.configuration["backends"]["server"]},
                         "routes": [{"backend": "renamed"}]})
            old = proxy.begin()
            self.assertAtWork(self.client(proxy, "bob"))
            self.assertIn(b"* BYE", ann.closed_within(1)[-1])
            self.assertEqual(old.popen.wait(10), 0)

    def test_a_relays_connection_is_closed_before_the_new_process_opens_one(self):
        with DemoServer("max_user=1") as server:
            with Succession(server, "unrestricted", drain="60s", backend={"connections_per_user": 1}) as proxy:
                ann, bob = self.client(proxy, "ann"), self.client(proxy, "bob")
                old = proxy.begin()
                self.assertAtWork(self.client(proxy, "ann"))
                self.assertIn(b"* BYE [UNAVAILABLE]", ann.closed_within(1)[-1])
                self.assertAtWork(bob)  # nobody has asked for him
                old.signal(signal.SIGTERM)
                self.assertIn(b"* BYE [UNAVAILABLE]", bob.closed_within()[-1])
                self.assertEqual(old.popen.wait(10), 0)
        self.assertEqual(server.violations["violations"]["total"], 0, server.violations)

    def test_a_command_in_flight_is_answered_first(self):
        with DemoServer("second_session=severs,latency_ms=300") as slow, Succession(slow, drain="60s") as proxy:
            ann = self.client(proxy, "ann")
            self.assertOk(ann.command("SELECT INBOX"))
            old = proxy.begin()
            tag = ann.start("FETCH 1 BODY.PEEK[]")
            time.sleep(0.1)
            again = self.client(proxy)
            login = again.start("LOGIN ann ann")
            self.assertOk(ann.finish(tag))
            self.assertIn(b"* BYE", ann.closed_within()[-1])
            self.assertOk(again.finish(login))
            self.assertEqual(old.popen.wait(10), 0)
        self.assertEqual(slow.violations["violations"]["total"], 0, slow.violations)

    def test_the_new_process_waits_for_connections_of_the_old_one(self):
        """max_connections: the old one's users keep what they have until their commands are answered."""
        with DemoServer("second_session=severs,latency_ms=250,max_address=2") as slow:
            with Succession(slow, drain="60s", backend={"connections_per_user": 1, "max_connections": 2, "health_check": "off"}) as proxy:
                two = [self.client(proxy, user) for user in ("ann", "bob")]
                for client in two:
                    self.assertOk(client.command("SELECT INBOX"))
                tags = [client.start("FETCH 1 BODY.PEEK[]") for client in two]
                old = proxy.begin()
                self.client(proxy, "cyd")  # whom the old one never had
                for client, tag in zip(two, tags):
                    self.assertOk(client.finish(tag))
                    self.assertIn(b"* BYE", client.closed_within()[-1])
                self.assertEqual(old.popen.wait(10), 0)
        self.assertEqual(slow.violations["violations"]["total"], 0, slow.violations)

    def test_sockets_of_all_kinds_stay_open(self):
        folder, admin = self.temp_folder(), free_port()
        path = f"{folder}/imap.sock"
        with Succession(self.server, top={"workers": 3, "admin": {"bind": f"{LOOPBACK}:{admin}"}}) as proxy:
            unix = {"name": "local", "bind": f"unix:{path}", "tls": "none"}
            proxy.configuration["listeners"].append(unix)
            proxy.write(proxy.configuration)
            proxy.reload()
            problems, over = [], threading.Event()

            def knock(connect, expected):
                while not over.is_set():
                    try:
                        answer = connect()
                        if expected not in answer:
                            problems.append(f"{connect.__name__}: {answer}")
                    except OSError as error:
                        problems.append(f"{connect.__name__}: {error!r}")
                    time.sleep(0.002)

            def by_unix():
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(10)
                    client.connect(path)
                    return client.recv(100)

            def by_tcp():
                with socket.create_connection((LOOPBACK, proxy.port), 10) as client:
                    return client.recv(100)

            def by_admin():
                connection = http.client.HTTPConnection(LOOPBACK, admin, timeout=10)
                with contextlib.closing(connection):
                    connection.request("GET", "/healthz")
                    return connection.getresponse().read()
            proxy.wait_for_log("is in force")
            self.assertIn(b"* OK", wait_for_greeting(by_unix))
            knockers = [threading.Thread(target=knock, args=args)
                        for args in ((by_unix, b"* OK"), (by_tcp, b"* OK"), (by_admin, b"ok"))]
            for knocker in knockers:
                knocker.start()
            try:
                for workers in (1, 4):
                    proxy.write({**proxy.configuration, "workers": workers})
                    proxy.take_over()
            finally:
                over.set()
                for knocker in knockers:
                    knocker.join()
            self.assertEqual(problems, [])

    def test_a_new_process_that_dies_leaves_the_old_one_as_it_was(self):
        with Succession(self.server, drain="60s") as proxy:
            ann, bob = self.client(proxy, "ann"), self.client(proxy, "bob")
            self.assertAtWork(ann)
            for delay in (0.0, 0.02, 0.04, 0.08):
                new = proxy.successor()
                time.sleep(delay)
                new.signal(signal.SIGKILL)
                new.popen.wait()
            # Just before it would be ready, and just behind.
            for ready in (False, True):
                with Stranger(proxy.socket) as heir:
                    heir.say("HELLO", "imapmux-takeover", "1", "test")
                    self.assertEqual(heir.hear_until("ALL")[0][0], "HELLO")
                    if ready:
                        heir.say("READY", f"{LOOPBACK}:{proxy.port}")
                        heir.hear_until("YOURS")
                        heir.say("WANT", "server", "bob")
            self.assertIn(b"* BYE", bob.closed_within()[-1])
            bob = self.client(proxy, "bob")
            self.assertAtWork(bob)
            self.assertOk(ann.command("FETCH 1 FLAGS"))
            old = proxy.begin()
            self.assertAtWork(self.client(proxy, "bob"))
            self.assertIn(b"* BYE", bob.closed_within(1)[-1])  # what the dead one was given is not this one's
            self.assertIn(f"from process {old.pid},", proxy.process.log())  # which is the one that is killed if it hangs
            self.assertAtWork(self.client(proxy, "ann"))
            old.signal(signal.SIGTERM)
            self.assertEqual(old.popen.wait(10), 0)

    def test_an_old_process_that_dies_leaves_everything_to_the_new_one(self):
        with DemoServer("second_session=severs,max_user=2") as server, Succession(server, drain="60s") as proxy:
            crowd = [self.client(proxy, f"u{number}") for number in range(6)]
            for client in crowd:
                self.assertAtWork(client)
            old = proxy.begin()
            old.signal(signal.SIGKILL)
            again = [self.client(proxy, f"u{number}") for number in range(6)]
            for client in again:
                self.assertAtWork(client)
                client.close()
            old.popen.wait()
            self.assertRegex(proxy.process.log(), "has died; everything is this one's")
            proxy.take_over()  # and so on
        self.assertEqual(server.violations["violations"]["total"], 0, server.violations)

    def test_an_old_process_that_dies_before_it_has_given_anything(self):
        """It is one that hands nothing on and ends as soon as the new one is ready."""
        with Succession(self.server) as proxy:
            proxy.process.signal(signal.SIGTERM)
            self.assertEqual(proxy.process.popen.wait(10), 0)
            proxy.socket.unlink()
            donor = Process([sys.executable, "-c", DYING_DONOR, proxy.socket], proxy.folder / "donor.log")
            wait_until(proxy.socket.exists, what="a process to take over from")
            proxy.process = proxy.successor()
            self.assertAtWork(wait_until(lambda: self.try_client(proxy, "ann"), what="the new process serves"))
            self.assertRegex(proxy.process.log(), "has died; everything is this one's")
            self.assertEqual(donor.popen.wait(10), 0)

    def try_client(self, proxy, user):
        with contextlib.suppress(OSError):
            return self.client(proxy, user)

    def test_who_does_not_match_is_refused(self):
        with Succession(self.server, drain="60s") as proxy:
            self.assertEqual(stat.S_IMODE(proxy.socket.stat().st_mode), 0o600)
            with Stranger(proxy.socket) as heir:
                heir.say("HELLO", "imapmux-takeover", "0", "older")
                self.assertEqual(heir.hear(), ["NO", "it speaks version 1, not 0"])
            with Stranger(proxy.socket) as heir:
                heir.say("HELLO", "something else")
                self.assertEqual(heir.hear()[0], "NO")
            elsewhere = subprocess.run(
                ["unshare", "--pid", "--fork", "--kill-child", *proxy.program, "serve", "--takeover", "--config", proxy.file],
                capture_output=True, text=True, timeout=20, check=False)
            if "Operation not permitted" not in elsewhere.stderr:
                self.assertEqual(elsewhere.returncode, 1)
                self.assertIn("the other process is in another PID namespace", elsewhere.stderr)
            ann = self.client(proxy, "ann")
            old = proxy.begin()
            third = proxy.successor()
            self.assertEqual(third.popen.wait(10), 1)
            self.assertRegex(third.log(), "refuses: it is still taking over itself")
            ann.close()
            self.assertEqual(old.popen.wait(10), 0)

    def test_the_service_manager_is_told(self):
        path = f"{self.temp_folder()}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(10)

            def told():
                return dict(line.split("=", 1) for line in manager.recv(1000).decode().splitlines())
            before = os.environ.get("NOTIFY_SOCKET")
            os.environ["NOTIFY_SOCKET"] = path
            try:
                with Succession(self.server) as proxy:
                    self.assertEqual(told(), {"READY": "1", "MAINPID": str(proxy.process.pid)})
                    proxy.reload()
                    self.assertEqual(set(told()), {"RELOADING", "MONOTONIC_USEC"})
                    self.assertEqual(told(), {"READY": "1"})
                    proxy.take_over()
                    self.assertEqual(told(), {"MAINPID": str(proxy.process.pid)})
                    self.assertEqual(told(), {"READY": "1", "MAINPID": str(proxy.process.pid)})
                self.assertEqual(told(), {"STOPPING": "1"})
            finally:
                del os.environ["NOTIFY_SOCKET"]
                if before:
                    os.environ["NOTIFY_SOCKET"] = before

    def test_it_starts_its_own_successor(self):
        with Succession(self.server) as proxy:
            ann, old = self.client(proxy, "ann"), proxy.process
            self.assertAtWork(ann)
            old.signal(signal.SIGUSR2)
            started = proxy.wait_for_log(r"started \S+ as process (\d+)")
            proxy.process = Grandchild(int(started[1]), old)
            self.assertIn(b"* BYE", ann.closed_within()[-1])
            self.assertEqual(old.popen.wait(10), 0)
            self.assertAtWork(self.client(proxy, "ann"))

    def test_without_anybody_there_it_starts_alone(self):
        with Succession(self.server) as proxy:
            with Stranger(proxy.socket) as heir:  # who does not get ready
                heir.say("HELLO", "imapmux-takeover", "1", "test")
                heir.hear_until("ALL")
                proxy.process.signal(signal.SIGTERM)
                self.assertEqual(proxy.process.popen.wait(10), 0)
            proxy.process = proxy.successor()
            proxy.process.wait_for_port(proxy.port)
            self.assertRegex(proxy.process.log(), "nobody listens on .*; starting alone")


def wait_for_greeting(connect):
    def try_once():
        with contextlib.suppress(OSError):  # bound, but not yet listening
            return connect()
    return wait_until(try_once, what="a listener")


DYING_DONOR = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as meeting:
    meeting.bind(sys.argv[1])
    meeting.listen()
    heir = meeting.accept()[0]
    heir.recv(1000)
    heir.send(b"5:HELLO16:imapmux-takeover1:14:test")
    socket.send_fds(heir, [b"8:TAKEOVER"], [meeting.fileno()])
    heir.send(b"3:ALL")
    assert b"READY" in heir.recv(1000)
"""


class Grandchild:
    """A process that is not ours to wait for."""

    def __init__(self, pid, parent):
        self.pid, self.log = pid, parent.log

    def running(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    def stop(self, grace):
        os.kill(self.pid, signal.SIGTERM)
        wait_until(lambda: not self.running(), grace, "the successor ends")
        return 0


class Stranger:
    """Says what it likes on the socket for take-overs (app/takeover_channel.h)."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, *parts):
        self.socket.send("".join(f"{len(part)}:{part}" for part in parts).encode())

    def hear(self):
        text, descriptors, _, _ = socket.recv_fds(self.socket, 70000, 64)
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as given:
                if b"8:TAKEOVER" in text:
                    given.listen(4)  # as one does that will be met there, whose process is told to who comes
        parts = []
        while text:
            size, _, text = text.partition(b":")
            parts.append(text[:int(size)].decode())
            text = text[int(size):]
        return parts

    def hear_until(self, word):
        heard = []
        while not heard or heard[-1][0] != word:
            heard.append(self.hear())
        return heard


if __name__ == "__main__":
    unittest.main()
