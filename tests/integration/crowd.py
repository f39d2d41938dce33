"""Ten clients of one user in one mailbox, each at work again and again for some seconds.

Each client owns the messages whose subject begins with its name, and changes no others. So what the server must hold at
the end is the sum of what the clients did, whatever the order was.
"""
import contextlib
import imaplib
import os
import random
import re
import threading
import time

import clients
from clients import ClientFailed
from common import message, nasty_body

GRACE = 60  # seconds for what has begun when the time is over


class Expected:
    """What a mailbox must hold: messages by subject."""

    def __init__(self):
        self._lock = threading.Lock()
        self._messages = {}  # subject -> (flags or None for any, body) of each copy
        self._bodies = {}

    def put(self, subject, flags, body):
        with self._lock:
            self._messages.setdefault(subject, []).append((flags, body))

    def flags(self, subject, flags):
        with self._lock:
            body = self._messages[subject][0][1]
            self._messages[subject] = [(flags, body)]

    def flags_of(self, subject):
        with self._lock:
            return self._messages[subject][0][0]

    def gone(self, subject):
        with self._lock:
            del self._messages[subject]

    def subjects(self):
        with self._lock:
            return sorted(s for s, copies in self._messages.items() for _ in copies)

    def differences(self, stored):
        """`stored`: the server's messages."""
        with self._lock:
            wanted = {subject: list(copies) for subject, copies in self._messages.items()}
        problems = []
        for one in stored:
            copies = wanted.get(one.subject)
            if not copies:
                problems.append(f"{one.subject} is there (UID {one.uid}, {sorted(one.flags)}) and should not")
                continue
            flags, body = copies.pop()
            if flags is not None and flags != one.flags:
                problems.append(f"{one.subject} has {sorted(one.flags)} and not {sorted(flags)}")
            if body is not None and without_marks(one.body) != body:
                problems.append(f"{one.subject} is not what was put there: {one.body[:300]!r}")
        return problems + [f"{subject} is missing" for subject, copies in wanted.items() for _ in copies]


def without_marks(body):
    """Without the header lines that mbsync and offlineimap add to what they upload."""
    return re.sub(rb"(?m)^X-(TUID|OfflineIMAP): [^\r\n]*\r\n", b"", body)


class Worker(threading.Thread):
    """Works until the time is over; what goes wrong is kept for problem()."""

    def __init__(self, name, crowd):
        super().__init__(daemon=True, name=name)
        self.crowd = crowd
        self.account = crowd.account
        self.rounds = 0
        self.made = 0
        self.error = None
        self.folder = crowd.folder / name
        self.folder.mkdir()

    def prepare(self):
        """Before the proxy is used: messages that have to be there."""

    def work(self):
        raise NotImplementedError

    def run(self):
        try:
            self.work()
        except BaseException as error:
            self.error = error

    @property
    def over(self):
        """Not before it did something: on a busy machine it may take long to come to it."""
        return self.rounds > 0 and time.monotonic() >= self.crowd.end

    def subject(self):
        self.made += 1
        return f"{self.name}-{self.made}"

    def delivered(self, count, mailbox="INBOX"):
        """Subjects of messages of its own, delivered before."""
        subjects = [self.subject() for _ in range(count)]
        for subject in subjects:
            body = message(subject, nasty_body().replace(b"\xff\xfe\x80", b""))
            self.account.server.deliver(self.account.user, mailbox, body)
            self.crowd.inbox.put(subject, frozenset(), body)
        return subjects


class Imaplib(Worker):
    """A script that does a bit of everything, by number and by UID."""

    def __init__(self, name, crowd, seed):
        super().__init__(name, crowd)
        self.random = random.Random(seed)
        self.mine = []

    def must(self, answer):
        if answer[0] != "OK":
            raise ClientFailed(f"{self.name}: {answer}")
        return answer[1]

    def work(self):
        while not self.over:
            connection = clients.imaplib_connection(self.account)
            try:
                self.must(connection.login(self.account.user.name, self.account.user.password))
                self.must(connection.select("INBOX"))
                for _ in range(self.random.randint(5, 25)):
                    if self.over:
                        break
                    self.step(connection)
                    self.rounds += 1
                    time.sleep(self.random.random() * 0.2)
                self.must(connection.close() if self.random.random() < 0.5 else connection.unselect())
            finally:
                with contextlib.suppress(imaplib.IMAP4.error, OSError):
                    connection.logout()

    def step(self, connection):
        actions = [self.append, self.append, self.mark, self.mark, self.read, self.read, self.remove, self.look]
        if self.crowd.work is not None:
            actions += [self.copy, self.copy]
        self.random.choice(actions)(connection)

    def append(self, connection):
        if len(self.mine) > 8:
            return
        subject = self.subject()
        flags = self.random.choice([frozenset(), frozenset({"\\Seen"}), frozenset({"\\Flagged"})])
        body = message(subject, "Hello\r\n" * self.random.choice([1, 10, 3000]))
        self.must(connection.append("INBOX", f"({' '.join(flags)})", None, body))
        self.crowd.inbox.put(subject, flags, body)
        self.mine.append((subject, body))

    def pick(self, connection):
        """One of its messages: subject, body, number, UID."""
        subject, body = self.random.choice(self.mine)
        numbers = self.must(connection.search(None, "SUBJECT", f'"{subject}"', "FROM", "alice"))[0].split()
        number = next((n for n in numbers if self.subject_of(connection, n) == subject), None)
        if number is None:
            raise ClientFailed(f"{self.name}: SEARCH SUBJECT {subject} finds {numbers}")
        uid = self.told(connection.fetch(number, "(UID)"), rb"^%s \(.*UID (\d+)" % number)
        return subject, body, number, uid

    def told(self, answer, pattern):
        """From the FETCH response that matches; others may come unasked."""
        parts = [b" ".join(part) if isinstance(part, tuple) else part for part in self.must(answer) if part]
        found = [match.group(1) for part in parts if (match := re.search(pattern, part, re.S | re.I))]
        if not found:
            raise ClientFailed(f"{self.name}: nothing like {pattern} in {parts}")
        return found[-1]

    def subject_of(self, connection, number):
        answer = connection.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return self.told(answer, rb"^%s \(.*subject: *([^\r\n]*)" % number).decode()

    def mark(self, connection):
        if not self.mine:
            return
        subject, _, number, uid = self.pick(connection)
        sign, flag = self.random.choice("+-"), self.random.choice(["\\Seen", "\\Flagged", "\\Answered"])
        item = sign + self.random.choice(["FLAGS", "FLAGS.SILENT"])
        by_uid = self.random.random() < 0.5
        self.must(connection.uid("STORE", uid, item, f"({flag})") if by_uid else connection.store(number, item, f"({flag})"))
        before = self.crowd.inbox.flags_of(subject)
        after = before | {flag} if sign == "+" else before - {flag}
        self.crowd.inbox.flags(subject, after)
        told = self.told(connection.uid("FETCH", uid, "(FLAGS)"), rb"(?=.*UID %s[ )]).*FLAGS \(([^)]*)\)" % uid)
        seen = set(told.decode().split()) - {"\\Recent"}
        if seen != after:
            raise ClientFailed(f"{self.name}: {subject} has the flags {seen} and not {after}")

    def read(self, connection):
        if not self.mine:
            return
        subject, body, number, uid = self.pick(connection)
        fetched = self.must(connection.fetch(number, "(BODY.PEEK[])") if self.random.random() < 0.5
                            else connection.uid("FETCH", uid, "(BODY.PEEK[])"))
        bodies = [part[1] for part in fetched if isinstance(part, tuple)]
        if len(bodies) != 1 or not clients.same_body(self.account.server, bodies[0], body):
            raise ClientFailed(f"{self.name}: {subject} came as {[b[:300] for b in bodies]}")

    def remove(self, connection):
        if len(self.mine) < 3:
            return
        subject, body, number, uid = self.pick(connection)
        if self.random.random() < 0.5:
            self.must(connection.store(number, "+FLAGS", "(\\Deleted)"))
        else:
            self.must(connection.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)"))
        self.must(connection.expunge())
        self.mine.remove((subject, body))
        self.crowd.inbox.gone(subject)

    def copy(self, connection):
        if not self.mine:
            return
        subject, body, number, uid = self.pick(connection)
        self.must(connection.uid("COPY", uid, self.account.work) if self.random.random() < 0.5
                  else connection.copy(number, self.account.work))
        self.crowd.work.put(subject, None, body)

    def look(self, connection):
        status = self.must(connection.status("INBOX", "(MESSAGES UIDNEXT UNSEEN)"))[0]
        if self.crowd.work is not None:
            self.must(connection.status(self.account.work, "(MESSAGES)"))
        self.must(connection.list())
        self.must(connection.noop())
        count = int(re.search(rb"MESSAGES (\d+)", status).group(1))
        if count < len(self.mine):
            raise ClientFailed(f"{self.name}: STATUS says {status}")
        self.must(connection.select("INBOX", readonly=self.random.random() < 0.3))
        self.must(connection.select("INBOX"))


class ImapflowWatching(Worker):
    """In IDLE all the time."""

    def work(self):
        seconds = max(1, self.crowd.end - time.monotonic())
        with clients.NodeClient("imapflow_client", self.account, "watch", self.folder, seconds=seconds) as client:
            client.wait_for("final", seconds + GRACE)
            final = client.finish()["final"]
        self.rounds = final["news"]
        if final["problem"] or final["told"] != len(final["subjects"]):
            raise ClientFailed(f"{self.name}: {final}")


class NodeImapIdling(Worker):
    """Waits for new mail in IDLE, reads it, and begins again."""

    def work(self):
        while not self.over:
            folder = self.folder / str(self.rounds)
            folder.mkdir()
            with clients.NodeClient("node_imap_client", self.account, "idle", folder) as client:
                client.wait_for("idle")
                client.wait_for("subject")
                client.finish()
            self.rounds += 1


class Mirror(Worker):
    """Syncs the user's mailboxes with a Maildir, and changes messages of its own there."""

    def near(self, mailbox="INBOX"):
        return self.folder / "near" / mailbox

    def sync(self):
        raise NotImplementedError

    def local(self, mailbox="INBOX"):
        """Files by subject."""
        found = {}
        for part in ("cur", "new"):
            for file in (self.near(mailbox) / part).iterdir() if (self.near(mailbox) / part).is_dir() else []:
                match = re.search(rb"(?mi)^Subject: *([^\r\n]*)", file.read_bytes())
                found.setdefault(match.group(1).decode(), []).append(file)
        return found

    def prepare(self):
        self.mine = self.delivered(3)

    def work(self):
        self.sync()
        while not self.over:
            self.change()
            self.sync()
            self.rounds += 1
        self.sync()

    def change(self):
        """Marks one, deletes one, adds one."""
        here = self.local()
        for subject in self.mine:
            if len(here.get(subject, [])) != 1:
                raise ClientFailed(f"{self.name}: {subject} is {len(here.get(subject, []))} times in its mirror")
        marked = self.mine[0]
        flags = frozenset() if self.crowd.inbox.flags_of(marked) else frozenset({"\\Flagged", "\\Seen"})
        self.rename(here[marked][0], "FS" if flags else "")
        self.crowd.inbox.flags(marked, flags)
        if len(self.mine) > 2:
            gone = self.mine.pop()
            self.delete(here[gone][0])
            self.crowd.inbox.gone(gone)
        if self.uploads:
            subject = self.subject()
            body = message(subject, "uploaded\r\n")
            path = self.near() / "cur" / f"{int(time.time())}.{self.made}_1.{self.name}:2,S"
            path.write_bytes(body.replace(b"\r\n", b"\n"))
            self.crowd.inbox.put(subject, frozenset({"\\Seen"}), body)
            self.mine.append(subject)

    @property
    def uploads(self):
        return True

    def rename(self, file, letters):
        file.rename(self.near() / "cur" / (file.name.split(":2,")[0] + ":2," + letters))

    def delete(self, file):
        file.unlink()

    def check_mirror(self):
        """When all are done: the mirror is what the server holds."""
        self.sync()
        here = sorted(subject for subject, files in self.local().items() for _ in files)
        if here != self.crowd.inbox.subjects():
            raise ClientFailed(f"{self.name}: its mirror holds {here} and not {self.crowd.inbox.subjects()}")


class Mbsync(Mirror):
    def prepare(self):
        super().prepare()
        self.configuration = clients.write_mbsync_configuration(
            self.account, self.folder, patterns=" ".join(self.crowd.mailboxes()) if self.crowd.mailboxes() else "*")

    def sync(self):
        clients.mbsync(self.configuration, self.folder)

    @property
    def uploads(self):
        return self.account.has("UIDPLUS")  # mbsync 1.4 finds its uploads again by UIDPLUS only

    def delete(self, file):
        file.rename(self.near() / "cur" / (file.name.split(":2,")[0] + ":2,T"))


class Offlineimap(Mirror):
    """Three connections at once."""

    def prepare(self):
        super().prepare()
        account = self.account
        (self.folder / "near").mkdir()
        these = self.crowd.mailboxes()
        only_these = f"folderfilter = lambda name: name in {these}\n" if these else ""
        tls = {"none": "ssl = no\nstarttls = no\n", "starttls": f"ssl = no\nstarttls = yes\nsslcacertfile = {clients.certificates().ca}\n",
               "implicit": f"ssl = yes\nsslcacertfile = {clients.certificates().ca}\n"}[account.tls]
        self.configuration = self.folder / "offlineimaprc"
        self.configuration.write_text(f"""[general]
accounts = test
metadata = {self.folder}/metadata
maxsyncaccounts = 1
ui = basic
socktimeout = {clients.TIMEOUT}

[Account test]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {self.folder}/near

[Repository far]
type = IMAP
remotehost = {account.tls_name}
remoteport = {account.port}
remoteuser = {account.user.name}
remotepass = {account.user.password}
auth_mechanisms = PLAIN, LOGIN
maxconnections = 3
{tls}{only_these}""")

    def sync(self):
        for _ in range(10):
            result = clients.run(["offlineimap", "-c", self.configuration, "-o", "-u", "basic"], self.name,
                                 env={**os.environ, "HOME": str(self.folder)}, check=False)
            said = (result.stdout + result.stderr).decode("utf-8", "replace")
            errors = set(re.findall(r"^(?:ERROR|WARNING.*error).*|^.*Traceback.*", said, re.M | re.I))
            if result.returncode == 0 and not errors:
                return
            # It lists, then reads; a message that another client removed in between is an error to it, and it goes on.
            vanished = {e for e in errors if re.search(r"does not have a message with UID|Exceptions occurred|^Traceback:$", e)}
            if errors - vanished:
                raise ClientFailed(f"{self.name}: exit status {result.returncode}\n{said[-6000:]}")
        raise ClientFailed(f"{self.name}: it never got through\n{said[-6000:]}")


class Roundcube(Worker):
    """A page that lists, shows, marks and deletes, two requests at a time."""

    def prepare(self):
        self.mine = self.delivered(30)

    def work(self):
        with clients.Roundcube(self.account, self.folder) as webmail:
            webmail.login()
            while not self.over:
                problems = []

                def again():
                    try:
                        for _ in range(3):
                            webmail.list()
                    except Exception as error:
                        problems.append(error)
                beside = threading.Thread(target=again)
                beside.start()
                try:
                    self.page(webmail)
                finally:
                    beside.join()
                if problems:
                    raise problems[0]
                self.rounds += 1

    def page(self, webmail):
        listed = webmail.list()
        missing = set(self.mine) - set(listed)
        if missing:
            raise ClientFailed(f"{self.name}: the list lacks {missing}: {listed}\n{webmail.trouble()}")
        subject = self.mine[self.rounds % len(self.mine)]
        uid = listed[subject]
        shown = webmail.show(uid)
        if subject.encode() not in shown:
            text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>|\s+", " ", shown.decode("utf-8", "replace"))
            raise ClientFailed(f"{self.name}: the page of {subject} lacks its text: {text[:2000]}\n{webmail.trouble()}")
        webmail.action("mark", data={"_uid": uid, "_mbox": "INBOX", "_flag": "read"})
        webmail.action("mark", data={"_uid": uid, "_mbox": "INBOX", "_flag": "flagged"})
        self.crowd.inbox.flags(subject, frozenset({"\\Seen", "\\Flagged"}))
        if len(self.mine) > 2:
            gone = self.mine.pop()
            webmail.action("delete", data={"_uid": listed[gone], "_mbox": "INBOX"})
            self.crowd.inbox.gone(gone)


class Mutt(Worker):
    """Opened, used and closed again."""

    def prepare(self):
        self.mine = self.delivered(20)

    def work(self):
        while not self.over:
            subject = self.mine[0]
            flags = self.crowd.inbox.flags_of(subject) ^ {"\\Flagged"}
            keys = self.on(subject, f"<{'set' if flags else 'clear'}-flag>!")
            gone = self.mine.pop() if len(self.mine) > 2 else None
            if gone:
                keys += self.on(gone, "<delete-message>")
            clients.mutt(self.account, self.folder, keys + "<sync-mailbox><imap-fetch-mail><quit>", again=True)
            self.crowd.inbox.flags(subject, flags)
            if gone:
                self.crowd.inbox.gone(gone)
            self.rounds += 1

    @staticmethod
    def on(subject, key):
        """Keys for a message that is tagged: mutt's cursor is on another one when an EXPUNGE of one before it comes between
        the search and the key. It keeps the number of the message across its look for news (curs_main.c: index_hint).
        And only if one is tagged: when the keys are repeated it may be gone, and the key would be the cursor's."""
        return f"<tag-pattern>~s{subject}$<enter><tag-prefix-cond>{key}<end-cond><untag-pattern>~T<enter>"


class Delivery(Worker):
    """New mail: put there by the mail server, past every proxy, or (where that takes a lock) by a client."""

    def __init__(self, name, crowd, by_server):
        super().__init__(name, crowd)
        self.by_server = by_server

    def work(self):
        # who waits for mail in IDLE when the time is over gets some
        while not self.over or any(w.is_alive() for w in self.crowd.workers if isinstance(w, NodeImapIdling)):
            if self.by_server:
                self.delivered(1)
            else:
                self.append()
            self.rounds += 1
            time.sleep(1.5)

    def append(self):
        connection = clients.imaplib_connection(self.account)
        connection.login(self.account.user.name, self.account.user.password)
        subject = self.subject()
        body = message(subject)
        answer = connection.append("INBOX", "()", None, body)
        if answer[0] != "OK":
            raise ClientFailed(f"{self.name}: {answer}")
        self.crowd.inbox.put(subject, frozenset(), body)
        connection.logout()


class Crowd:
    """with_work: the clients use the mailbox Work, too."""

    def __init__(self, account, folder, seconds, with_work=True, delivery_by_server=True):
        self.account, self.folder, self.seconds = account, folder, seconds
        self.inbox = Expected()
        self.work = Expected() if with_work else None
        self.end = 0
        self.workers = [Imaplib(f"script{letter}", self, seed) for seed, letter in enumerate("abcd")]
        self.workers += [ImapflowWatching("imapflow", self), NodeImapIdling("nodeimap", self), Mbsync("mbsync", self),
                         Offlineimap("offlineimap", self), Roundcube("roundcube", self), Mutt("mutt", self)]
        self.workers.append(Delivery("delivery", self, delivery_by_server))

    def mailboxes(self):
        """The names of those that the clients use, or nothing: all that there are."""
        if self.work is None:
            return ["INBOX"]
        # imap4d lists its temporary files (muXXXXXX), which are gone when a client comes to open them
        return ["INBOX", self.account.work] if self.account.server.name == "imap4d" else []

    def run(self):
        """Returns what went wrong, as texts."""
        if self.work is not None:
            self.account.server.make_mailbox(self.account.user, "Work")
        for worker in self.workers:
            worker.prepare()
        self.end = time.monotonic() + self.seconds
        for worker in self.workers:
            worker.start()
        deadline = self.end + GRACE
        for worker in self.workers:
            worker.join(max(0, deadline - time.monotonic()))
        problems = [f"{w.name} is not done" for w in self.workers if w.is_alive()]
        problems += [f"{w.name}: {type(w.error).__name__}: {w.error}" for w in self.workers if w.error]
        if problems:
            return problems
        problems = self.differences()
        if problems:
            return problems
        for worker in self.workers:
            if isinstance(worker, Mirror):
                try:
                    worker.check_mirror()
                except Exception as error:
                    problems.append(str(error))
        return problems

    def differences(self):
        """imap4d writes flags when a mailbox is closed, which a proxy does some seconds after the last client left."""
        server, user = self.account.server, self.account.user
        deadline = time.monotonic() + 15
        while True:
            problems = self.inbox.differences(server.messages(user, "INBOX"))
            if self.work is not None:
                problems += [f"Work: {problem}" for problem in self.work.differences(server.messages(user, "Work"))]
            if not problems or time.monotonic() > deadline:
                return problems
            time.sleep(0.5)

    def rounds(self):
        return {worker.name: worker.rounds for worker in self.workers}
