"""What all clients of one user together know of the user's messages, and so what must be true at the end.

Two facts carry everything: what a UID means never changes, and a message goes only if one of these clients marked
it \\Deleted. Clients mark nothing but messages of their own making, never one that is being copied (the copy would
inherit the mark), and never take a mark back.
"""

import collections
import re

from imap_client import ProtocolError

TOKEN = re.compile(rb"(?:X-Load-Token|load token): ([0-9a-z.-]+)", re.I)  # imap4d answers in the case of the question


class MailboxLedger:
    def __init__(self, name):
        self.name = name
        self.uidvalidity = None
        self.facts = {}           # (uid, attribute) -> hash of its value
        self.tokens = {}          # uid -> token
        self.alive = set()        # UIDs seen and never marked \Deleted: no server may lose them
        self.marked = set()       # a STORE of \Deleted was sent
        self.deleted = set()      # … and acknowledged
        self.gone = set()         # expunged, and acknowledged
        self.copying = collections.Counter()
        self.acknowledged = collections.Counter()  # token -> messages that must have come to be
        self.unknown = collections.Counter()       # token -> messages that may have: no answer, or NO
        self.final = []           # (uid, flags) of all messages at the end

    def identity(self, uidvalidity):
        if self.uidvalidity is None:
            self.uidvalidity = uidvalidity
        if self.uidvalidity != uidvalidity:
            raise ProtocolError(f"UIDVALIDITY of {self.name} was {self.uidvalidity} and is now {uidvalidity}")

    def saw(self, uid, attributes=()):
        """A client was told of `uid`; `attributes` of it that never change must be the ones known."""
        if uid not in self.marked:
            self.alive.add(uid)
        for name in attributes:
            if name in ("FLAGS", "UID") or attributes[name] is None:
                continue
            value = attributes[name]
            if self.facts.setdefault((uid, name), hash(value)) != hash(value):
                raise ProtocolError(f"{name} of UID {uid} in {self.name} is not what it was: {value[:200]!r}")
            if name.startswith("BODY[") and (match := TOKEN.search(value)):
                self.token(uid, match[1].decode())

    def token(self, uid, token):
        if self.tokens.setdefault(uid, token) != token:
            raise ProtocolError(f"UID {uid} in {self.name} was message {self.tokens[uid]} and is now {token}")

    def expunged(self, uid):
        if uid not in self.marked:
            raise ProtocolError(f"EXPUNGE of UID {uid} in {self.name}, which nobody marked \\Deleted")
        self.gone.add(uid)

    def mark(self, uid):
        self.marked.add(uid)
        self.alive.discard(uid)

    def may_mark(self, uid):
        return uid in self.tokens and uid not in self.marked and not self.copying[uid]

    def final_problems(self, present, run):
        """`present`: uid -> token or None, of all messages there are at the end. Messages
        of former runs (whose tokens do not begin with `run`) are not counted: nobody knows how many there were."""
        problems = []
        if lost := self.alive - present.keys():
            problems.append(f"lost from {self.name}: UIDs {sorted(lost)}")
        if back := self.gone & present.keys():
            problems.append(f"expunged from {self.name} and there again: UIDs {sorted(back)}")
        counts = collections.Counter(token for token in present.values() if token)
        marked = collections.Counter(self.tokens.get(uid) for uid in self.marked)
        for token in sorted(self.acknowledged.keys() | self.unknown.keys() | counts.keys()):
            if not token.startswith(run):
                continue
            least = self.acknowledged[token] - marked[token]
            most = self.acknowledged[token] + self.unknown[token]
            if not least <= counts[token] <= most:
                problems.append(f"message {token} is {counts[token]} times in {self.name}, not {least} to {most}")
        return problems


class Ledger:
    def __init__(self, run, user, mailboxes):
        self.run = run
        self.user = user
        self.mailboxes = {name: MailboxLedger(name) for name in mailboxes}
        self.appended = 0

    def new_token(self):
        self.appended += 1
        return f"{self.run}.{self.user}.{self.appended}."  # the dot: SEARCH HEADER finds substrings
