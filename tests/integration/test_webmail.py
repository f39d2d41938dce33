"""Webmail logs in for every click: what the login cache spares, beside the program that people use for that."""
import os
import shutil
import time

from case import IntegrationTest, proxy_only
from common import LOOPBACK, Process, free_port, message
from measure import median
from proxy import Proxy
from raw import RawClient
from servers import Dovecot

SECONDS = float(os.environ.get("IMAPMUX_TEST_SECONDS", "12"))
CLICKS = 10  # in a row, before the next one's turn
IMAPPROXY = shutil.which("imapproxyd", path=os.environ.get("PATH", "") + ":/usr/sbin")


class ImapProxy:
    """up-imapproxy (Debian's package imapproxy) in front of the server."""

    def __init__(self, server, folder):
        self.port = free_port()
        folder.chmod(0o777)  # it drops its privileges
        (folder / "imapproxy.conf").write_text(
            f"server_hostname {LOOPBACK}\nserver_port {server.port}\nlisten_address {LOOPBACK}\nlisten_port {self.port}\n"
            "connect_retries 10\nconnect_delay 1\ncache_size 3072\ncache_expiration_time 300\n"
            f"proc_username nobody\nproc_groupname nogroup\nstat_filename {folder}/stats\n"
            f"protocol_log_filename {folder}/protocol.log\nsyslog_facility LOG_MAIL\nsend_tcp_keepalives no\n"
            "enable_select_cache no\nforeground_mode yes\nforce_tls no\nenable_admin_commands no\nipversion_only 4\n")
        self._process = Process([IMAPPROXY, "-f", folder / "imapproxy.conf"], folder / "output.log", cwd=folder)

    def __enter__(self):
        self._process.wait_for_port(self.port)
        return self

    def __exit__(self, *_):
        self._process.stop()


@proxy_only
class Webmail(IntegrationTest):
    timeout = int(SECONDS) + 120

    def click(self, port, user):
        began = time.monotonic()
        with RawClient(port) as client:
            for command in (f'LOGIN "{user.name}" "{user.password}"', "SELECT INBOX", "FETCH 1:5 (FLAGS ENVELOPE)", "LOGOUT"):
                self.assertOk(client.command(command))
        return time.monotonic() - began

    def test_a_login_for_every_click(self):
        server = self.enterContext(Dovecot())
        ways = {"without proxy": server}
        ways["cache"] = self.enterContext(Proxy(server, "shared", top={"log": {"level": "info"}}))
        ways["no cache"] = self.enterContext(Proxy(server, "shared", backend={"credential_ttl": "0s", "account_linger": "0s"},
                                                   top={"log": {"level": "info"}}))
        if IMAPPROXY and os.geteuid() == 0:
            ways["imapproxy"] = self.enterContext(ImapProxy(server, self.temp_folder("imapproxy")))
        users = {way: server.new_user() for way in ways}
        for user in users.values():
            server.fill(user, "INBOX", [message(f"m{number}") for number in range(5)])
        logins = {way: -server.log().count(f"Login: user=<{user.name}>") for way, user in users.items()}
        waits = {way: [] for way in ways}
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for way, where in ways.items():
                waits[way] += [self.click(where.port, users[way]) for _ in range(CLICKS)]
        for way, user in users.items():
            logins[way] += server.log().count(f"Login: user=<{user.name}>")
            print(f"{way}: {len(waits[way])} clicks, median {median(waits[way]) * 1000:.2f} ms "
                  f"({median(waits[way]) / median(waits['without proxy']):.2f} x without proxy), {logins[way]} logins at the server",
                  flush=True)
        self.assertEqual(logins["no cache"], len(waits["no cache"]))
        self.assertGreaterEqual(logins["no cache"], 20 * logins["cache"])
        self.assertLess(median(waits["cache"]), median(waits["no cache"]))
