"""Two replicas: users leave the one that is down, and come back one by one, when nobody needs them where they are."""
import socket
import subprocess
import threading
import time

from case import Background, IntegrationTest, proxy_only
from common import LOOPBACK, free_port, wait_until
from proxy import BINARY, Proxy


class Replica:
    """An IMAP server that lets everybody in, and remembers who came, and when."""

    def __init__(self):
        self.port = free_port()
        self.logins = []  # (time, user)
        self._listener, self._connections = None, set()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """As if it were killed."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rw", newline="\r\n") as stream:
                stream.write("* OK [CAPABILITY IMAP4rev1] ready\r\n")
                stream.flush()
                for line in stream:
                    tag, command, *arguments = line.split()
                    if command == "LOGIN" and arguments[1].strip('"') != "secret":
                        stream.write(f"{tag} NO wrong\r\n")
                        stream.flush()
                        continue
                    if command == "LOGIN":
                        self.logins.append((time.monotonic(), arguments[0].strip('"')))
                    stream.write(f"{tag} OK done\r\n" if command != "LOGOUT" else f"* BYE\r\n{tag} OK\r\n")
                    stream.flush()
                    if command == "LOGOUT":
                        return
        except OSError:
            pass
        finally:
            self._connections.discard(connection)


@proxy_only
class Replicas(IntegrationTest):
    def setUp(self):
        self.home, self.other = self.enterContext(Replica()), self.enterContext(Replica())

    def start_proxy(self, mode, **backend):
        return self.enterContext(Proxy(self.home, mode, top={"workers": 2}, backend={
            "servers": [f"{LOOPBACK}:{self.home.port}", f"{LOOPBACK}:{self.other.port}"],
            "health_check": {"interval": "100ms", "fall": 1, "rise": 1}, **backend}))

    def users_at_home(self, proxy, count):
        found = []
        for number in range(100):
            user = f"user{number}"
            told = subprocess.run([BINARY, "check", "--config", proxy.file, "--route", user], capture_output=True, text=True)
            if f"server 1: {LOOPBACK}:{self.home.port} " in told.stdout:
                found.append(user)
            if len(found) == count:
                return found
        raise AssertionError("the users of a replica are not found")

    def log_in(self, proxy, user):
        client = self.raw(proxy)
        self.assertOk(client.command(f"LOGIN {user} secret"))
        return client

    def visit(self, proxy, user):
        self.log_in(proxy, user).command("LOGOUT")

    def fail_over(self, proxy, users):
        self.home.stop()
        proxy.wait_for_log(f"server is down .*server={LOOPBACK}:{self.home.port}")
        clients = [self.log_in(proxy, user) for user in users]
        self.home.start()
        proxy.wait_for_log(f"server is up again .*server={LOOPBACK}:{self.home.port}")
        return clients

    def test_one_by_one_and_not_while_a_client_is_there(self):
        proxy = self.start_proxy("unrestricted")
        *users, stays = self.users_at_home(proxy, 4)
        clients = self.fail_over(proxy, [*users, stays])
        self.assertEqual([user for _, user in self.other.logins], [*users, stays])
        for client in clients[:-1]:
            client.command("LOGOUT")

        def come_until_at_home(user):
            wait_until(lambda: (self.visit(proxy, user), user in [who for _, who in self.home.logins])[1], 20, f"{user} at home")
        for visitor in [Background(come_until_at_home, user) for user in users]:
            visitor.result()
        first = {}
        for moment, user in self.home.logins:
            first.setdefault(user, moment)
        moments = sorted(first.values())
        for one, next_one in zip(moments, moments[1:]):
            self.assertGreater(next_one - one, 0.9, "one a second")
        self.visit(proxy, stays)
        self.assertEqual(self.other.logins[-1][1], stays, "with a client there, further ones go there, too")
        clients[-1].command("LOGOUT")
        come_until_at_home(stays)

    def test_an_account_that_lingers_goes_home_without_its_next_client(self):
        proxy = self.start_proxy("shared", account_linger="60s")
        user, = self.users_at_home(proxy, 1)
        client, = self.fail_over(proxy, [user])
        self.visit(proxy, user)
        self.assertEqual(self.home.logins, [], "there is a client at the other one")
        client.command("LOGOUT")
        wait_until(lambda: not self.other._connections, 10, "the end of the lingering connection")
        self.visit(proxy, user)
        self.assertEqual([who for _, who in self.home.logins], [user])

    def test_who_guesses_a_password_does_not_move_its_owner(self):
        proxy = self.start_proxy("unrestricted")
        moved, guessed = self.users_at_home(proxy, 2)
        self.home.stop()
        proxy.wait_for_log("server is down")
        self.visit(proxy, moved)
        self.assertNo(self.raw(proxy).command(f"LOGIN {guessed} guess"))
        self.home.start()
        proxy.wait_for_log("server is up again")
        self.visit(proxy, moved)
        self.visit(proxy, guessed)  # in the second in which nobody else goes back
        self.assertEqual([user for _, user in self.home.logins], [moved, guessed])

    def test_a_client_whose_connection_the_server_closes_stays_there(self):
        proxy = self.start_proxy("shared")
        user, = self.users_at_home(proxy, 1)
        client, = self.fail_over(proxy, [user])
        for connection in list(self.other._connections):
            connection.shutdown(socket.SHUT_RDWR)
        proxy.wait_for_log("backend connection lost")
        self.assertOk(client.command('LIST "" *'))
        self.assertEqual((len(self.home.logins), len(self.other.logins)), (0, 2))
