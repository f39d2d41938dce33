"""imapmux probe: real servers are seen for what they are, and left as they were."""
import json
import signal
import subprocess

from case import IntegrationTest, proxy_only
from common import LOOPBACK, Process, certificates, free_port, wait_until
from proxy import BINARY
from raw import RawClient
from servers import Courier, Dovecot, Imap4d, User


def start_probe(port, user, *options):
    probe = subprocess.Popen([BINARY, "probe", f"{LOOPBACK}:{port}", "--user", user.name, "--password-file", "-", *options],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    probe.stdin.write(user.password.encode() + b"\n")
    probe.stdin.close()
    probe.stdin = None  # communicate() has nothing to send
    return probe


class ProbeTest(IntegrationTest):
    def end(self, probe, timeout=60):
        """Exit status, output, complaints."""
        self.addCleanup(probe.kill)
        output, complaints = probe.communicate(timeout=timeout)
        return probe.returncode, output.decode(), complaints.decode()

    def probe(self, server, user, *options):
        """What it found, as JSON."""
        status, output, complaints = self.end(start_probe(server.port, user, "--json", *options))
        self.assertEqual((status, complaints), (0, ""), output)
        self.assertNotIn(user.password, output)
        found = json.loads(output)
        self.check(found["stanza"])
        return found

    def check(self, stanza):
        path = self.temp_folder("config") / "imapmux.yaml"
        path.write_text(f'listeners: [{{bind: "{LOOPBACK}:0", tls: none}}]\n' + stanza)
        run = subprocess.run([BINARY, "check", "--config", path], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + stanza)
        self.assertNotRegex(run.stdout, r"warning: .*backends", stanza)

    def assertFound(self, found, **expected):
        self.assertEqual({key: found[key] for key in expected}, expected, json.dumps(found, indent=1))

    def assertVerdict(self, found, **expected):
        self.assertEqual({key: found["verdict"][key] for key in expected}, expected, json.dumps(found, indent=1))


@proxy_only
class Servers(ProbeTest):
    """What is in step, who makes things up, who counts connections."""

    def test_dovecot_bears_all(self):
        with Dovecot(max_userip_connections=40) as server:
            user = server.new_user()
            found = self.probe(server, user)
            self.assertFound(found, second_select="works", examine_beside_select="works", select_beside_examine="works",
                             append="told", status_of_other="fine", uidnext="sticky", login_names="same-user")
            self.assertEqual(found["second_select_sees"], {
                "in_step": True, "expunge_told": "at-noop", "flags_told": "at-noop", "fetch_of_expunged": "nothing",
                "right_message": True})
            self.assertVerdict(found, mailbox_access="unrestricted", conflicts="none", connections_per_user=0, uidnext="sticky")
            self.assertIn("+UIDPLUS", self.end(start_probe(server.port, user))[1])
            self.assertEqual(server.mailboxes(user), {"INBOX"})

    def test_dovecot_over_tls_and_its_limit(self):
        with Dovecot(tls=True, max_userip_connections=3) as server:
            user = server.new_user()
            found = self.probe(server, user, "--tls", "starttls", "--ca", certificates().ca)
            self.assertEqual(found["connections"], {"limit": "login", "at_once": 3})
            self.assertVerdict(found, mailbox_access="shared", conflicts="none", connections_per_user=3, max_connections=0)
            status, output, complaints = self.end(start_probe(server.port, user, "--tls", "starttls"))
            self.assertEqual((status, output), (1, ""))
            self.assertRegex(complaints, "certificate")

    def test_courier_makes_up_messages_and_counts_addresses(self):
        with Courier(max_per_ip=4) as server:
            user = server.new_user()
            found = self.probe(server, user)
            self.assertFound(found, second_select="works", status_of_own="stale-until-noop", status_of_other="fine",
                             uidnext="sticky", login_names="matters", shared_namespaces=["#shared.", "shared."])
            self.assertEqual(found["second_select_sees"]["fetch_of_expunged"], "made-up")
            self.assertEqual(found["connections"], {"limit": "connection", "at_once": 4})
            self.assertVerdict(found, mailbox_access="shared", conflicts="none", connections_per_user=2, max_connections=4)
            self.assertEqual(server.mailboxes(user), {"INBOX"})

    def test_imap4d_is_out_of_step(self):
        with Imap4d() as server:
            user = server.new_user()
            found = self.probe(server, user, "--connections", "4")
            self.assertFound(found, second_select="works", examine_beside_select="works", status_of_other="stale-flags",
                             append="told")
            for sight in (found["second_select_sees"], found["examine_sees"]):
                self.assertEqual((sight["in_step"], sight["expunge_told"], sight["flags_told"]), (False, "never", "never"))
            self.assertVerdict(found, mailbox_access="shared", conflicts="single-access")
            self.assertEqual(server.mailboxes(user), {"INBOX"})


@proxy_only
class CommandLine(ProbeTest):
    user = User("bob", "s3cret-word")

    def demo(self, quirks=""):
        port = free_port()
        server = Process([BINARY, "demo-server", "--port", port, "--quirks", quirks, "--user", self.user.name,
                          "--password", self.user.password], self.temp_folder("demo") / "log")
        self.addCleanup(server.stop)
        server.wait_for_port(port)
        return port

    def mailboxes(self, port):
        with RawClient(port).login(self.user.name, self.user.password) as client:
            return [line.split()[-1].decode() for line in client.command('LIST "" "*"').untagged]

    def test_prints_a_table_and_a_section_and_the_dialogue_if_asked_for(self):
        port = self.demo("second_session=refused")
        status, output, complaints = self.end(start_probe(port, self.user, "--verbose"))
        self.assertEqual((status, complaints), (0, ""))
        self.assertRegex(output, r"(?m)^  SELECT beside a SELECT +refused: NO \[INUSE\]")
        self.assertRegex(output, r'(?m)^      B > m\d+ SELECT "imapmux-probe-\w+"\n      B < m\d+ NO \[INUSE\]')
        self.assertRegex(output, r"(?m)^    conflicts: single-access +# a second SELECT is refused$")
        self.assertNotIn(self.user.password, output)
        self.assertNotIn("      B >", self.end(start_probe(port, self.user))[1])
        self.check(output[output.index("backends:"):])

    def interrupted(self, *signals):
        port = self.demo("second_session=severs,latency_ms=40")
        probe = start_probe(port, self.user)
        wait_until(lambda: len(self.mailboxes(port)) == 2, what="the probe's mailbox")
        for number in signals:
            probe.send_signal(number)
        return port, self.end(probe)

    def test_a_signal_has_it_clean_up(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            port, (status, output, complaints) = self.interrupted(number)
            self.assertEqual((status, output), (128 + number, ""), complaints)
            self.assertIn("interrupted", complaints)
            self.assertEqual(self.mailboxes(port), ["INBOX"])

    def test_a_second_signal_ends_it_at_once(self):
        port, (status, _, _) = self.interrupted(signal.SIGINT, signal.SIGTERM)
        self.assertEqual(status, 128 + signal.SIGTERM)
        self.assertEqual(len(self.mailboxes(port)), 2)  # so it was not cleaned up, and the first test means something

    def test_what_can_not_be_done_is_said(self):
        port = self.demo()
        nobody = free_port()
        for user, at, words in ((User("bob", "wrong"), port, "the login of bob was refused: NO"),
                                (self.user, nobody, f"no session with {LOOPBACK}:{nobody}: .*refused")):
            status, output, complaints = self.end(start_probe(at, user))
            self.assertEqual((status, output), (1, ""))
            self.assertRegex(complaints, words)
        status, _, complaints = self.end(start_probe(port, self.user, "--tls", "starttls"))
        self.assertEqual(status, 1)
        self.assertIn("STARTTLS was refused", complaints)

    def test_wrong_options_are_told_from_that(self):
        for arguments, words in (
                ((), "server"),
                (("host",), "--user"),
                (("host", "--user", "bob"), "--password-file"),
                (("host", "--user", "bob", "--password-file", "/nowhere"), "/nowhere: No such file"),
                (("host", "--user", "bob", "--password-file", "/dev/null"), "/dev/null"),
                (("host:no", "--user", "bob", "--password-file", "-"), "not HOST or HOST:PORT: host:no"),
                (("host", "--user", "bob", "--password-file", "-"), "no password"),
                (("host", "--user", "bob", "--password-file", "-", "--tls", "perhaps"), "--tls"),
                (("host", "--user", "bob", "--password-file", "-", "--timeout", "0"), "--timeout")):
            run = subprocess.run([BINARY, "probe", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                 timeout=30, check=False)
            self.assertEqual(run.returncode, 2, (arguments, run.stderr))
            self.assertIn(words, run.stderr)
