"""Clients at work while their server dies again and again: those of the load test, which believe nothing, and the rules
of what an outage may do to them.

A message is its owner's, the client who appended it to its home mailbox: nobody else changes its flags, \\Seen aside
(which a FETCH by anybody sets), and so the owner knows them.
"""
import asyncio
import sys
import time

from common import SOURCE

sys.path.insert(0, str(SOURCE / "tests/load"))
from imap_client import ConnectionEnded, ImapClient, ProtocolError  # noqa: E402
from load_client import LoadClient  # noqa: E402

FLAGS = ["\\Flagged", "\\Answered"]
# Commands that are never repeated: those in flight when the server died.
OUTCOME_UNKNOWN = {"APPEND", "COPY", "UID COPY", "EXPUNGE"}


class Options:
    exclusive = False
    lenient = False
    converge = True


class Outages:
    """When the server died, and what that excuses."""

    def __init__(self, backend_wait, report):
        self.backend_wait = backend_wait
        self.report = report
        self.kills = []      # times
        self.unknown = []    # commands that were answered NO [UNAVAILABLE]
        self.broken = []     # clients that were in the middle of a literal

    def within(self, begin, end):
        return any(begin <= kill <= end for kill in self.kills)

    def unavailable(self, client, verb, arguments, answer):
        now = time.monotonic()
        self.unknown.append(f"{client}: {verb} {arguments[:60]}: {answer}")
        if answer.seconds >= self.backend_wait:
            return True
        return verb in OUTCOME_UNKNOWN and self.within(now - answer.seconds, now)

    def connection_lost(self, client, began):
        """Whether this may be: it was in the middle of a literal when the server died."""
        self.broken.append(client.name)
        return client.connection.in_literal and self.within(began, time.monotonic())


class Owned:
    """The flags of messages that one client alone changes, by token; None where an outcome is unknown."""

    def __init__(self):
        self.flags = {}
        self.homes = {}

    def forget_flags(self):
        """The server may have lost what it acknowledged."""
        self.flags = dict.fromkeys(self.flags)

    def differences(self, mailbox, stored, marked):
        """`stored`: the server's messages. Their subject is their token."""
        for one in stored:
            wanted = self.flags.get(one.subject)
            if self.homes.get(one.subject) != mailbox or wanted is None or one.uid in marked:
                continue
            if one.flags & set(FLAGS) != wanted:
                yield f"{one.subject} in {mailbox} has {sorted(one.flags)} and not {sorted(wanted)}"


class OutageClient(LoadClient):
    def __init__(self, name, port, user, ledger, owned, report, outages, rng):
        super().__init__(name, port, ledger, report, rng, Options)
        self.user = user
        self.owned = owned
        self.outages = outages
        self.mine = set()   # tokens
        self.answered = 0
        self.began = 0.0    # of the command in progress

    async def run(self):
        await asyncio.sleep(self.rng.random() * 0.3)
        while not self.over:
            try:
                await self.login()
                while not self.over:
                    await self.visit()
                    if self.rng.random() < 0.05 and not self.over:
                        await self.command("LOGOUT")
                        self.end()
                        await self.login()
                return  # it stays, for converge()
            except (ProtocolError, ConnectionEnded, OSError) as error:
                if not (isinstance(error, ConnectionEnded) and self.outages.connection_lost(self, self.began)):
                    self.report.error(self.name, error, self.connection.transcript)
                self.end()
                await self.pause(0.5)

    async def login(self):
        self.connection = ImapClient(self.report.wait, self.expunged)
        await self.connection.connect(self.port)
        answer = await self.command("LOGIN", f'"{self.user.name}" "{self.user.password}"')
        if not answer.ok:
            raise ProtocolError(f"LOGIN: {answer}")
        if answer.code != "CAPABILITY":
            await self.command("CAPABILITY")

    async def command(self, verb, arguments="", **more):
        self.began = time.monotonic()
        return await super().command(verb, arguments, **more)

    def judge(self, verb, arguments, answer):
        self.answered += 1
        if answer.status == "NO" and answer.code == "UNAVAILABLE" \
                and self.outages.unavailable(self.name, verb, arguments, answer):
            return answer
        return super().judge(verb, arguments, answer)

    # --- what differs from the load test: a message's flags have one writer, and only the original is copied

    def making(self, token, mailbox, flag):
        self.owned.homes[token] = mailbox
        self.owned.flags[token] = frozenset({flag} & set(FLAGS))
        self.mine.add(token)

    def at_home(self, uid):
        return self.owned.homes.get(self.mailbox.tokens.get(uid)) == self.view.mailbox

    def may_copy(self, uid):
        return super().may_copy(uid) and self.at_home(uid)

    async def store(self):
        tokens = self.mailbox.tokens
        numbers = [number for number, uid in enumerate(self.view.uids, 1) if tokens.get(uid) in self.mine
                   and self.at_home(uid) and uid not in self.mailbox.marked]
        if not self.view.writable or not numbers:
            return
        number = self.rng.choice(numbers)
        uid = self.view.uids[number - 1]
        token = tokens[uid]
        sign, flag = self.rng.choice("+-"), self.rng.choice(FLAGS)
        before, self.owned.flags[token] = self.owned.flags[token], None
        answer = await self.store_flag(number, sign, flag, self.rng.choice(["", "", ".SILENT"]))
        if not answer.ok or before is None:
            return
        after = before | {flag} if sign == "+" else before - {flag}
        self.owned.flags[token] = after
        told = self.view.flags[self.view.uids.index(uid)] if uid in self.view.uids else None
        if told is not None and told & set(FLAGS) != after:
            raise ProtocolError(f"UID {uid} has the flags {sorted(told)} after {sign}{flag}, and not {sorted(after)}")
