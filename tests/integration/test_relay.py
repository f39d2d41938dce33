"""The check of the relay's record finds what it should, and nothing else. No server, no proxy."""
import unittest

from relay import Check, Event, Lines, check, mailbox_name


def record(text):
    """`1> a SELECT INBOX` was sent on connection 1, `1< a OK` answered, `1.` its end."""
    events = []
    for line in filter(None, map(str.strip, text.splitlines())):
        number, kind, rest = line[:1], line[1:2], line[2:].strip()
        events.append(Event(int(number), {">": "proxy", "<": "server", ".": "end"}[kind], rest.encode()))
    return events


class Record(unittest.TestCase):
    def found(self, text, **options):
        return [(problem.kind, problem.mailbox) for problem in check(record(text), **options)]

    def right(self, text, **options):
        self.assertEqual(self.found(text, **options), [])

    def wrong(self, text, kind, mailbox="INBOX", **options):
        self.assertEqual(self.found(text, **options), [(kind, mailbox)])

    def test_one_session_may_do_all_this(self):
        self.right("""1> a SELECT INBOX\n1< a OK\n1> b EXAMINE "inbox"\n1< b OK\n1> c APPEND INBOX {3}\n1< + go\n1> \n1< c OK
                      1> d UID COPY 1:* INBOX\n1< d OK\n1> e STATUS Other (MESSAGES)\n1< e OK\n1> f UNSELECT\n1< f OK
                      1> g STATUS INBOX (MESSAGES)\n1< g OK""")

    def test_second_session(self):
        for command in ("SELECT", "EXAMINE"):
            for name in ("INBOX", '"inbox"'):
                self.wrong(f"1> a SELECT INBOX\n1< a OK\n2> a {command} {name}", "two sessions")

    def test_a_select_counts_before_it_is_answered(self):
        self.wrong("1> a SELECT INBOX\n2> a SELECT INBOX", "two sessions")

    def test_names_with_quotes(self):
        self.wrong('1> a SELECT "A \\"B\\""\n1< a OK\n2> a SELECT "A \\"B\\""', "two sessions", 'A "B"')
        self.right("1> a SELECT Work\n1< a OK\n2> a SELECT work")

    def test_what_closes_a_mailbox(self):
        for closing in ("1> b CLOSE\n1< b OK", "1> b UNSELECT\n1< b OK", "1> b LOGOUT\n1< b OK", "1.",
                        "1> b SELECT nobody\n1< b NO no", "1> b SELECT Other\n1< b OK"):
            self.right(f"1> a SELECT INBOX\n1< a OK\n{closing}\n2> a SELECT INBOX")

    def test_what_does_not(self):
        for closing in ("1> b CLOSE", "1> b CLOSE\n1< b NO", "1> b UNSELECT\n1< b BAD", "1> b SELECT nobody",
                        "1> b SELECT nobody\n1< b BAD", "1> b SELECT Other", "1> b NOOP\n1< b OK", "1< * BYE"):
            self.wrong(f"1> a SELECT INBOX\n1< a OK\n{closing}\n2> a SELECT INBOX", "two sessions")

    def test_a_failed_select_opens_nothing(self):
        self.right("1> a SELECT INBOX\n1< a NO\n2> a SELECT INBOX\n2< a OK")

    def test_the_end_of_one_and_the_next_of_another_in_one_turn(self):
        self.right("1> a SELECT INBOX\n1< a OK\n2> a SELECT INBOX\n1.")
        self.wrong("1> a SELECT INBOX\n1< a OK\n2> a SELECT INBOX\n1< * 1 EXISTS\n1.", "two sessions")

    def test_status_of_a_selected_mailbox(self):
        self.wrong("1> a SELECT INBOX\n1< a OK\n2> a STATUS INBOX (UNSEEN)", "status")
        self.wrong("1> a SELECT INBOX\n1< a OK\n1> b STATUS INBOX (UNSEEN)", "status")
        self.wrong("2> a STATUS INBOX (UNSEEN)\n1> a SELECT INBOX", "status")
        self.right("2> a STATUS INBOX (UNSEEN)\n2< a OK\n1> a SELECT INBOX")

    def test_append_and_copy_beside(self):
        self.wrong("1> a SELECT INBOX\n1< a OK\n2> a APPEND INBOX (\\Seen) {10}", "append")
        self.wrong("1> a SELECT INBOX\n1< a OK\n2> a UID COPY 1:3,5 INBOX", "copy")
        self.wrong("1> a SELECT INBOX\n1< a OK\n2> a UID MOVE 1 INBOX", "copy")
        self.wrong("2> a COPY 1 INBOX\n1> a SELECT INBOX", "copy")
        self.wrong("1> a SELECT INBOX\n1< a OK\n2> a RENAME x INBOX", "restructure")

    def test_list_status(self):
        self.wrong('1> a LIST "" * RETURN (CHILDREN STATUS (UNSEEN))', "list-status", "")
        self.right('1> a LIST "" * RETURN (CHILDREN)')

    def test_connections(self):
        self.right("1> a NOOP\n1.\n2> a NOOP", most_connections=1)
        self.wrong("1> a NOOP\n2> a NOOP", "too many connections", "", most_connections=1)
        self.assertEqual(Check(record("1> a NOOP\n2> a NOOP\n1.\n3> a NOOP")).statistics["most connections"], 2)

    def test_mailbox_names(self):
        self.assertEqual([mailbox_name(t) for t in ("inbox (X)", '"a b" x', "{3}")], ["INBOX", "a b", None])


class Streams(unittest.TestCase):
    def test_literals_are_left_out(self):
        for step in (1, 1000):
            data = b"a APPEND x {9+}\r\nb STATUS \r\nc NOOP\r\n"
            lines, found = Lines(), []
            for at in range(0, len(data), step):
                found += lines.feed(data[at:at + step])
            self.assertEqual(found, [b"a APPEND x {9+}", b"", b"c NOOP"])

    def test_a_literal_that_is_refused_does_not_come(self):
        lines = Lines()
        self.assertEqual(lines.feed(b"a APPEND x {90}\r\n"), [b"a APPEND x {90}"])
        lines.answered(b"z")
        lines.answered(b"a")
        self.assertEqual(lines.feed(b"c NOOP\r\n"), [b"c NOOP"])


if __name__ == "__main__":
    unittest.main()
