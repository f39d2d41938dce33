#!/usr/bin/env python3
"""The load test's client must notice what a server does wrong; a check that cannot fail proves nothing."""

import argparse
import asyncio
import unittest

import ledger
from imap_client import ConnectionEnded, ImapClient, ProtocolError, View, parse_values
from ledger import MailboxLedger
from load_client import LoadClient

OPTIONS = argparse.Namespace(exclusive=True, lenient=False, converge=True)

SELECTED = (b"* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 40] ok\r\n"
            b"%s OK [READ-WRITE] ok\r\n")


class FakeTransport:
    """Answers each command with the next scripted answer; %s stands for the tag."""

    def __init__(self, client, answers):
        self.client = client
        self.answers = list(answers)

    def write(self, octets):
        if self.answers:
            answer = self.answers.pop(0).replace(b"%s", octets.split(b" ")[0])
            asyncio.get_running_loop().call_soon(self.client.data_received, answer)

    def abort(self):
        pass


def converse(commands, answers, in_pieces=False):
    """Runs `commands` (verb, arguments) in a selected mailbox; the client and the last Answer."""

    async def run():
        gone = []
        client = ImapClient(lambda verb, seconds: None, lambda mailbox, uid: gone.append(uid))
        client.gone = gone
        if in_pieces:
            whole = client.data_received
            client.data_received = lambda data: [whole(data[i:i + 1]) for i in range(len(data))]
        client.connection_made(FakeTransport(client, [SELECTED, *answers]))
        await client.command("SELECT", "INBOX", mailbox="INBOX")
        answer = None
        for verb, arguments in commands:
            answer = await client.command(verb, arguments)
        await asyncio.sleep(0)
        if client.lost:
            raise client.lost
        return client, answer

    return asyncio.run(run())


def pipeline(answer):
    """FETCH, SEARCH and NOOP at once, in a selected mailbox."""

    async def run():
        client = ImapClient(lambda verb, seconds: None, lambda mailbox, uid: None)
        client.connection_made(FakeTransport(client, [SELECTED, answer]))
        await client.command("SELECT", "INBOX", mailbox="INBOX")
        await client.pipeline([("FETCH", "1 (FLAGS)"), ("SEARCH", "ALL"), ("NOOP", "")])

    asyncio.run(run())


class Notices(unittest.TestCase):
    def wrong(self, verb, answer, error=ProtocolError):
        with self.assertRaises(error):
            converse([(verb, "")], [answer])

    def test_expunge_while_numbers_are_in_use(self):
        for verb in ("FETCH", "STORE", "SEARCH"):
            self.wrong(verb, b"* 1 EXPUNGE\r\n%s OK ok\r\n")

    def test_expunge_without_a_command(self):
        self.wrong("NOOP", b"%s OK ok\r\n* 1 EXPUNGE\r\n")

    def test_expunge_in_a_pipeline(self):
        early = b"c2 OK ok\r\n* 1 EXPUNGE\r\nc3 OK ok\r\nc4 OK ok\r\n"
        with self.assertRaises(ProtocolError):
            pipeline(early)
        pipeline(b"c2 OK ok\r\nc3 OK ok\r\n* 1 EXPUNGE\r\nc4 OK ok\r\n")

    def test_numbers_beyond_exists(self):
        self.wrong("NOOP", b"* 4 EXPUNGE\r\n%s OK ok\r\n")
        self.wrong("FETCH", b"* 4 FETCH (UID 9)\r\n%s OK ok\r\n")
        self.wrong("SEARCH", b"* SEARCH 4\r\n%s OK ok\r\n")

    def test_exists_that_shrinks(self):
        self.wrong("NOOP", b"* 2 EXISTS\r\n%s OK ok\r\n")

    def test_uids_that_change_or_descend(self):
        self.wrong("FETCH", b"* 1 FETCH (UID 5)\r\n* 1 FETCH (UID 6)\r\n%s OK ok\r\n")
        self.wrong("FETCH", b"* 1 FETCH (UID 5)\r\n* 2 FETCH (UID 4)\r\n%s OK ok\r\n")

    def test_two_tagged_answers(self):
        self.wrong("NOOP", b"%s OK ok\r\n%s OK ok\r\n")

    def test_a_foreign_tag(self):
        self.wrong("NOOP", b"other OK ok\r\n")

    def test_bye(self):
        self.wrong("NOOP", b"* BYE going\r\n", ConnectionEnded)

    def test_malformed(self):
        for line in (b"* 1 FETCH (UID 5", b"* 1 FETCH (UID 5))", b"* 1 FETCH (UID)", b"* 1 FETCH UID 5", b"* NONSENSE",
                     b"%s MAYBE ok", b"* x EXISTS", b"* 1 FETCH (UID  5)", b"nothing"):
            self.wrong("FETCH", line + b"\r\n%s OK ok\r\n")
        self.wrong("NOOP", b"%s OK ok\n")

    def test_nothing_where_nothing_is_wrong(self):
        for in_pieces in (False, True):
            client, answer = converse(
                [("FETCH", "1:3"), ("NOOP", "")],
                [b'* 1 FETCH (UID 5 BODY[HEADER.FIELDS (X)] {4}\r\n)\r\n( FLAGS (\\Seen) ENVELOPE ("a \\" b" NIL))\r\n'
                 b"* 3 FETCH (UID 8)\r\n%s OK [EXPUNGEISSUED] some\r\n",
                 b"* 1 EXPUNGE\r\n* 3 EXISTS\r\n%s OK ok\r\n"], in_pieces)
            self.assertEqual(client.view.uids, [None, 8, None])
            self.assertEqual(client.gone, [5])
            self.assertEqual(answer.status, "OK")

    def test_flags_are_kept_with_their_message(self):
        client, _ = converse([("FETCH", "1:3"), ("NOOP", "")],
                             [b"* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n* 3 FETCH (FLAGS (\\Draft))\r\n%s OK ok\r\n",
                              b"* 2 EXPUNGE\r\n* 1 FETCH (FLAGS ())\r\n* 3 EXISTS\r\n%s OK ok\r\n"])
        self.assertEqual(client.view.flags, [frozenset(), {r"\Draft"}, None])
        client.view.stored_silently(2, "+", r"\Seen")
        client.view.stored_silently(2, "-", r"\Draft")
        client.view.stored_silently(3, "+", r"\Seen")
        self.assertEqual(client.view.flags, [frozenset(), {r"\Seen"}, None])

    def test_values(self):
        self.assertEqual(parse_values(b'(a NIL "b\\\\" {2}\r\n() c[d (e)]<0>) f', 0),
                         [[b"a", None, b"b\\", b"()", b"c[d (e)]<0>"], b"f"])


class Converges(unittest.TestCase):
    """What a client believes in the end against what there is."""

    def difference(self, uids, flags, final):
        client = LoadClient("u1/0", 0, ledger.Ledger("r.", "u1", ["INBOX"]), None, None, OPTIONS)
        client.connection = ImapClient(None, None)
        client.connection.view = View("INBOX")
        client.view.uids, client.view.flags = uids, flags
        client.mailbox.final = final
        return client.difference()

    def test_the_same(self):
        self.assertIsNone(self.difference([4, None], [None, {r"\Seen"}], [(4, {r"\Draft"}), (5, {r"\Seen"})]))

    def test_differences(self):
        seen, nothing = frozenset({r"\Seen"}), frozenset()
        self.assertTrue(self.difference([4], [None], [(4, seen), (5, seen)]))
        self.assertTrue(self.difference([4, 5], [None, None], [(4, seen), (6, seen)]))
        self.assertTrue(self.difference([4, 5], [None, nothing], [(4, seen), (5, seen)]))


class Ledger(unittest.TestCase):
    def setUp(self):
        self.box = MailboxLedger("INBOX")
        self.box.saw(1, {"BODY[]": b"X-Load-Token: r.u.1.\r\n\r\n", "FLAGS": []})
        self.box.acknowledged["r.u.1."] = 1

    def test_content_that_changes(self):
        with self.assertRaises(ProtocolError):
            self.box.saw(1, {"BODY[]": b"something else"})
        with self.assertRaises(ProtocolError):
            self.box.saw(1, {"BODY[TEXT]": b"load token: r.u.2.\r\n"})

    def test_expunge_of_what_nobody_marked(self):
        with self.assertRaises(ProtocolError):
            self.box.expunged(1)

    def test_final_count(self):
        self.assertEqual(self.box.final_problems({1: "r.u.1."}, "r."), [])
        self.assertTrue(self.box.final_problems({}, "r."))
        self.assertTrue(self.box.final_problems({1: "r.u.1.", 2: "r.u.1."}, "r."))
        self.assertTrue(self.box.final_problems({1: "r.u.1.", 2: "r.u.9."}, "r."))

    def test_deleted_messages_may_go_and_must_not_return(self):
        self.box.mark(1)
        self.assertEqual(self.box.final_problems({}, "r."), [])
        self.assertEqual(self.box.final_problems({1: "r.u.1."}, "r."), [])
        self.box.expunged(1)
        self.assertTrue(self.box.final_problems({1: "r.u.1."}, "r."))


if __name__ == "__main__":
    unittest.main()
