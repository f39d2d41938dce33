"""Real mail clients, driven against (host, port, user, password).

Every client does the same work in a mailbox that holds the messages `one`, `two` and `three` (see prepare()), each by
the means it has, and tells what it saw. What must be on the server afterwards stands in Outcome; exit codes hide
missing work, so tests always compare both.
"""
import base64
import contextlib
import dataclasses
import html
import http.cookiejar
import imaplib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request

from common import HERE, LOOPBACK, Process, cache_folder, certificates, free_port, message, nasty_body

TIMEOUT = 60


@dataclasses.dataclass
class Account:
    """Where and as whom a client logs in, and what it has to know about the server behind."""
    server: object       # of servers.py
    user: object
    port: int
    tls: str = "none"    # none | starttls | implicit
    host: str = LOOPBACK
    concurrent: bool = True  # two sessions in one mailbox are safe: the server can do it, or the proxy sees to it

    @property
    def tls_name(self):
        return "localhost" if self.tls != "none" else self.host

    @property
    def work(self):
        return self.server.mailbox("Work")

    def has(self, capability):
        return capability in self.server.capabilities


class ClientFailed(AssertionError):
    """The client reported a failure; the text is what it said."""


def run(arguments, what, env=None, cwd=None, check=True, timeout=TIMEOUT):
    with subprocess.Popen(list(map(str, arguments)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env, cwd=cwd, start_new_session=True) as child:
        try:
            output, errors = child.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            output, errors = child.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise ClientFailed(f"{what}: not done within {timeout} s\n{errors.decode(errors='replace')[-4000:]}\n"
                               f"{output.decode(errors='replace')[-4000:]}") from None
    if check and child.returncode != 0:
        raise ClientFailed(f"{what}: exit status {child.returncode}\n{errors.decode(errors='replace')[-6000:]}\n"
                           f"{output.decode(errors='replace')[-2000:]}")
    return subprocess.CompletedProcess(arguments, child.returncode, output, errors)


# --- the work and what must come of it -------------------------------------------------------------------------------
@dataclasses.dataclass
class Outcome:
    """What the server must hold: (flags or None for any, body) in the order of the mailbox."""
    inbox: list
    work: list = None            # None: there is no such mailbox
    ignored_header: bytes = None

    def check(self, account):
        server, user = account.server, account.user
        server.wait_for_messages(user, "INBOX", self.inbox, ignored_header=self.ignored_header)
        if self.work is None:
            return
        # imap4d's COPY loses the flags
        work = [(None if server.name == "imap4d" else flags, body) for flags, body in self.work]
        server.wait_for_messages(user, "Work", work, ignored_header=self.ignored_header)


class Mail:
    """The messages of one run, delivered past every proxy."""

    def __init__(self, server, user):
        self.one = message("one")
        self.two = message("two", nasty_body())
        self.three = message("three", b"".join(b"line %06d of a message of some size\r\n" % n for n in range(5000)))
        self.four = message("four", nasty_body())
        server.fill(user, "INBOX", [self.one, self.two, self.three])


def same_body(server, seen, expected):
    """Byte-exact, but for the header lines that imap4d adds to what it serves."""
    if server.name == "imap4d":
        head, separator, body = seen.partition(b"\r\n\r\n")
        lines = [l for l in head.split(b"\r\n") if not re.match(rb"(?i)(x-)?status:|x-uid:|x-imapbase:", l)]
        seen = b"\r\n".join(lines) + separator + body
    return seen == expected


def check_bodies(account, seen, expected):
    """`seen`: bodies in the order of the mailbox."""
    if len(seen) != len(expected):
        raise ClientFailed(f"saw {len(seen)} messages instead of {len(expected)}")
    for number, (got, wanted) in enumerate(zip(seen, expected), 1):
        if not same_body(account.server, got, wanted):
            raise ClientFailed(f"message {number} came with {len(got)} bytes instead of {len(wanted)}, or with other ones: "
                               f"{got[:300]!r}")


# --- imaplib ---------------------------------------------------------------------------------------------------------
def imaplib_connection(account):
    context = ssl.create_default_context(cafile=certificates().ca)
    if account.tls == "implicit":
        connection = imaplib.IMAP4_SSL(account.tls_name, account.port, ssl_context=context, timeout=TIMEOUT)
    else:
        connection = imaplib.IMAP4(account.tls_name, account.port, timeout=TIMEOUT)
        if account.tls == "starttls":
            connection.starttls(context)
    return connection


def run_imaplib(account, mail, folder):
    connection = imaplib_connection(account)

    def must(answer):
        if answer[0] != "OK":
            raise ClientFailed(f"imaplib: {answer}")
        return answer[1]
    try:
        user = account.user.name
        must(connection.login(user, account.user.password))
        listed = must(connection.list())
        if not any(b"INBOX" in line for line in listed if line):
            raise ClientFailed(f"imaplib: LIST says {listed}")
        must(connection.create(account.work))
        must(connection.subscribe(account.work))
        must(connection.append("INBOX", "(\\Seen)", None, mail.four))
        count = int(must(connection.select("INBOX"))[0])
        if count != 4:
            raise ClientFailed(f"imaplib: SELECT says {count} messages")
        fetched = must(connection.fetch("1:4", "(UID BODY.PEEK[])"))
        check_bodies(account, [part[1] for part in fetched if isinstance(part, tuple)],
                     [mail.one, mail.two, mail.three, mail.four])
        must(connection.store("1", "+FLAGS", "(\\Flagged \\Seen)"))
        must(connection.copy("2:3", account.work))
        found = must(connection.search(None, "SUBJECT", "three"))
        if found != [b"3"]:
            raise ClientFailed(f"imaplib: SEARCH says {found}")
        must(connection.store("2:3", "+FLAGS.SILENT", "(\\Deleted)"))
        expunged = sorted(number for number in must(connection.expunge()) if number)
        # imap4d says EXPUNGED, which imaplib cannot know (a proxy may put that right)
        if expunged not in ([[b"2", b"2"], [b"2", b"3"]] + ([[]] if account.server.name == "imap4d" else [])):
            raise ClientFailed(f"imaplib: EXPUNGE says {expunged}")
        flags = must(connection.fetch("1:*", "(FLAGS)"))
        if len(flags) != 2 or b"\\Flagged" not in flags[0]:
            raise ClientFailed(f"imaplib: after the EXPUNGE, FETCH says {flags}")
        must(connection.close())
        status = must(connection.status(account.work, "(MESSAGES)"))[0]
        if b"MESSAGES 2" not in status:
            raise ClientFailed(f"imaplib: STATUS says {status}")
    finally:
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            connection.logout()
    return Outcome([({"\\Seen", "\\Flagged"}, mail.one), ({"\\Seen"}, mail.four)], [(set(), mail.two), (set(), mail.three)])


# --- curl ------------------------------------------------------------------------------------------------------------
def curl(account, path, *options, check=True, mailbox=None):
    scheme = "imaps" if account.tls == "implicit" else "imap"
    arguments = ["curl", "-sS", "--max-time", str(TIMEOUT), "--user", f"{account.user.name}:{account.user.password}"]
    if account.tls != "none":
        arguments += ["--cacert", certificates().ca]
    if account.tls == "starttls":
        arguments += ["--ssl-reqd"]
    return run([*arguments, *options, f"{scheme}://{account.tls_name}:{account.port}/{path}"], "curl", check=check).stdout


def run_curl(account, mail, folder):
    upload = folder / "four"
    upload.write_bytes(mail.four)
    listing = curl(account, "")
    if b"INBOX" not in listing:
        raise ClientFailed(f"curl: LIST says {listing}")
    curl(account, "", "-X", f"CREATE {account.work}")
    curl(account, "INBOX", "-T", upload)
    seen = [curl(account, f"INBOX;MAILINDEX={number}") for number in (1, 2, 3, 4)]
    check_bodies(account, seen, [mail.one, mail.two, mail.three, mail.four])
    answer = curl(account, "INBOX", "-X", "STORE 1 +FLAGS (\\Flagged)")
    if b"\\Flagged" not in answer:
        raise ClientFailed(f"curl: STORE says {answer}")
    curl(account, "INBOX", "-X", f"COPY 2:3 {account.work}")
    found = curl(account, "INBOX?SUBJECT%20three")
    if found.split() != [b"*", b"SEARCH", b"3"]:
        raise ClientFailed(f"curl: SEARCH says {found}")
    curl(account, "INBOX", "-X", "STORE 2:3 +FLAGS (\\Deleted)")
    curl(account, "INBOX", "-X", "EXPUNGE")
    # curl reads bodies with BODY[], which sets \Seen, also on the copies made afterwards; its upload is \Seen
    return Outcome([({"\\Seen", "\\Flagged"}, mail.one), ({"\\Seen"}, mail.four)],
                   [({"\\Seen"}, mail.two), ({"\\Seen"}, mail.three)])


# --- mbsync ----------------------------------------------------------------------------------------------------------
def write_mbsync_configuration(account, folder, patterns="*"):
    near = folder / "near"
    near.mkdir()
    tls = {"none": "None", "starttls": "STARTTLS", "implicit": "IMAPS"}[account.tls]
    configuration = folder / "mbsyncrc"
    configuration.write_text(f"""
IMAPAccount far
Host {account.tls_name}
Port {account.port}
User {account.user.name}
Pass "{account.user.password}"
SSLType {tls}
CertificateFile {certificates().ca}
SystemCertificates no
AuthMechs LOGIN
Timeout {TIMEOUT}

IMAPStore far
Account far

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns {patterns}
Create Both
Expunge Both
Sync All
CopyArrivalDate no
SyncState *
""")
    return configuration


def mbsync(configuration, folder):
    result = run(["mbsync", "-c", configuration, "-a", "-q"], "mbsync", env={**os.environ, "HOME": str(folder)})
    problems = [line for line in result.stderr.splitlines() if line.strip() and b"sent in the clear" not in line]
    if problems:
        raise ClientFailed(f"mbsync: {problems}")


def run_mbsync(account, mail, folder):
    near = folder / "near"
    configuration = write_mbsync_configuration(account, folder)

    def sync():
        mbsync(configuration, folder)

    def local(mailbox="INBOX"):
        files = [f for part in ("cur", "new") for f in (near / mailbox / part).iterdir()]
        by_subject = {}
        for file in files:
            body = re.sub(rb"\r?\n", b"\r\n", file.read_bytes())
            body = re.sub(rb"(?m)^X-TUID: .*\r\n", b"", body)  # mbsync's own mark
            by_subject[re.search(rb"(?m)^Subject: (\w+)", body).group(1).decode()] = (file, body)
        return by_subject
    sync()
    here = local()
    check_bodies(account, [here[n][1] for n in ("one", "two", "three")], [mail.one, mail.two, mail.three])

    def mark(name, letters):
        file = local()[name][0]
        file.rename(near / "INBOX" / "cur" / (file.name.split(":2,")[0] + ":2," + letters))
    mark("one", "FS")
    mark("two", "T")
    upload = account.has("UIDPLUS")  # mbsync 1.4 finds its uploads again by UIDPLUS only
    if upload:
        shutil.copytree(near / "INBOX", near / "Work", ignore=lambda d, n: [x for x in n if pathlib.Path(d).name in ("cur", "new", "tmp")
                                                                          or x.startswith(".")])
        for part in ("cur", "new", "tmp"):
            (near / "Work" / part).mkdir(exist_ok=True)
        (near / "Work" / "cur" / "1700000001.three.test:2,").write_bytes(mail.three.replace(b"\r\n", b"\n"))
        (near / "INBOX" / "cur" / "1700000002.four.test:2,S").write_bytes(mail.four.replace(b"\r\n", b"\n"))
    sync()
    # what was deleted here is gone here too, and a third run finds nothing to do
    if "two" in local():
        raise ClientFailed("mbsync: the deleted message is still there")
    sync()
    inbox = [({"\\Seen", "\\Flagged"}, mail.one), (set(), mail.three)]
    if not upload:
        return Outcome(inbox)
    return Outcome([*inbox, ({"\\Seen"}, mail.four)], [(set(), mail.three)], b"X-TUID")


# --- mutt ------------------------------------------------------------------------------------------------------------
def run_in_terminal(arguments, what, env, timeout=TIMEOUT, nudges=()):
    """Runs a full-screen program until it ends by itself; returns its status and what it drew.

    nudges: keys for one that does not end: every few seconds the next.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvpe(arguments[0], arguments, env)
        finally:
            os._exit(127)
    output, deadline = b"", time.monotonic() + timeout
    nudges, next_nudge = list(nudges), time.monotonic() + 8
    try:
        while True:
            if time.monotonic() > deadline:
                raise ClientFailed(f"{what}: not done within {timeout} s; its screen:\n{output.decode(errors='replace')[-3000:]}")
            if nudges and time.monotonic() > next_nudge:
                os.write(terminal, nudges.pop(0))
                next_nudge = time.monotonic() + 4
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            output += data
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), output


def run_mutt(account, mail, folder):
    if account.server.name == "imap4d":  # hides its TRYCREATE in the text, so that mutt doesn't create what is missing
        account.server.make_mailbox(account.user, "Work")
    saved = folder / "saved"
    screen = mutt(account, folder, "".join([
        "/~s^one$<enter><flag-message>",
        f"/~s^two$<enter><copy-message><kill-line>={account.work}<enter>",
        f"/~s^two$<enter><copy-message><kill-line>{saved}<enter>",
        "/~s^two$<enter><delete-message>",
        f"/~s^three$<enter><copy-message><kill-line>{saved}<enter>",
        f"/~s^three$<enter><save-message><kill-line>={account.work}<enter>",
        "<sync-mailbox><quit>",
    ]))
    # what it saved to a local mbox is what it read from the server (it adds and drops lines of the mbox format)
    data = saved.read_bytes().replace(b"\r\n", b"\n") if saved.exists() else b""
    for body in (mail.two, mail.three):
        text = body.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
        if text not in data:
            raise ClientFailed(f"mutt: a message saved to disk lacks its text ({len(data)} bytes saved)\n"
                               + screen.decode(errors="replace")[-3000:])
    return Outcome([({"\\Flagged"}, mail.one)], [(None, mail.two), (None, mail.three)])


def mutt(account, folder, keys, again=False):
    """Opens INBOX, does what the keys say, which end it; returns what it drew.

    again: they may be repeated. mutt forgets keys it has not read yet when it tells of new mail or lost messages.
    """
    scheme = "imaps" if account.tls == "implicit" else "imap"
    url = f"{scheme}://{urllib.parse.quote(account.user.name, safe='')}@{account.tls_name}:{account.port}/"
    configuration = folder / "muttrc"
    configuration.write_text(f"""
set folder = "{url}"
set spoolfile = "{url}INBOX"
set imap_user = "{account.user.name}"
set imap_pass = "{account.user.password}"
set imap_authenticators = "plain:login"
set ssl_starttls = {"yes" if account.tls == "starttls" else "no"}
set ssl_force_tls = {"no" if account.tls == "none" else "yes"}
set certificate_file = "{certificates().ca if account.tls != "none" else folder / 'none'}"
set tmpdir = "{folder}"
set sleep_time = 0
set quit = yes
set delete = yes
set move = no
set mark_old = no
set confirmappend = no
set confirmcreate = no
set copy = no
set mbox_type = mbox
set wait_key = no
set imap_idle = yes
set header_cache = ""
unset message_cachedir
set postponed = "{folder}/postponed"
set record = ""
macro index \\cx "{keys}"
push "\\cx"
""")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "vt100", "LC_ALL": "C.UTF-8",
                   "LINES": "40", "COLUMNS": "120"}
    status, screen = run_in_terminal(["mutt", "-n", "-F", str(configuration)], "mutt", environment,
                                     nudges=[b"\x07\x18", b"\x07q"] * 3 if again else ())
    if status != 0:
        raise ClientFailed(f"mutt: exit status {status}; its screen:\n{screen.decode(errors='replace')[-3000:]}")
    return screen


# --- the clients from npm ----------------------------------------------------------------------------------------------
class NodeClient:
    """A script of node/ as a child that reports events."""

    def __init__(self, script, account, what, folder, **options):
        modules = cache_folder() / "node" / "node_modules"
        if not modules.is_dir():
            raise AssertionError(f"no {modules}: run script/bootstrap test")
        job = {"host": account.tls_name, "port": account.port, "tls": account.tls, "user": account.user.name,
               "password": account.user.password, "work": account.work, "what": what, **options}
        if account.tls != "none":
            job["ca"] = str(certificates().ca)
        self.name = f"{script} ({what})"
        self.events = []
        self.errors = open(folder / f"{script}.{what}.errors", "w+b")
        # a link beside a copy of the script: Node.js looks for modules next to the script
        home = folder / "node"
        if not home.exists():
            home.mkdir()
            (home / "node_modules").symlink_to(modules)
        shutil.copy(HERE / "node" / f"{script}.js", home)
        self.child = subprocess.Popen(["node", str(home / f"{script}.js"), json.dumps(job)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        self.child.stdout.close()
        self.errors.close()

    def _trouble(self, text):
        self.errors.seek(0)
        return ClientFailed(f"{self.name}: {text}; events {json.dumps(self.events)[-3000:]}\n"
                            f"{self.errors.read().decode(errors='replace')[-6000:]}")

    def wait_for(self, name, timeout=TIMEOUT):
        """The next event of that name; other events on the way are kept in .events."""
        deadline = time.monotonic() + timeout
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                event = json.loads(line)
                self.events.append(event)
                if event["event"] == name:
                    return event
                if event["event"] in ("failed", "error", "refused"):
                    raise self._trouble("failed")
            if not select.select([self.child.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise self._trouble(f"no event {name} within {timeout} s")
            data = os.read(self.child.stdout.fileno(), 65536)
            if not data:
                raise self._trouble(f"ended with {self.child.wait()} without the event {name}")
            self.buffer += data

    def finish(self):
        self.wait_for("done")
        if self.child.wait(TIMEOUT) != 0:
            raise self._trouble(f"exit status {self.child.returncode}")
        return {e["event"]: e for e in self.events}


def _run_node(script, account, mail, folder):
    upload = folder / "four"
    upload.write_bytes(mail.four)
    with NodeClient(script, account, "work", folder, upload=str(upload)) as client:
        events = client.finish()
    if "INBOX" not in events["list"]["mailboxes"]:
        raise ClientFailed(f"{script}: LIST says {events['list']}")
    bodies = [base64.b64decode(b) for _, b in sorted(events["bodies"]["bodies"].items(), key=lambda item: int(item[0]))]
    check_bodies(account, bodies, [mail.one, mail.two, mail.three, mail.four])
    if len(events["search"]["uids"]) != 2:
        raise ClientFailed(f"{script}: SEARCH says {events['search']}")
    if events["status"]["messages"] != 2:
        raise ClientFailed(f"{script}: STATUS says {events['status']}")
    return events


def run_imapflow(account, mail, folder):
    _run_node("imapflow_client", account, mail, folder)
    return Outcome([({"\\Seen", "\\Flagged"}, mail.one), ({"\\Seen"}, mail.four)], [(set(), mail.two), (set(), mail.three)])


def run_node_imap(account, mail, folder):
    mail.four = message("four", nasty_body().replace(b"\xff\xfe\x80", b""))  # it uploads valid UTF-8 only
    _run_node("node_imap_client", account, mail, folder)
    return Outcome([({"\\Seen", "\\Flagged"}, mail.one), ({"\\Seen"}, mail.four)], [(set(), mail.two), (set(), mail.three)])


# --- Roundcube ---------------------------------------------------------------------------------------------------------
class Roundcube:
    """Debian's Roundcube under PHP's own web server, with a configuration and a database of its own."""
    root = pathlib.Path("/usr/share/roundcube")

    def __init__(self, account, folder):
        self.account = account
        self.folder = folder / "roundcube"
        self.port = free_port()

    def __enter__(self):
        configuration = self.folder / "config"
        for path in (configuration, self.folder / "temp", self.folder / "logs"):
            path.mkdir(parents=True)
        for name in ("defaults.inc.php", "mimetypes.php"):
            (configuration / name).symlink_to(pathlib.Path("/etc/roundcube") / name)
        account = self.account
        scheme = {"none": "", "starttls": "tls://", "implicit": "ssl://"}[account.tls]
        options = f"""$config['imap_conn_options'] = ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true,
            'cafile' => '{certificates().ca}']];""" if account.tls != "none" else ""
        (configuration / "config.inc.php").write_text(f"""<?php
$config = [];
$config['db_dsnw'] = 'sqlite:///{self.folder}/roundcube.db?mode=0640';
$config['imap_host'] = '{scheme}{account.tls_name}:{account.port}';
{options}
$config['imap_timeout'] = {TIMEOUT};
$config['smtp_host'] = 'localhost:1';
$config['des_key'] = 'imapmux-tests-24-bytes!!';
$config['log_driver'] = 'file';
$config['log_dir'] = '{self.folder}/logs/';
$config['temp_dir'] = '{self.folder}/temp/';
$config['plugins'] = [];
$config['language'] = 'en_US';
$config['skin'] = 'elastic';
$config['create_default_folders'] = false;
$config['drafts_mbox'] = $config['junk_mbox'] = $config['sent_mbox'] = $config['trash_mbox'] = '';
$config['use_https'] = false;
$config['ip_check'] = false;
$config['session_samesite'] = 'Lax';
$config['check_all_folders'] = true;
$config['mail_pagesize'] = 500;
""")
        self.process = Process(["php", "-d", "session.save_path=" + str(self.folder / "temp"), "-S",
                                f"{LOOPBACK}:{self.port}", "-t", self.root], self.folder / "php.log", cwd=self.folder,
                               env={**os.environ, "ROUNDCUBE_CONFIG_DIR": str(configuration), "PHP_CLI_SERVER_WORKERS": "4"})
        self.process.wait_for_port(self.port)
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.token = ""
        return self

    def __exit__(self, *_):
        self.process.stop()

    def trouble(self):
        logs = "".join(p.read_text("utf-8", "replace") for p in (self.folder / "logs").iterdir())
        return logs[-3000:] + self.process.log()[-1500:]

    def request(self, query, data=None):
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.port}/?" + urllib.parse.urlencode(query),
                                         urllib.parse.urlencode(data).encode() if data is not None else None)
        if self.token:
            request.add_header("X-Roundcube-Request", self.token)
        try:
            with self.opener.open(request, timeout=TIMEOUT) as response:
                return response.read()
        except (urllib.error.HTTPError, OSError) as error:
            detail = error.read().decode(errors="replace")[-500:] if hasattr(error, "read") else ""
            raise ClientFailed(f"Roundcube: {query}: {error} {detail}\n{self.trouble()}") from None

    def _remember_token(self, page):
        match = re.search(rb'"request_token":"(\w+)"', page)
        if not match:
            raise ClientFailed(f"Roundcube: no request token\n{self.trouble()}")
        self.token = match.group(1).decode()

    def login(self):
        self._remember_token(self.request({"_task": "login"}))
        page = self.request({"_task": "login"}, {"_task": "login", "_action": "login", "_token": self.token,
                                                 "_user": self.account.user.name, "_pass": self.account.user.password})
        if b'"task":"mail"' not in page:
            raise ClientFailed(f"Roundcube: login failed\n{self.trouble()}")
        self._remember_token(page)

    def action(self, action, query=None, data=None):
        """A request of its page's script; an error message it would show is a failure."""
        result = json.loads(self.request({"_task": "mail", "_action": action, "_remote": "1", **(query or {})}, data))
        code = result.get("exec", "")
        problem = re.search(r'display_message\("((?:[^"\\]|\\.)*)","(error|warning)"', code)
        if problem:
            raise ClientFailed(f"Roundcube: {action}: {html.unescape(problem.group(1))}\n{self.trouble()}")
        return code

    def list(self, mailbox="INBOX"):
        """UIDs by subject."""
        code = self.action("list", {"_mbox": mailbox, "_refresh": "1"})
        rows = re.findall(r'add_message_row\((\d+),(\{.*?\}),', code)
        found = {}
        for uid, row in rows:
            subject = re.search(r'"subject":"((?:[^"\\]|\\.)*)"', row).group(1)
            found[re.sub(r"<[^>]*>", "", json.loads(f'"{subject}"')).strip()] = uid
        return found

    def source(self, uid, mailbox="INBOX"):
        return self.request({"_task": "mail", "_action": "viewsource", "_uid": uid, "_mbox": mailbox, "_save": "1"})

    def show(self, uid, mailbox="INBOX"):
        return self.request({"_task": "mail", "_action": "show", "_uid": uid, "_mbox": mailbox})


def run_roundcube(account, mail, folder):
    account.server.make_mailbox(account.user, "Work")
    with Roundcube(account, folder) as webmail:
        webmail.login()
        listed = webmail.list()
        if set(listed) != {"one", "two", "three"}:
            raise ClientFailed(f"Roundcube: the list shows {listed}\n{webmail.trouble()}")
        page = webmail.show(listed["one"])
        if b"Hello" not in page:
            raise ClientFailed(f"Roundcube: the message's page lacks its text\n{webmail.trouble()}")
        check_bodies(account, [webmail.source(listed[n]) for n in ("one", "two", "three")], [mail.one, mail.two, mail.three])
        webmail.action("mark", data={"_uid": listed["one"], "_mbox": "INBOX", "_flag": "flagged"})
        webmail.action("mark", data={"_uid": listed["one"], "_mbox": "INBOX", "_flag": "read"})
        # two requests at once, as its page makes them: each has its own IMAP connection
        problems = []

        def again():
            try:
                for _ in range(3):
                    webmail.list()
            except Exception as error:
                problems.append(error)
        other = threading.Thread(target=again if account.concurrent else lambda: None)
        other.start()
        try:
            webmail.action("copy", data={"_uid": listed["two"], "_mbox": "INBOX", "_target_mbox": account.work})
            webmail.action("move", data={"_uid": listed["three"], "_mbox": "INBOX", "_target_mbox": account.work})
            webmail.action("delete", data={"_uid": listed["two"], "_mbox": "INBOX"})
        finally:
            other.join()
        if problems:
            raise problems[0]
        if set(webmail.list()) != {"one"} or set(webmail.list(account.work)) != {"two", "three"}:
            raise ClientFailed(f"Roundcube: at the end it lists {webmail.list()} and {webmail.list(account.work)}")
    return Outcome([({"\\Seen", "\\Flagged"}, mail.one)], [(None, mail.two), (None, mail.three)])


CLIENTS = {
    "imaplib": run_imaplib, "curl": run_curl, "mbsync": run_mbsync, "mutt": run_mutt, "imapflow": run_imapflow,
    "node_imap": run_node_imap, "roundcube": run_roundcube,
}
