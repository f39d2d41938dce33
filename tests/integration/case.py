"""The base of the test cases.

IMAPMUX_DIRECT=1 leaves the proxy out: that proves servers, clients and expectations, and skips what only a proxy does.
"""
import os
import signal
import threading
import time
import unittest

from common import temp_folder
from proxy import Proxy
from raw import RawClient

DIRECT = os.environ.get("IMAPMUX_DIRECT") == "1"
# Of the whole process: ctest's own timeout kills, which leaves folders behind.
_DEADLINE = time.monotonic() + float(os.environ.get("IMAPMUX_TEST_BUDGET", "3600"))

proxy_only = unittest.skipIf(DIRECT, "about the proxy only")


def _on_alarm(*_):
    raise TimeoutError("the test takes too long")


class IntegrationTest(unittest.TestCase):
    maxDiff = 2000
    timeout = 100  # seconds, of one test

    def run(self, result=None):
        # a hang anywhere becomes a failure of this test, with everything cleaned up
        previous = signal.signal(signal.SIGALRM, _on_alarm)
        signal.alarm(max(1, min(self.timeout, int(_DEADLINE - time.monotonic()))))
        try:
            return super().run(result)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)

    def temp_folder(self, name="test"):
        return self.enterContext(temp_folder(name))

    def raw(self, proxy, user=None, **options):
        """A connection, logged in if there is a user, closed with the test."""
        client = RawClient(proxy.port, **options)
        self.addCleanup(client.close)
        if user:
            client.login(user.name, user.password)
        return client

    def assertOk(self, reply):
        self.assertTrue(reply.ok, repr(reply))
        return reply

    def assertNo(self, reply, *codes):
        self.assertEqual(reply.status, "NO", repr(reply))
        if codes:
            self.assertIn(reply.code, codes, repr(reply))
        return reply


def front(server, mode, **options):
    """The proxy in front of a server; in direct mode the server itself."""
    if DIRECT:
        return _Direct(server, options.get("tls", "none"))
    return Proxy(server, mode, **options)


class _Direct:
    def __init__(self, server, tls):
        self.server, self.tls, self.mode = server, tls, "direct"
        self.port = server.tls_port if tls == "implicit" else server.port
        self.host = server.host

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def log(self):
        return self.server.log()


class Background(threading.Thread):
    """A thread whose exception is raised by result()."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self._function, self._arguments, self._value, self._error = function, arguments, None, None
        self.start()

    def run(self):
        try:
            self._value = self._function(*self._arguments)
        except BaseException as error:
            self._error = error

    def result(self, timeout=60):
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError("not done in time")
        if self._error:
            raise self._error
        return self._value
