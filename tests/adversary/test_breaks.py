"""Each test states what should be; each failed when it was written. IMAPMUX=binary python3 -m unittest test_breaks (-v).

Where no binary is named, build/asan is taken; what measures memory wants a release build: IMAPMUX_RELEASE, else
build/release; none if it is empty.
"""
import base64, unittest
from rig import *

RELEASE = os.environ.get("IMAPMUX_RELEASE", str(ROOT / "build/release/proxy/imapmux"))
measures_memory = unittest.skipUnless(RELEASE, "a sanitizer keeps memory of its own")


class Breaks(unittest.TestCase):
    def start(self, handler=None, caps="IMAP4rev1", **mux):
        self.backend = Backend(handler, caps)
        self.addCleanup(self.backend.close)
        self.mux = Mux(self.backend.port, **mux)
        self.addCleanup(self.mux.stop)
        return self.mux

    def client(self, *args, **kw):
        c = Client(self.mux, *args, **kw)
        self.addCleanup(c.s.close)
        return c

    def said(self, n):
        return [l for _, conn, l in self.backend.log if conn == n]

    def test_01_too_long_a_line_in_idle_ends_the_session(self):
        self.start()
        c = self.client()
        c.cmd("SELECT INBOX")
        c.send("i IDLE\r\n")
        c.until(b"+ ")
        c.send("X" * 200_000 + "\r\n")
        c.until(b"\n")
        c.send("n NOOP\r\n")
        rest, how = c.rest(4)
        self.assertTrue(how != "open" or b"n OK" in rest, "neither a tagged answer nor a close: the lease stays for ever")

    @measures_memory
    def test_02_refusals_behind_a_streamed_literal_are_bounded(self):
        def handler(conn, tag, verb, rest):
            if verb == b"UID FETCH" and b"BODY" in rest:
                conn.s.sendall(b"* 1 FETCH (UID 1 BODY[] {1000000}\r\nxxxx")
                time.sleep(10)
                return b""
        self.start(handler, binary=RELEASE)
        c = self.client()
        c.cmd("SELECT INBOX")
        before = self.mux.rss()
        c.send("f FETCH 1 BODY[]\r\n")
        c.until(b"}\r\n")
        c.s.settimeout(3)
        end = time.time() + 6
        try:
            while time.time() < end:
                c.send(b"a b\r\n" * 20_000)
        except OSError:
            pass
        grown = self.mux.rss() - before
        c.rst()
        self.assertLess(grown, 30, f"{grown} MiB of deferred answers for one client")

    def test_03_vanished_in_idle_says_done_before_logout(self):
        self.start(caps="IMAP4rev1 IDLE", backend={"poll_interval": "30s"})
        c = self.client()
        c.cmd("SELECT INBOX")
        c.send("i IDLE\r\n")
        c.until(b"+ idling")
        time.sleep(1)
        began = time.monotonic()
        c.rst()
        d = self.client()
        d.cmd("SELECT INBOX")
        self.assertIn(b"DONE", self.said(0), f"the next client waited {time.monotonic() - began:.1f} s for the severing")

    def test_04_the_lease_stays_while_the_backend_still_works(self):
        def handler(conn, tag, verb, rest):
            if verb == b"UID SEARCH":
                time.sleep(5)
            if verb == b"SELECT" and conn.n == 1:
                first_still_open.append(self.backend.conns[0].ended is None)
        first_still_open = []
        self.start(handler, backend={"lease_wait": "20s"})
        c = self.client()
        c.cmd("SELECT INBOX")
        c.send("s SEARCH ALL\r\n")
        time.sleep(.3)
        c.rst()
        d = self.client(timeout=20)
        d.cmd("SELECT INBOX")
        self.assertEqual(first_still_open, [False], "two connections in one mailbox")

    def test_05_an_answer_that_came_is_told_though_bye_follows(self):
        def handler(conn, tag, verb, rest):
            if verb == b"APPEND":
                conn.s.sendall(b"+ go\r\n")
                conn.octets(3)
                conn.line()
                conn.s.sendall(tag + b" OK [APPENDUID 7 4] stored\r\n* BYE going down\r\n")
                conn.kill()
                return b""
        self.start(handler)
        c = self.client()
        c.send("x APPEND Sent {3+}\r\nabc\r\n")
        self.assertIn(b"x OK", c.rest(3)[0], "NO makes clients append a second time")

    def test_06_bye_behind_the_login_answer(self):
        def handler(conn, tag, verb, rest):
            if verb == b"LOGIN":
                return tag + b" OK [CAPABILITY IMAP4rev1] in\r\n* BYE now\r\n"
        self.start(handler)
        c = self.client(login=False)
        c.send("a LOGIN bob x\r\n")
        rest = c.rest(3)[0]
        self.assertIn(b"a OK", rest)
        self.assertNotIn(b"BYE", rest, "the client stays, and connects again when it needs to")

    def test_07_status_of_selected_does_not_invent_numbers(self):
        def handler(conn, tag, verb, rest):
            if verb == b"UID SEARCH":
                return tag + b" NO can't search now\r\n"
        self.start(handler)
        c = self.client()
        c.cmd("SELECT INBOX")
        answer = c.cmd("STATUS INBOX (MESSAGES UNSEEN)")
        self.assertNotIn(b"UNSEEN 0", answer)

    def test_08_uidnext_is_above_every_uid_the_client_has_seen(self):
        there = {"new": False}
        def handler(conn, tag, verb, rest):
            if verb == b"NOOP" and not there["new"]:
                there["new"] = True
                return b"* 4 EXISTS\r\n" + tag + b" OK\r\n"
            if verb == b"UID FETCH" and rest.startswith(b"4"):
                return b"* 4 FETCH (UID 4 FLAGS ())\r\n" + tag + b" OK\r\n"
            if verb == b"EXPUNGE":
                return b"* 4 EXPUNGE\r\n" + tag + b" OK\r\n"
            if verb == b"UID SEARCH":
                return b"* SEARCH 3\r\n" + tag + b" OK\r\n"
        self.start(handler)
        c = self.client()
        for command in ("SELECT INBOX", "NOOP", "FETCH 4 (UID FLAGS)", "EXPUNGE"):
            c.cmd(command)
        answer = c.cmd("STATUS INBOX (UIDNEXT)")
        self.assertGreater(int(re.search(rb"UIDNEXT (\d+)", answer)[1]), 4, answer)

    def test_09_deselecting_never_closes_read_write(self):
        def handler(conn, tag, verb, rest):
            if verb == b"EXAMINE" or b"imapmux-" in rest:
                return tag + b" BAD not now\r\n"
        self.start(handler)
        c = self.client()
        c.cmd("SELECT INBOX")
        c.cmd("UNSELECT")
        self.assertFalse([l for l in self.said(0) if l.endswith(b" CLOSE")], "CLOSE expunges")

    def test_10_a_lost_backend_connection_gives_its_place_back(self):
        self.start(caps="IMAP4rev1 AUTH=PLAIN SASL-IR", backend={
            "connections_per_user": 1, "max_connections": 1, "backend_wait": "1s",
            "login": {"master_user": "root", "master_password": "mp"}})
        self.client()
        self.backend.conns[-1].kill()
        time.sleep(.5)
        d = self.client(login=False)
        self.assertIn(b"OK", d.cmd("LOGIN alice x")[:6], "no connection exists, yet max_connections is full")

    def test_11_relay_never_writes_into_a_literal(self):
        def handler(conn, tag, verb, rest):
            if verb == b"FETCH":
                conn.s.sendall(b"* 1 FETCH (BODY[] {1000}\r\nline one\r\n")
                time.sleep(.5)
                conn.kill()
                return b""
        self.start(handler, mode="unrestricted")
        c = self.client()
        c.send("f FETCH 1 BODY[]\r\n")
        c.until(b"one\r\n")
        self.assertNotIn(b"BYE", c.rest(3)[0])

    def test_12_relay_tells_one_bye(self):
        def handler(conn, tag, verb, rest):
            if verb == b"NOOP":
                for octet in b"* BYE down\r\n":
                    conn.s.sendall(bytes([octet]))
                    time.sleep(.01)
                conn.kill()
                return b""
        self.start(handler, mode="unrestricted")
        c = self.client()
        c.send("n NOOP\r\n")
        self.assertEqual(c.rest(3)[0].count(b"BYE"), 1)

    def test_13_refused_tokens_are_counted_though_the_client_leaves(self):
        def handler(conn, tag, verb, rest):
            if verb == b"AUTHENTICATE":
                conn.s.sendall(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")
                conn.line()
                return tag + b" NO no\r\n"
        self.start(handler, "IMAP4rev1 AUTH=XOAUTH2 SASL-IR", listener={"auth": ["PLAIN", "XOAUTH2"]})
        token = base64.b64encode(b"user=bob\1auth=Bearer tok\1\1").decode()
        for _ in range(5):
            c = self.client(login=False)
            c.send(f"a AUTHENTICATE XOAUTH2 {token}\r\n")
            c.until(b"+ eyJ")
            c.s.close()
        time.sleep(.3)
        self.assertEqual(self.mux.status()["logins_refused"], 5)

    def test_15_hidden_codes_of_pipelined_commands(self):
        def handler(conn, tag, verb, rest):
            if verb == b"UID FETCH" and b"(FLAGS)" in rest:
                return tag + b" OK [CAPABILITY IMAP4rev1 QRESYNC STARTTLS] x\r\n"
        self.start(handler)
        c = self.client()
        c.cmd("SELECT INBOX")
        answer = c.cmd("FETCH 1 FLAGS")
        self.assertIn(b"OK x", answer)
        self.assertNotIn(b"QRESYNC", answer)

    def test_16_a_name_is_one_argument(self):
        """Leased as `x[ (MESSAGES)]`, but a server that ends atoms at SP opens `x[`, and takes the list."""
        self.start()
        c = self.client()
        c.cmd("STATUS x[ (HIGHESTMODSEQ)] (MESSAGES)")
        c.cmd("SELECT x[ (CONDSTORE)]")
        bad = [l for l in self.said(0) if b"x[ (" in l and b'"x[ (' not in l]
        self.assertFalse(bad, bad)

    def test_17_trace_masks_what_may_be_a_password(self):
        self.start(top={"log": {"level": "info", "protocol_trace": {"client": LOOP}}})
        c = self.client(login=False)
        c.send("a IDLE\r\nb AUTHENTICATE PLAIN\r\nAGJvYgBTRUNSRVQx\r\n")
        c.rest(.4)
        c = self.client(login=False)
        c.send("LOGIN bob SECRET2\r\n")  # the tag is forgotten
        c.rest(.4)
        leaks = [l for l in self.mux.log().splitlines() if re.search("SECRET|AGJvYgBTRUNSRVQ", l)]
        self.assertFalse(leaks, leaks)

    @measures_memory
    def test_18_passwords_are_gone_after_login(self):
        """Where a master user connects again; else one copy is kept for that: password_in_memory.py"""
        self.start(caps="IMAP4rev1 AUTH=PLAIN SASL-IR", binary=RELEASE, top={"workers": 1},
                   backend={"login": {"master_user": "root", "master_password": "mp"}})
        c = self.client(login=False)
        secret = b"Zq9k7Wpk7Wpk7Wpk7Wpk7WpX"
        c.send(b"n NOOP\r\n" * 3 + b"a LOGIN bob " + secret + b"\r\nx NOOP\r\n")
        c.until(b"a OK")
        c.cmd("NOOP")
        self.assertEqual(find_in_memory(self.mux.p.pid, secret), [])

    def test_19_json_log_is_json(self):
        self.start(top={"log": {"level": "debug", "format": "json"}})
        c = self.client(login=False)
        c.send(b"a LOGIN {2+}\r\n\xff\xfe x\r\n")
        c.rest(.3)
        c.s.close()
        time.sleep(.3)
        for line in self.mux.logfile.read_bytes().splitlines():
            json.loads(line)


def find_in_memory(pid, needle):
    hits = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for row in maps:
            span, rights, *rest = row.split()
            if "rw" not in rights:
                continue
            low, high = (int(x, 16) for x in span.split("-"))
            try:
                memory.seek(low)
                data = memory.read(high - low)
            except (OSError, ValueError):
                continue
            at = data.find(needle)
            if at >= 0:
                hits.append((rest[-1] if len(rest) > 3 else "anon", data[max(0, at - 24):at + len(needle) + 10]))
    return hits


if __name__ == "__main__":
    unittest.main()
