"""Real IMAP servers on loopback, each with its own temporary folder, and a look at their mail on disk.

    with Dovecot() as server:
        user = server.new_user()
        ... server.port, user.name, user.password ...
        server.messages(user, "INBOX")      # what is really there, past every proxy

They run as root (then the mail belongs to the user `mail`) as well as for a normal user, without touching any
account, configuration or spool of the machine.
"""
import base64
import contextlib
import dataclasses
import getpass
import grp
import hashlib
import hmac
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from common import LOOPBACK, Process, accepts, cache_folder, certificates, free_port, temp_folder, wait_until
from raw import RawClient

USERS = 40  # made beforehand for every server: passwords are never changed under a running one


@dataclasses.dataclass(frozen=True)
class User:
    name: str
    password: str


@dataclasses.dataclass(frozen=True)
class Stored:
    """A message on disk: what IMAP calls its flags, and its bytes with CRLF."""
    flags: frozenset
    body: bytes
    uid: int = dataclasses.field(default=0, compare=False)

    @property
    def subject(self):
        match = re.search(rb"(?im)^subject: *([^\r\n]*)", self.body)
        return match.group(1).decode("utf-8", "replace") if match else ""


def crlf(data):
    return re.sub(rb"\r?\n", b"\r\n", data)


def mail_owner():
    """uid and gid that the mail belongs to."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam("mail")
        return entry.pw_uid, entry.pw_gid
    return os.getuid(), os.getgid()


class Server:
    name = ""
    delimiter = "/"
    inbox_prefix = ""        # of all mailboxes but INBOX
    capabilities = frozenset()  # what tests and clients depend on
    pushes_in_idle = False
    tls = False

    def __init__(self):
        self.host = LOOPBACK
        self.port = free_port()
        self.tls_port = None
        self.users = {}
        self._handed_out = 0
        self._stack = contextlib.ExitStack()
        self.folder = None

    def __enter__(self):
        try:
            self.folder = self._stack.enter_context(temp_folder(self.name))
            self.uid, self.gid = mail_owner()
            for number in range(1, USERS + 1):
                self._make_user(User(f"user{number:02}@example.test", f"secret-{number:02}"))
            # every character that may need quoting, and a name without a domain part that imap4d could not have
            self.odd_user = User("odd.user@example.test", 'p ä"ss\\w{3}%')
            self._make_user(self.odd_user)
            self.start()
            return self
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self._stack.close()

    def launch(self):
        """Starts the program; start() has written what it needs before."""
        raise NotImplementedError

    def kill(self):
        """kill -9 of the server with all its sessions, as when the machine goes down."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.popen.wait()
        wait_until(lambda: not accepts(self.port), what=f"{self.name} is gone")

    def _make_user(self, user):
        self.users[user.name] = user
        self.make_home(user)

    def new_user(self):
        """A user nobody used before."""
        self._handed_out += 1
        return list(self.users.values())[self._handed_out - 1]

    def mailbox(self, name):
        """A name as the server wants it: `Work` is INBOX.Work on Courier."""
        return name if name.upper() == "INBOX" else self.inbox_prefix + name.replace("/", self.delimiter)

    def connect(self, user=None, tls=False):
        client = RawClient(self.tls_port if tls else self.port, tls=tls)
        return client.login(user.name, user.password) if user else client

    def fill(self, user, mailbox, bodies, flags=()):
        """Delivers messages and has the server number them, in this order."""
        for body in bodies:
            self.deliver(user, mailbox, body, flags)
            with self.connect(user, tls=self.tls) as client:
                reply = client.command(f"SELECT {self.mailbox(mailbox)}")
                assert reply.ok, reply
                client.command("LOGOUT")

    def log(self):
        return self.process.log()

    def _own(self, *paths):
        if os.geteuid() == 0:
            for path in paths:
                os.chown(path, self.uid, self.gid)

    def wait_for_messages(self, user, mailbox, expected, timeout=10, ignored_header=None):
        """Waits until the mailbox holds exactly these (flags, body) in this order; says what it holds if it doesn't.

        Flags None: any. `ignored_header`: a header line that the client adds.
        """
        expected = [(None if flags is None else frozenset(flags), body) for flags, body in expected]
        header = re.compile(rb"(?im)^" + ignored_header + rb": .*\r\n") if ignored_header else None
        seen = None

        def same():
            nonlocal seen
            seen = [(m.flags, header.sub(b"", m.body, 1) if header else m.body) for m in self.messages(user, mailbox)]
            return len(seen) == len(expected) and all(
                body == wanted and (flags is None or has == flags) for (has, body), (flags, wanted) in zip(seen, expected))
        try:
            wait_until(same, timeout, "state of the server")
        except AssertionError:
            def show(messages):
                return "\n".join(f"    {'any flags' if f is None else sorted(f)} {len(b)} bytes {hashlib.sha1(b).hexdigest()[:8]} "
                                 f"{Stored(f or frozenset(), b).subject!r}" for f, b in messages) or "    (nothing)"
            raise AssertionError(f"{self.name}: {mailbox} of {user.name} holds\n{show(seen)}\n  and not\n{show(expected)}"
                                 ) from None


class MaildirServer(Server):
    maildir_letters = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "T": "\\Deleted", "D": "\\Draft"}
    uid_list = ""
    uid_pattern = b""

    def home(self, user):
        return self.folder / "home" / user.name

    def maildir(self, user, mailbox="INBOX"):
        root = self.home(user) / "Maildir"
        return root if mailbox.upper() == "INBOX" else root / ("." + mailbox.replace("/", "."))

    def make_home(self, user):
        home = self.home(user)
        home.mkdir(parents=True)
        self._own(home)
        self._make_maildir(home / "Maildir")

    def _make_maildir(self, path):
        for part in (path, path / "cur", path / "new", path / "tmp"):
            part.mkdir(mode=0o700)
            self._own(part)

    def make_mailbox(self, user, mailbox):
        path = self.maildir(user, mailbox)
        self._make_maildir(path)
        marker = path / "maildirfolder"
        marker.touch()
        self._own(marker)

    def deliver(self, user, mailbox, body, flags=()):
        """Puts a message there as a mail server would: no IMAP session involved."""
        path = self.maildir(user, mailbox)
        name = f"{time.time():.6f}.{time.monotonic_ns()}.test"
        letters = "".join(sorted(k for k, v in self.maildir_letters.items() if v in flags))
        temporary = path / "tmp" / name
        temporary.write_bytes(body.replace(b"\r\n", b"\n"))
        self._own(temporary)
        temporary.rename(path / "cur" / f"{name}:2,{letters}" if flags else path / "new" / name)

    def mailboxes(self, user):
        root = self.home(user) / "Maildir"
        return {"INBOX"} | {p.name[1:].replace(".", "/") for p in root.iterdir()
                            if p.is_dir() and p.name.startswith(".") and (p / "cur").is_dir()}

    def messages(self, user, mailbox="INBOX"):
        path = self.maildir(user, mailbox)
        uids = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (path / self.uid_list).read_bytes().splitlines()[1:]:
                match = re.match(self.uid_pattern, line)
                if match:
                    uids[match.group(2).decode().split(":")[0]] = int(match.group(1))
        found = []
        for part in ("cur", "new"):
            for file in list((path / part).iterdir()) if (path / part).is_dir() else []:
                base, _, letters = file.name.partition(":2,")
                flags = frozenset(self.maildir_letters[c] for c in letters if c in self.maildir_letters)
                with contextlib.suppress(FileNotFoundError):  # renamed meanwhile; whoever compares looks again
                    found.append((uids.get(base, 1 << 40), base, Stored(flags, crlf(file.read_bytes()), uids.get(base, 0))))
        return [m for _, _, m in sorted(found, key=lambda f: f[:2])]


class Dovecot(MaildirServer):
    name = "dovecot"
    capabilities = frozenset("UIDPLUS MOVE IDLE LITERAL+ UNSELECT SPECIAL-USE ESEARCH SORT".split())
    pushes_in_idle = True
    uid_list = "dovecot-uidlist"
    uid_pattern = rb"(\d+) [^:]*:(.*)$"
    master = User("master", "master-secret")

    def __init__(self, tls=False, max_userip_connections=0, oauth=False, port=None, settings=""):
        """tls: only TLS logins are allowed (STARTTLS on .port, implicit on .tls_port)."""
        super().__init__()
        self.tls = tls
        if tls:
            self.name = "dovecot-tls"
        self.port = port or self.port
        self.tls_port = free_port()
        self.max_userip_connections = max_userip_connections
        self.oauth = oauth
        self.settings = settings
        self.jwt_key = b"imapmux integration tests"

    def start(self):
        folder, tls = self.folder, certificates()
        (folder / "users").write_text("".join(f"{u.name}:{{PLAIN}}{u.password}\n" for u in self.users.values()), "utf-8")
        (folder / "masters").write_text(f"{self.master.name}:{{PLAIN}}{self.master.password}\n")
        root = os.geteuid() == 0
        me = getpass.getuser()
        internal, login = ("dovecot", "dovenull") if root else (me, me)
        owner = "" if root else f"default_internal_group = {grp.getgrgid(os.getgid()).gr_name}\n"
        services = "" if root else "".join(f"service {s} {{\n  chroot =\n}}\n" for s in ("anvil", "stats", "imap-login"))
        # no delay that grows with each refused login from one address
        services += "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
        tokens = ""
        if self.oauth:
            keys = folder / "keys" / "default" / "HS256"
            keys.mkdir(parents=True)
            (keys / "default").write_bytes(base64.b64encode(self.jwt_key))
            (folder / "oauth2.conf").write_text(
                f"introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={folder}/keys/\n"
                "username_attribute = email\n")
            tokens = f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {folder}/oauth2.conf\n}}\n"
        for name in ("run", "state"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "dovecot.conf").write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = imapmux-test-{self.port}
log_path = {folder}/dovecot.log
protocols = imap
listen = {LOOPBACK}
default_internal_user = {internal}
default_login_user = {login}
{owner}first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mailbox_list_index = no
namespace inbox {{
  inbox = yes
  separator = /
}}
disable_plaintext_auth = {"yes" if self.tls else "no"}
ssl = {"required" if self.tls else "yes"}
ssl_cert = <{tls.certificate}
ssl_key = <{tls.key}
auth_mechanisms = plain login{" xoauth2 oauthbearer" if self.oauth else ""}
auth_failure_delay = 0
auth_master_user_separator = *
passdb {{
  driver = passwd-file
  master = yes
  args = {folder}/masters
  result_success = continue
}}
{tokens}passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={self.uid} gid={self.gid} home={folder}/home/%u
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
{services}
protocol imap {{
  mail_plugins = zlib imap_zlib
  mail_max_userip_connections = {self.max_userip_connections}
}}
{self.settings}
""")
        self.launch()

    def launch(self):
        self.process = Process(["dovecot", "-F", "-c", self.folder / "dovecot.conf"], self.folder / "output.log")
        self.process.wait_for_port(self.port)

    def stop(self):
        if getattr(self, "process", None):
            self.process.stop()

    def log(self):
        log = self.folder / "dovecot.log"
        return self.process.log() + (log.read_text("utf-8", "replace") if log.exists() else "")

    def sessions(self, user):
        """Pids of the imap processes serving a user (found by doveadm; none of the machine's own Dovecot)."""
        output = subprocess.run(["doveadm", "-c", self.folder / "dovecot.conf", "-f", "tab", "who", "-1", user.name],
                                capture_output=True, text=True).stdout
        return sorted({int(field) for line in output.splitlines()[1:] for field in line.split("\t")[2:3] if field.isdigit()})

    def kill_sessions(self, user):
        """kill -9 of every imap process of the user, as when the machine kills it for its memory."""
        pids = wait_until(lambda: self.sessions(user), what=f"a session of {user.name}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def token(self, user, lasts=3600):
        """A signed JWT for XOAUTH2 and OAUTHBEARER."""
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        now = int(time.time())
        head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        claims = part(json.dumps({"email": user.name, "sub": user.name, "iat": now - 100, "nbf": now - 100,
                                  "exp": now + lasts}).encode())
        signature = part(hmac.new(self.jwt_key, head + b"." + claims, hashlib.sha256).digest())
        return (head + b"." + claims + b"." + signature).decode()


class Imap4d(Server):
    """GNU mailutils' imap4d on mbox files, with a password file of its own (a `virtual domain`)."""
    name = "imap4d"
    capabilities = frozenset("IDLE LITERAL+ UNSELECT".split())
    domain = "example.test"

    def home(self, user):
        return self.folder / "home" / user.name.split("@")[0]

    def path(self, user, mailbox="INBOX"):
        return self.home(user) / ("INBOX" if mailbox.upper() == "INBOX" else mailbox)

    def make_home(self, user):
        self.home(user).mkdir(parents=True)
        self._own(self.home(user))
        self.make_mailbox(user, "INBOX")  # APPEND fails while there is none

    def make_mailbox(self, user, mailbox):
        self.path(user, mailbox).touch(mode=0o600)
        self._own(self.path(user, mailbox))

    def start(self):
        folder = self.folder
        passwords = "\n".join(u.password for u in self.users.values())
        hashes = subprocess.run(["openssl", "passwd", "-5", "-salt", "imapmux", "-stdin"], input=passwords, text=True,
                                capture_output=True, check=True).stdout.split()
        (folder / "passwords").mkdir()
        (folder / "passwords" / self.domain).write_text("".join(
            f"{u.name.split('@')[0]}:{h}:{self.uid}:{self.gid}:{u.name}:{self.home(u)}:/bin/sh\n"
            for u, h in zip(self.users.values(), hashes, strict=True)))
        (folder / "imap4d.conf").write_text(f"""
auth {{
  authorization clear;
  authorization virtdomain;
  authentication clear;
  authentication generic;
}}
virtdomain {{ passwd-dir "{folder}/passwords"; }}
logging {{ syslog no; severity debug; }}
tcp-wrappers {{ enable no; }}
gsasl {{ enable no; }}
mode daemon;
foreground yes;
max-children 100;
pidfile "{folder}/imap4d.pid";
server {LOOPBACK}:{self.port} {{ }}
""")
        self.launch()

    def launch(self):
        self.process = Process(["imap4d", f"--config-file={self.folder}/imap4d.conf"], self.folder / "output.log",
                               max_files=1024)
        self.process.wait_for_port(self.port)

    def stop(self):
        if getattr(self, "process", None):
            self.process.stop()

    def mailboxes(self, user):
        return {p.name for p in self.home(user).iterdir() if p.is_file() and not p.name.startswith(".")}

    def deliver(self, user, mailbox, body, flags=()):
        status = "".join(c for c, f in (("R", "\\Seen"), ("A", "\\Answered"), ("F", "\\Flagged"), ("d", "\\Deleted"))
                         if f in flags)
        head = b"From alice@example.test Fri Nov 20 10:00:00 2026\n" + (f"Status: O{status}\n".encode() if status else b"")
        text = re.sub(rb"(?m)^From ", b">From ", body.replace(b"\r\n", b"\n"))
        with open(self.path(user, mailbox), "ab") as file:
            file.write(head + text + b"\n")

    def messages(self, user, mailbox="INBOX"):
        """imap4d keeps flags and UIDs in header lines of its own, which are not part of what a client appended."""
        letters = {"R": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "d": "\\Deleted"}
        data = self.path(user, mailbox).read_bytes()
        found = []
        for part in re.split(rb"(?m)^From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[^\n]*\n", data)[1:]:
            head, separator, body = part.partition(b"\n\n")
            status = b"".join(re.findall(rb"(?im)^(?:x-)?status: *([^\n]*)", head)).decode()
            uid = re.search(rb"(?im)^x-uid: *(\d+)", head)
            head = b"\n".join(line for line in head.split(b"\n") if not re.match(rb"(?i)(x-)?status:|x-uid:|x-imapbase:", line))
            body = body[:-1] if body.endswith(b"\n\n") or body == b"\n" else body
            found.append(Stored(frozenset(letters[c] for c in status if c in letters), crlf(head + separator + body),
                                int(uid.group(1)) if uid else 0))
        return found


class Courier(MaildirServer):
    """Courier's imapd, unpacked (not installed) by script/bootstrap, since Debian's package excludes Dovecot's.

    couriertcpd, imaplogin and imapd are the real ones; the authentication daemon is played by a thread here, over
    Courier's socket protocol, because authdaemond knows its paths from its build only. So does libcourierauth: a copy
    with the socket's path replaced makes imaplogin look into its working directory.
    """
    name = "courier"
    delimiter = "."
    inbox_prefix = "INBOX."
    capabilities = frozenset("UIDPLUS IDLE SORT".split())
    uid_list = "courierimapuiddb"
    uid_pattern = rb"(\d+) (.*)$"
    socket_path = b"/run/courier/autthdaemon/socket"  # as Debian built it

    def __init__(self, max_per_ip=200):
        super().__init__()
        self.max_per_ip = max_per_ip

    @staticmethod
    def root():
        return cache_folder() / "courier"

    @classmethod
    def available(cls):
        return (cls.root() / "usr/bin/imapd").exists()

    def start(self):
        root, folder = self.root(), self.folder
        if not self.available():
            raise AssertionError(f"no Courier in {root}: run script/bootstrap test")
        library = (root / "usr/lib/libcourierauth.so.0").read_bytes()
        assert library.count(self.socket_path) == 1, "libcourierauth.so.0 has another socket path"
        # copies: the sessions run as the user who owns the mail, who may not look into the cache
        programs, libraries = folder / "bin", folder / "lib"
        programs.mkdir()
        libraries.mkdir()
        for program in ("usr/sbin/couriertcpd", "usr/lib/courier/courier/imaplogin", "usr/bin/imapd"):
            shutil.copy(root / program, programs)
        for file in root.rglob("lib*.so.*"):
            if re.search(r"\.so\.\d+$", file.name):
                shutil.copy(file, libraries)
        (libraries / "libcourierauth.so.0").write_bytes(
            library.replace(self.socket_path, b"./auth.socket".ljust(len(self.socket_path), b"\0")))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "auth.socket"))
        (folder / "auth.socket").chmod(0o777)
        self._listener.listen(64)
        threading.Thread(target=self._authenticate, daemon=True).start()
        # each session asks a FAM server to watch files and waits a second and more where there is none: this one
        # takes the calls and never reports anything (gamin's socket: abstract, named after user and client)
        client = f"imapmux-{self.port}"
        self._fam = socket.socket(socket.AF_UNIX)
        self._fam.bind(f"\0/tmp/fam-{pwd.getpwuid(self.uid).pw_name}-{client}".encode().ljust(108, b"\0"))
        self._fam.listen(64)
        threading.Thread(target=self._play_fam, daemon=True).start()
        environment = {
            "LD_LIBRARY_PATH": str(libraries), "PATH": "/usr/bin:/bin", "GAM_CLIENT_ID": client,
            "IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE",
            "IMAP_KEYWORDS": "1", "IMAP_ACL": "1", "IMAP_IDLE_TIMEOUT": "60", "IMAP_MAILBOX_SANITY_CHECK": "1",
            "IMAP_CHECK_ALL_FOLDERS": "0", "IMAP_OBSOLETE_CLIENT": "0",
            "IMAP_USELOCKS": "1",  # its locks want a FAM server that answers
             "IMAP_ENHANCEDIDLE": "0",
            "IMAP_TRASHFOLDERNAME": "Trash", "IMAP_MOVE_EXPUNGE_TO_TRASH": "0",
        }
        self.process = Process([programs / "couriertcpd", f"-address={LOOPBACK}", "-maxprocs=200",
                                f"-maxperip={self.max_per_ip}", "-nodnslookup", "-noidentlookup", self.port,
                                programs / "imaplogin", programs / "imapd", "Maildir"],
                               folder / "output.log", cwd=folder, env=environment, max_files=256)
        self.process.wait_for_port(self.port)

    def stop(self):
        if getattr(self, "process", None):
            self.process.stop()
        for name in ("_listener", "_fam"):
            if hasattr(self, name):
                getattr(self, name).close()

    def _play_fam(self):
        connections = []
        while True:
            try:
                readable, _, _ = select.select([self._fam, *connections], [], [])
                for ready in readable:
                    if ready is self._fam:
                        connections.append(self._fam.accept()[0])
                    elif not ready.recv(65536):
                        connections.remove(ready)
                        ready.close()
            except (OSError, ValueError):
                break
        for connection in connections:
            connection.close()

    def _authenticate(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                request = b""
                while True:
                    match = re.search(rb"(?m)^AUTH (\d+)\n", request)
                    if match and len(request) >= match.end() + int(match.group(1)):
                        break
                    data = connection.recv(4096)
                    if not data:
                        break
                    request += data
                fields = request[match.end():].decode("utf-8", "replace").split("\n") if match else []
                user = self.users.get(fields[2]) if len(fields) > 3 and fields[1] == "login" else None
                if user and fields[3] == user.password:
                    home = self.home(user)
                    connection.sendall(f"UID={self.uid}\nGID={self.gid}\nHOME={home}\n"
                                       f"ADDRESS={user.name}\nNAME={user.name}\nMAILDIR={home}/Maildir\n.\n".encode())
                else:
                    connection.sendall(b"FAIL\n")
