"""Scenarios in front of a real Dovecot: many clients on one connection of it, and a client of one that is far away."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from scale_rig import Crowd, Samples, cpu_seconds, far_away, proxy
from common import message  # noqa: E402
from servers import Dovecot, User  # noqa: E402

# Nothing of Dovecot's own limits is in the way of a hundred clients; one process each, as it comes.
ROOM = """
service imap {
  process_limit = 2000
}
service imap-login {
  client_limit = 5000
}
default_client_limit = 10000
"""


def dovecot(user, messages):
    """With that many messages of the user's, of 4 KB or so."""
    server = Dovecot(settings=ROOM)
    server.users[user.name] = user
    server.__enter__()
    server.make_home(user)
    for number in range(messages):
        server.deliver(user, "INBOX", message(f"number{number}", "A line of text, as long as lines are.\r\n" * 100))
    with server.connect(user) as client:
        client.command("SELECT INBOX")
        client.command("LOGOUT")
    return server


def shared(report, small):
    clients, seconds, repeats = (20, 1, 3) if small else (100, 3, 5)
    user = User("user0", "secret")
    server = dovecot(user, 100)
    try:
        with proxy(server) as mux, Crowd(mux.port) as through, Crowd(server.port) as direct:
            through.open(clients)
            direct.open(clients)
            for command in ("NOOP", "UID FETCH 1:* (FLAGS)", "FETCH 1:* FLAGS"):
                samples = Samples()
                for _ in range(repeats):
                    samples.add("direct", direct.say(seconds, clients, command)["per_second"])
                    cpu = cpu_seconds(mux.process.pid)
                    done = through.say(seconds, clients, command)
                    samples.add("cpu", (cpu_seconds(mux.process.pid) - cpu) * 1e6 / done["count"])
                    samples.add("through", done["per_second"])
                    samples.add("ratio", samples["through"][-1] / samples["direct"][-1])
                report.line(f"{command}: a second, directly on Dovecot", f"{samples.median('direct'):.0f}")
                report.line(f"{command}: … through the proxy ({samples.median('cpu'):.1f} µs of its CPU each)",
                            f"{samples.median('through'):.0f}")
                report.line(f"{command}: ratio (spread {samples.spread('ratio'):.0f} %)",
                            f"{samples.median('ratio'):.2f}", "> 1", samples.median("ratio") > 1)
    finally:
        server.__exit__()
    report.note(f"{clients} clients in one mailbox of 100 messages, each waiting for its answer before it asks again; "
                "through the proxy they share one connection. Interleaved; medians.")


MBSYNC = """
FSync no
IMAPAccount far
Host 127.0.0.1
Port {port}
User {user.name}
Pass {user.password}
SSLType None
AuthMechs LOGIN
Timeout 60

IMAPStore far
Account far

MaildirStore near
Path {folder}/near/
Inbox {folder}/near/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Sync All
SyncState *
"""


def first_sync(user, port, messages):
    """Seconds that mbsync takes for it. It keeps its mail in memory: creating files on a disk takes longer than the sync."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = pathlib.Path(name)
        (folder / "near").mkdir()
        (folder / "mbsyncrc").write_text(MBSYNC.format(port=port, user=user, folder=folder))
        began = time.monotonic()
        subprocess.run(["mbsync", "-c", folder / "mbsyncrc", "-a", "-q"], check=True, stderr=subprocess.DEVNULL,
                       env={**os.environ, "HOME": str(folder)})
        took = time.monotonic() - began
        here = sum(1 for part in ("cur", "new") for _ in (folder / "near/INBOX" / part).iterdir())
        if here != messages:
            raise SystemExit(f"mbsync got {here} messages of {messages}")
        return took


class Port:
    """A server that is reached by another port."""
    tls = False

    def __init__(self, port):
        self.port = port


def sync_repeatedly(messages, repeats):
    """Seconds of first syncs, each directly, through a proxy that knows nothing yet, and through it once more."""
    user = User("user0", "secret")
    server = dovecot(user, messages)
    samples = Samples()
    try:
        with far_away(server.port, 25) as far:
            for _ in range(repeats):
                samples.add("direct", first_sync(user, far, messages))
                with proxy(Port(far)) as mux:
                    samples.add("cold", first_sync(user, mux.port, messages))
                    samples.add("warm", first_sync(user, mux.port, messages))
                for name in ("cold", "warm"):
                    samples.add(f"{name} ratio", samples[name][-1] / samples["direct"][-1])
    finally:
        server.__exit__()
    return samples


def mbsync(report, small):
    if not shutil.which("mbsync"):
        raise SystemExit("no mbsync: script/bootstrap test")
    many = 200 if small else 1000
    for messages in (10, many):
        samples = sync_repeatedly(messages, 3 if small else 9)
        ratio = samples.median("cold ratio")
        report.line(f"{messages:,} messages, directly: seconds", f"{samples.median('direct'):.2f}")
        report.line("… through the proxy, nobody logged in before: seconds", f"{samples.median('cold'):.2f}")
        report.line(f"… ratio (spread {samples.spread('cold ratio'):.0f} %)", f"{ratio:.2f}",
                    "1.1" if messages == many else "", ratio <= 1.1 if messages == many else None)
        report.line("… behind a sync that has just ended: seconds", f"{samples.median('warm'):.2f}")
        report.line("… ratio", f"{samples.median('warm ratio'):.2f}")
    report.note("Dovecot 50 ms away (25 ms each way, TCP's handshake included), `shared`, messages of 4 KB. What ten messages "
                "take is round trips.")
