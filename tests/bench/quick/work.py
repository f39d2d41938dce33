"""The pieces of work whose cost is recorded, and in which settings each of them is done."""

import conversation

PIPELINED = 100  # commands in one packet
FEW = 5          # likewise, of many clients
SOME = 8         # clients
CROWD = 20       # many clients


class Session:
    """Whose work it is: the world, and a client that has INBOX open."""

    def __init__(self, world):
        self.world = world
        self.users = 0
        self.boxes = 0
        self.crowd = []
        self.client = self.logged_in(b"alice")
        self.client.command(b"SELECT INBOX")

    def logged_in(self, user):
        client = conversation.Client(self.world)
        client.command(b"LOGIN %s secret" % user)
        return client

    def gather(self, users):
        """Logs in more clients, who open INBOX; once."""
        while len(self.crowd) < len(users):
            self.crowd.append(self.logged_in(users[len(self.crowd)]))
            self.crowd[-1].command(b"SELECT INBOX")
        return self.crowd


def login(session, times):
    """From connecting to disconnecting, by a user whom the proxy has not seen before."""
    for _ in range(times):
        session.users += 1
        leave(session.logged_in(b"user%06d" % session.users))


def login_warm(session, times):
    """... by a user who is logged in already."""
    for _ in range(times):
        leave(session.logged_in(b"alice"))


def leave(client):
    client.command(b"LOGOUT")
    client.close()


def noop(session, times):
    for _ in range(times):
        session.client.command(b"NOOP")


def noop_pipelined(session, times):
    for _ in range(times // PIPELINED):
        session.client.commands([b"NOOP"] * PIPELINED)


def noop_of_many(session, times):
    """Eight users, so that every worker has some."""
    crowd = session.gather([b"bob%d" % number for number in range(8)])
    for i in range(times):
        crowd[i % len(crowd)].command(b"NOOP")


def noop_at_once(session, times):
    """Many users send some at once, and again when all are answered: every worker has its hands full."""
    crowd = session.gather([b"bob%d" % number for number in range(CROWD)])
    for _ in range(times // (CROWD * FEW)):
        for client in crowd:
            client.post([b"NOOP"] * FEW)
        session.world.turn_until(lambda: all([client.answered() for client in crowd]))


def fetch(session, times):
    for i in range(times):
        session.client.command(b"FETCH %d BODY.PEEK[]" % (i % conversation.MESSAGES + 1))


def fetch_pipelined(session, times):
    for _ in range(times // PIPELINED):
        session.client.commands([b"FETCH %d BODY.PEEK[]" % (i + 1) for i in range(PIPELINED)])


def listing(session, times):
    for _ in range(times):
        session.client.command(b"UID FETCH 1:* (FLAGS)")


def listing_at_once(session, times):
    """All clients of one user ask before the first one is answered."""
    crowd = session.gather([b"alice"] * SOME)
    for _ in range(times // SOME):
        for client in crowd:
            client.post([b"UID FETCH 1:* (FLAGS)"])
            session.world.proxy.settle()
        session.world.turn_until(lambda: all([client.answered() for client in crowd]))


def mebibyte(session, times):
    session.client.command(b"FETCH 7 BODY.PEEK[]<0.%d>" % (times << 20))


def store(session, times):
    for i in range(times):
        session.client.command(b"UID STORE %d +FLAGS (\\Seen)" % conversation.uid_of(i % conversation.MESSAGES + 1))


def select(session, times):
    """A mailbox that is open already."""
    for _ in range(times):
        session.client.command(b"SELECT INBOX")


def select_new(session, times):
    """A mailbox that nobody has open."""
    for _ in range(times):
        session.boxes += 1
        session.client.command(b"SELECT box%d" % session.boxes)
    session.client.command(b"SELECT INBOX")


def tell(session, times):
    """One change in the mailbox, told to one of many clients of one user in IDLE."""
    if not session.crowd:
        for client in session.gather([b"alice"] * CROWD):
            client.start_idle()
        session.world.turn_until(lambda: session.world.backend.idle)  # the proxy waits for some quiet
    for i in range(times // CROWD):
        before = [client.total for client in session.crowd]
        session.world.backend.tell_idle(b"* 7 FETCH (FLAGS (\\Seen%s))\r\n" % (b"" if i % 2 else b" \\Flagged"))
        session.world.turn()
        if any(client.total == count for client, count in zip(session.crowd, before)):
            raise SystemExit("a client in IDLE was not told")


class Work:
    """A piece of work: `function` is called to do it `times` times, and as often as `warming` says before that."""

    def __init__(self, name, function, times, warming):
        self.name, self.function, self.times, self.warming = name, function, times, warming


LOGIN = Work("login", login, 3, 2)
LOGIN_WARM = Work("login, warm account", login_warm, 3, 2)
NOOP = Work("NOOP", noop, 50, 10)
NOOP_PIPELINED = Work("NOOP, pipelined", noop_pipelined, PIPELINED, PIPELINED)
NOOP_OF_MANY = Work("NOOP, 8 clients", noop_of_many, 40, 16)
NOOP_AT_ONCE = Work("NOOP, 20 clients at once", noop_at_once, 50 * CROWD * FEW, 5 * CROWD * FEW)
FETCH = Work("FETCH, 1 KiB", fetch, 50, 10)
FETCH_PIPELINED = Work("FETCH, 1 KiB, pipelined", fetch_pipelined, PIPELINED, PIPELINED)
LISTING = Work("FLAGS of 1,000 messages", listing, 2, 1)
LISTING_AT_ONCE = Work("FLAGS of 1,000 messages, at once", listing_at_once, SOME, SOME)
STORE = Work("UID STORE", store, 50, 10)
SELECT = Work("SELECT, open, 1,000 messages", select, 5, 2)
SELECT_NEW = Work("SELECT, not open, 1,000 messages", select_new, 2, 1)
TELL = Work("change told in IDLE, per client", tell, 10 * CROWD, 2 * CROWD)
MEBIBYTE = Work("MiB of a literal", mebibyte, 3, 1)


class Setting:
    """counts: "all", of one thing at a time, or only the "futex" calls, at full speed."""

    def __init__(self, name, access, works, tls=False, workers=1, counts="all"):
        self.name, self.access, self.works, self.tls, self.workers = name, access, works, tls, workers
        self.counts = counts


RELAYED = [LOGIN, NOOP, NOOP_PIPELINED, FETCH, FETCH_PIPELINED, LISTING, MEBIBYTE]
SHARED = RELAYED + [STORE, SELECT, SELECT_NEW]
SETTINGS = [
    Setting("shared", "shared", SHARED + [LOGIN_WARM]),
    Setting("shared, 20 clients", "shared", [TELL]),
    Setting("shared, 8 clients", "shared", [LISTING_AT_ONCE]),
    Setting("exclusive", "exclusive", SHARED),
    Setting("shared, TLS", "shared", [LOGIN_WARM, NOOP, FETCH, LISTING, MEBIBYTE], tls=True),
    Setting("unrestricted, TLS", "unrestricted", [LOGIN, NOOP, FETCH, LISTING, MEBIBYTE], tls=True),
    Setting("unrestricted", "unrestricted", RELAYED),
    Setting("shared, 2 workers", "shared", [NOOP_OF_MANY], workers=2),
    Setting("unrestricted, 2 workers", "unrestricted", [NOOP_OF_MANY], workers=2),
    Setting("shared, 2 busy workers", "shared", [NOOP_AT_ONCE], workers=2, counts="futex"),
    Setting("unrestricted, 2 busy workers", "unrestricted", [NOOP_AT_ONCE], workers=2, counts="futex"),
]
