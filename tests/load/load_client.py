"""One client of the load test: what it does, and what must be true of the answers."""

import asyncio

from imap_client import ConnectionEnded, ImapClient, ProtocolError, pairs

FLAGS = [r"\Flagged", r"\Seen", r"\Answered", r"\Draft"]
SECTIONS = ["BODY.PEEK[]", "BODY[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]",
            "BODY.PEEK[HEADER.FIELDS (X-LOAD-TOKEN)]", "RFC822.SIZE", "INTERNALDATE"]
CROWDED = 24  # messages in a mailbox from which on clients rather delete than append


def message(token, lines):
    """A message that carries its identity in header and body."""
    filler = b"".join(b"%s line %d of filler\r\n" % (token.encode(), i) for i in range(lines))
    return (b"From: load@example.org\r\nSubject: %s\r\nX-Load-Token: %s\r\n\r\nload token: %s\r\n"
            % ((token.encode(),) * 3)) + filler


class LoadClient:
    sections = SECTIONS    # what it asks for in FETCH
    appended_with = FLAGS  # one of them

    def __init__(self, name, port, ledger, report, rng, options):
        self.name = name
        self.port = port
        self.ledger = ledger
        self.report = report
        self.rng = rng
        self.exclusive = options.exclusive
        self.lenient = options.lenient
        self.converges = options.converge
        self.connection = None
        self.over = False
        self.actions, self.weights = zip(
            (self.fetch_flags, 10), (self.fetch_by_number, 14), (self.fetch_by_uid, 12), (self.store, 10),
            (self.search, 8), (self.status, 8), (self.append, 6), (self.copy, 5), (self.delete, 5),
            (self.expunge, 4), (self.noop, 6), (self.idle, 3), (self.pipelined, 5))

    async def run(self):
        await asyncio.sleep(self.rng.random())  # not all logins at once
        while not self.over:
            try:
                await self.login()
                while not self.over:
                    await self.visit()
                    if self.rng.random() < 0.05:
                        break
                if self.over and self.converges:
                    return  # it stays, for converge()
                if self.connection.view is not None and self.rng.random() < 0.5:
                    await self.leave()
                await self.command("LOGOUT")
            except (ProtocolError, ConnectionEnded, OSError) as error:
                self.report.error(self.name, error, self.connection.transcript)
                await self.pause(0.5)
            finally:
                if not (self.over and self.converges):
                    self.end()

    def end(self):
        self.connection.lost = self.connection.lost or ConnectionEnded("logged out")
        self.connection.close()

    async def login(self):
        self.connection = ImapClient(self.report.wait, self.expunged)
        await self.connection.connect(self.port)
        answer = await self.command("LOGIN", f"{self.ledger.user} {self.ledger.user}")
        if not answer.ok:
            raise ProtocolError(f"LOGIN: {answer}")
        if answer.code != "CAPABILITY":
            await self.command("CAPABILITY")

    async def visit(self):
        """Opens a mailbox, works there, and leaves it in one of the ways there are."""
        if not await self.select(self.rng.choice(list(self.ledger.mailboxes)), self.rng.random() < 0.25):
            await self.pause()
            return
        if self.rng.random() < 0.7:
            await self.fetch_all()
        # An exclusive mailbox is lent: everybody else of this user waits for it.
        for _ in range(self.rng.randint(2, 6) if self.exclusive else self.rng.randint(4, 60)):
            if self.over:
                return
            await self.pause()
            await self.rng.choices(self.actions, self.weights)[0]()
        if self.rng.random() < 0.6:
            await self.leave()
        await self.pause()

    async def pause(self, longest=0.05):
        await asyncio.sleep(self.rng.random() * longest)

    # --- what is known

    @property
    def view(self):
        return self.connection.view

    @property
    def mailbox(self):
        return self.ledger.mailboxes[self.view.mailbox]

    def expunged(self, mailbox, uid):
        self.ledger.mailboxes[mailbox].expunged(uid)

    def known_uids(self):
        return [uid for uid in self.view.uids if uid is not None]

    async def command(self, verb, arguments="", **more):
        answer = await self.connection.command(verb, arguments, **more)
        return self.judge(verb, arguments, answer)

    def judge(self, verb, arguments, answer):
        """Everything that is checked of every answer; NO and BAD are errors but for the cases that are not."""
        if self.view:
            box = self.mailbox
            for _, uid, attributes in answer.fetches:
                if uid is not None:
                    box.saw(uid, attributes)
        if answer.status == "NO" and answer.code == "INUSE":
            self.report.in_use(self.name, verb, arguments, answer)
        elif answer.status == "BAD" or (answer.status == "NO" and answer.code != "EXPUNGEISSUED"):
            self.report.error(self.name, ProtocolError(f"{verb} {arguments}: {answer}"), self.connection.transcript)
        return answer

    # --- opening and leaving

    async def select(self, name, examine):
        box = self.ledger.mailboxes[name]
        sure = set(box.alive)
        newest = max(sure, default=0)
        answer = await self.command("EXAMINE" if examine else "SELECT", name, mailbox=name)
        if not answer.ok:
            return False
        view = self.view
        if not view.exists_told or not any(data[0] == "FLAGS" for data in answer.data) or not view.uidvalidity:
            raise ProtocolError(f"SELECT {name} answered without EXISTS, FLAGS or UIDVALIDITY")
        if answer.code != ("READ-ONLY" if examine else "READ-WRITE"):
            raise ProtocolError(f"{'EXAMINE' if examine else 'SELECT'} {name}: {answer}")
        view.writable = not examine
        box.identity(view.uidvalidity)
        # Marks set meanwhile may have been followed by an EXPUNGE.
        if len(view.uids) < len(sure - box.marked):
            raise ProtocolError(f"SELECT {name}: EXISTS {len(view.uids)}, but {len(sure)} messages are known")
        if view.uidnext is not None and view.uidnext <= newest:
            raise ProtocolError(f"SELECT {name}: UIDNEXT {view.uidnext}, but there is UID {newest}")
        return True

    async def leave(self):
        if self.rng.random() < 0.5 and "UNSELECT" in self.connection.capabilities:
            await self.command("UNSELECT")
        else:
            await self.delete_for_good("CLOSE")

    # --- commands

    async def fetch_all(self):
        """All UIDs and flags, as a mail client asks when it opens a mailbox; the UIDs marked \\Deleted."""
        if not self.view.uids:
            return []
        answer = await self.fetch_numbers(1, len(self.view.uids), ["FLAGS"])
        return [uid for _, uid, attributes in answer.fetches if rb"\Deleted" in attributes.get("FLAGS", [])]

    async def fetch_flags(self):
        await self.fetch_by_number(["FLAGS"])

    async def fetch_by_number(self, items=None):
        if count := len(self.view.uids):
            first = self.rng.randint(1, count)
            last = min(count, first + self.rng.choice([0, 0, 0, 1, 3]))
            await self.fetch_numbers(first, last, items or [self.rng.choice(self.sections)])

    async def fetch_numbers(self, first, last, items):
        numbers = str(first) if first == last else f"{first}:{last}"
        answer = await self.command("FETCH", f"{numbers} (UID {' '.join(items)})")
        # No EXPUNGE can have come, so the numbers mean what they meant.
        self.check_complete(answer, items + ["UID"], range(first, last + 1), lambda f: f[0])
        return answer

    async def fetch_by_uid(self):
        if known := self.known_uids():
            uids = self.rng.sample(known, min(len(known), self.rng.choice([1, 1, 2, 4])))
            item = self.rng.choice(self.sections)
            answer = await self.command("UID FETCH", f"{','.join(map(str, uids))} ({item})")
            present = set(self.view.uids)
            self.check_complete(answer, [item], {uid for uid in uids if uid in present}, lambda f: f[1])

    def check_complete(self, answer, items, wanted, key):
        """Each wanted message was answered; bodies once."""
        if not answer.ok or answer.code == "EXPUNGEISSUED":
            return
        names = [item.replace(".PEEK", "") for item in items]
        missing = {(message, name) for message in wanted for name in names}
        for fetch in answer.fetches:
            for name in names:
                if name in fetch[2]:
                    if name.startswith("BODY[") and key(fetch) in wanted and (key(fetch), name) not in missing:
                        raise ProtocolError(f"{name} of {key(fetch)} was sent twice")
                    missing.discard((key(fetch), name))
        # A message may have gone on the server without this client being told yet, but never one nobody marked.
        lost = [m for m in missing if self.uid_of(m[0], key) not in self.mailbox.marked]
        if lost:
            raise ProtocolError(f"FETCH answered OK without {sorted(lost)}")

    def uid_of(self, message, key):
        return self.view.uids[message - 1] if key((0, 1)) == 0 else message

    async def store(self):
        if not self.view.writable or not self.view.uids:
            return
        number = self.rng.randint(1, len(self.view.uids))
        await self.store_flag(number, self.rng.choice("+-"), self.rng.choice(FLAGS), self.rng.choice(["", "", ".SILENT"]))

    async def store_flag(self, number, sign, flag, silent):
        uid = self.view.uids[number - 1]
        change = f"{sign}FLAGS{silent} ({flag})"
        if uid is not None and self.rng.random() < 0.4:
            answer = await self.command("UID STORE", f"{uid} {change}")
            # The message may have gone meanwhile, or got another number.
            number = self.view.uids.index(uid) + 1 if uid in self.view.uids else 0
        else:
            answer = await self.command("STORE", f"{number} {change}")
        told = any("FLAGS" in fetch[2] and (fetch[1] == uid if uid else fetch[0] == number) for fetch in answer.fetches)
        if answer.ok and silent and number and not told:
            self.view.stored_silently(number, sign, flag)
        return answer

    async def search(self):
        known = self.known_uids()
        by_uid = self.rng.random() < 0.4
        if not known or self.rng.random() < 0.5:
            key = self.rng.choice(["ALL", "UNSEEN", "FLAGGED", "NOT SEEN", "1:*" if self.view.uids else "ALL"])
            await self.command("UID SEARCH" if by_uid else "SEARCH", key)
            return
        uid = self.rng.choice(known)
        token = self.mailbox.tokens.get(uid)
        key = f"HEADER X-Load-Token {token}" if token and self.rng.random() < 0.5 else f"UID {uid}"
        answer = await self.command("UID SEARCH" if by_uid else "SEARCH", key)
        if not answer.ok:
            return
        found = [int(value) for name, values in answer.data if name == "SEARCH" for value in values]
        found = found if by_uid else [self.view.uids[number - 1] for number in found]
        if key.startswith("UID"):
            right = found == [uid] or (not found and uid in self.mailbox.marked)
        else:  # copies carry the same token, and so may a message this client does not know yet
            right = all(self.mailbox.tokens.get(u, token) == token for u in found if u)
            right = right and (uid in found or None in found or uid in self.mailbox.marked)
        if not right:
            raise ProtocolError(f"SEARCH {key} (by UID: {by_uid}) found {found}, not {uid}")

    async def status(self):
        names = list(self.ledger.mailboxes)
        name = self.view.mailbox if self.rng.random() < 0.4 else self.rng.choice(names)
        box = self.ledger.mailboxes[name]
        # A server may answer for the selected mailbox as this session sees it (Dovecot does). The proxy must not.
        own_view_will_do = self.lenient and name == self.view.mailbox
        sure = set(self.known_uids()) & box.alive if own_view_will_do else set(box.alive)
        answer = await self.command("STATUS", f"{name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")
        if not answer.ok:
            return
        told = [values for data, values in answer.data if data == "STATUS"]
        if len(told) != 1 or told[0][0].decode() != name:
            raise ProtocolError(f"STATUS {name} answered {told}")
        items = {key: int(value) for key, value in pairs(told[0][1]).items()}
        box.identity(items["UIDVALIDITY"])
        if items["MESSAGES"] < len(sure - box.marked) or items["UIDNEXT"] <= max(sure, default=0):
            newest = max(sure, default=0)
            raise ProtocolError(f"STATUS {name} says {items}; known are {len(sure)} messages up to UID {newest}")

    async def append(self):
        name = self.rng.choice(list(self.ledger.mailboxes))
        box = self.ledger.mailboxes[name]
        if len(box.alive) > CROWDED:
            return
        token = self.ledger.new_token()
        flag = self.rng.choice(self.appended_with)
        self.making(token, name, flag)
        box.unknown[token] += 1
        answer = await self.command("APPEND", f"{name} ({flag})",
                                    literal=message(token, self.rng.choice([0, 3, 10, 30, 400])))
        self.settle(answer, box, token)
        if answer.ok and answer.code == "APPENDUID":
            uidvalidity, uid = map(int, answer.arguments.split())
            box.identity(uidvalidity)
            box.token(uid, token)
            box.saw(uid)

    def making(self, token, mailbox, flag):
        """It is about to append a message."""

    def may_copy(self, uid):
        return uid in self.mailbox.tokens and uid not in self.mailbox.marked

    async def copy(self):
        source = self.mailbox
        target = self.ledger.mailboxes[self.rng.choice([n for n in self.ledger.mailboxes if n != source.name])]
        numbers = [number for number, uid in enumerate(self.view.uids, 1) if self.may_copy(uid)]
        if not numbers or len(target.alive) > CROWDED:
            return
        number = self.rng.choice(numbers)
        uid = self.view.uids[number - 1]
        token = source.tokens[uid]
        source.copying[uid] += 1
        target.unknown[token] += 1
        if self.rng.random() < 0.4:
            answer = await self.command("UID COPY", f"{uid} {target.name}")
        else:
            answer = await self.command("COPY", f"{number} {target.name}")
        source.copying[uid] -= 1
        self.settle(answer, target, token)
        if answer.ok and answer.code == "COPYUID":
            uidvalidity, origin, copy = map(int, answer.arguments.split())
            target.identity(uidvalidity)
            if origin != uid:
                raise ProtocolError(f"COPY of UID {uid} copied UID {origin}")
            target.token(copy, token)
            target.saw(copy)

    def settle(self, answer, box, token):
        if answer.ok:
            box.acknowledged[token] += 1
        if answer.code != "UNAVAILABLE":  # with it the outcome stays unknown
            box.unknown[token] -= 1

    async def delete(self):
        box = self.mailbox
        numbers = [number for number, uid in enumerate(self.view.uids, 1) if box.may_mark(uid)]
        if not self.view.writable or not numbers or len(box.alive) < CROWDED / 2:
            return
        number = self.rng.choice(numbers)
        uid = self.view.uids[number - 1]
        box.mark(uid)
        answer = await self.store_flag(number, "+", r"\Deleted", self.rng.choice(["", ".SILENT"]))
        if answer.ok:
            box.deleted.add(uid)

    async def expunge(self):
        if self.view.writable:
            await self.delete_for_good("EXPUNGE")

    async def delete_for_good(self, verb):
        box = self.mailbox
        deleted = set(box.deleted) if self.view.writable else set()
        if (await self.command(verb)).ok:
            box.gone |= deleted

    async def pipelined(self):
        """Commands by number at once: no EXPUNGE may come before the last of them is answered, only in NOOP."""
        if not self.view.uids:
            return
        numbers = [self.rng.randint(1, len(self.view.uids)) for _ in range(self.rng.randint(2, 6))]
        commands = [("FETCH", f"{number} (UID BODY.PEEK[TEXT])") for number in numbers]
        commands.insert(self.rng.randint(0, len(commands)), ("SEARCH", "UNSEEN"))
        answers = await self.connection.pipeline([*commands, ("NOOP", "")])
        for (verb, arguments), answer in zip([*commands, ("NOOP", "")], answers):
            self.judge(verb, arguments, answer)
        searched = sum(name == "SEARCH" for answer in answers for name, _ in answer.data)
        fetched = sum("BODY[TEXT]" in fetch[2] for answer in answers for fetch in answer.fetches)
        if all(answer.ok and not answer.code for answer in answers) and (searched, fetched) != (1, len(numbers)):
            raise ProtocolError(f"{len(numbers)} pipelined FETCHes and a SEARCH got {fetched} and {searched} answers")

    async def noop(self):
        await self.command(self.rng.choice(["NOOP", "NOOP", "CHECK"]))

    async def idle(self):
        if "IDLE" in self.connection.capabilities:
            answer = await self.connection.idle(self.rng.random() * 0.2)
            self.judge("IDLE", "", answer)

    # --- before and after the load

    async def once(self, session):
        """Runs a session that is no part of the load."""
        try:
            await self.login()
            await session
            await self.command("LOGOUT")
        except (ProtocolError, ConnectionEnded, OSError) as error:
            self.report.error(self.name, error, self.connection.transcript)
        finally:
            session.close()  # it may never have begun
            self.connection.close()

    async def survey(self, create):
        """Learns what is there before the load. `create`: makes the mailboxes and fills those that are empty."""
        for name, box in self.ledger.mailboxes.items():
            if create:
                await self.connection.command("CREATE", name)  # it may exist
            if not await self.select(name, True):
                raise ProtocolError(f"{name} could not be opened")
            for _ in range(10 if create and not self.view.uids else 0):
                token = self.ledger.new_token()
                box.acknowledged[token] += 1
                await self.command("APPEND", name, literal=message(token, 5))
            for uid in await self.fetch_all():
                box.mark(uid)

    async def converge(self):
        """Nobody changes anything any more: what this client was told must become what final_count() has seen."""
        if not self.connection or self.connection.lost:
            return
        try:
            for attempt in range(50 if self.view else 0):
                await self.command("NOOP")
                if not (problem := self.difference()):
                    break
                if attempt == 49:
                    self.report.problem(f"{self.name}: in {self.view.mailbox}, {problem}")
                await asyncio.sleep(0.2)
            await self.command("LOGOUT")
        except (ProtocolError, ConnectionEnded, OSError) as error:
            self.report.error(self.name, error, self.connection.transcript)
        finally:
            self.end()

    def difference(self):
        final = self.mailbox.final
        if len(self.view.uids) != len(final):
            return f"EXISTS is {len(self.view.uids)} here and {len(final)} in truth"
        for number, (uid, flags, (true_uid, true_flags)) in enumerate(zip(self.view.uids, self.view.flags, final), 1):
            if uid not in (None, true_uid):
                return f"message {number} is UID {uid} here and {true_uid} in truth"
            if flags is not None and flags != true_flags:
                return f"UID {true_uid} has {sorted(flags)} here and {sorted(true_flags)} in truth"
        return None

    async def final_count(self):
        """Counts what is there and compares it with the ledger."""
        for name, box in self.ledger.mailboxes.items():
            if not await self.select(name, True):
                raise ProtocolError(f"{name} could not be opened at the end")
            if self.view.uids:
                await self.fetch_numbers(1, len(self.view.uids), ["FLAGS", "BODY.PEEK[HEADER.FIELDS (X-LOAD-TOKEN)]"])
            box.final = list(zip(self.view.uids, self.view.flags))
            present = {uid: box.tokens.get(uid) for uid in self.known_uids()}
            for problem in box.final_problems(present, self.ledger.run):
                self.report.problem(f"{self.ledger.user}: {problem}")
