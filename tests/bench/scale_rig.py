"""What the scenarios of script/bench scale are made of: the programs beside the proxy, and what is measured of it."""
import contextlib
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from common import Process, free_port, temp_folder, wait_until  # noqa: E402,F401  (for the scenarios, too)
from proxy import BINARY, Proxy  # noqa: E402

PROGRAMS = BINARY.parents[1] / "tests/bench"


class Told:
    """A child that does what it is told on its standard input, and answers each order with a line of JSON."""

    def __init__(self, program, *arguments):
        self.popen = subprocess.Popen([PROGRAMS / program, *map(str, arguments)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.pid = self.popen.pid

    def tell(self, order):
        self.popen.stdin.write(order + "\n")
        self.popen.stdin.flush()

    def answer(self):
        line = self.popen.stdout.readline()
        if not line:
            raise SystemExit(f"{self.popen.args[0]} ended with {self.popen.wait()}")
        return json.loads(line)

    def ask(self, order):
        self.tell(order)
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.stdin.close()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()


class Crowd(Told):
    """Clients, see crowd.cc."""

    def __init__(self, port, tls="none"):
        super().__init__("crowd", *(["--tls"] if tls == "implicit" else []), port)

    def open(self, count, users=1, mailbox="INBOX"):
        return self.ask(f"open {count} {users} {mailbox}")

    def say(self, seconds, window, text):
        return self.ask(f"say {seconds} {window} {text}")


class MailboxBackend(Told):
    """See mailbox_backend.cc."""
    tls = False

    def __init__(self, messages=10, gap=1):
        self.port = free_port()
        super().__init__("mailbox_backend", self.port, messages, gap)
        time.sleep(0.1)

    def idling(self):
        return self.ask("idling")["idling"]


@contextlib.contextmanager
def far_away(port, one_way_ms):
    """A port behind which the server at `port` is that far away."""
    near = free_port()
    with temp_folder("relay") as folder:
        relay = Process([PROGRAMS / "delay_relay", near, port, one_way_ms], folder / "output.log")
        try:
            relay.wait_for_port(near)
            yield near
        finally:
            relay.stop()


def proxy(server, access="shared", tls="none", workers=1, places=1, program=None):
    """imapmux in front of it, as it is configured by default, but for a quiet log."""
    return Proxy(server, access, tls=tls, backend={"poll_interval": "30s", "connections_per_user": places},
                 program=program,
                 top={"workers": workers, "log": {"level": "warn"}, "limits": {"max_clients": 20000}})


def cpu_seconds(pid):
    """User and system time of all threads of a process, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def pss_kib(pid, kind="Pss"):
    """Its memory, what it shares with others in proportion. kind "Pss_Anon": without programs and libraries, of which it has
    the less the more other processes happen to use them."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{kind}: +(\d+) kB", text, re.M).group(1))


def cpu_us_per_command(pid, crowd, seconds, window, text):
    """And how many there were a second."""
    before = cpu_seconds(pid)
    done = crowd.say(seconds, window, text)
    return (cpu_seconds(pid) - before) * 1e6 / done["count"], done["per_second"]


class Instructions:
    """Of a proxy in user space, by callgrind: `program` is what has to be run."""

    def __init__(self, folder):
        self.out = folder / "profile"
        self.dumps = 0
        copy = folder / "imapmux"  # Debian's valgrind does not understand clang's debug information
        subprocess.run(["llvm-objcopy-19", "--strip-debug", BINARY, copy], check=True)
        self.program = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}", copy]

    def during(self, pid, work):
        """The answer of work(), and how many there were meanwhile."""
        self._control(pid, "-i", "on")
        self._control(pid, "-z")
        answer = work()
        self._control(pid, "-d")
        self._control(pid, "-i", "off")
        self.dumps += 1
        text = pathlib.Path(f"{self.out}.{self.dumps}").read_text()
        return answer, int(re.search(r"^totals: (\d+)", text, re.M).group(1))

    @staticmethod
    def _control(pid, *options):
        subprocess.run(["callgrind_control", *options, str(pid)], check=True, capture_output=True)


class FutexCalls:
    """Of a proxy that runs at full speed: `program` is what has to be run."""

    def __init__(self, folder):
        self.out = folder / "futex"
        self.program = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=futex", "-e", "signal=none",
                        "-o", self.out, BINARY]

    def so_far(self):
        time.sleep(0.2)
        return self.out.read_text().count("futex(")


class Samples(dict):
    """Medians of repeated measurements, by name."""

    def add(self, name, value):
        self.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self[name])

    def spread(self, name):
        """Largest less smallest, of the median, in per cent."""
        return (max(self[name]) - min(self[name])) / self.median(name) * 100


class Report:
    """The table of a scenario."""

    def __init__(self):
        self.lines = []
        self.notes = []

    def line(self, what, measured, goal="", met=None):
        """`met` None: no goal."""
        self.lines.append((what, measured, goal, "" if met is None else "met" if met else "**not met**"))

    def note(self, text):
        self.notes.append(text)

    def __str__(self):
        rows = ["| | measured | goal | |", "|---|---|---|---|", *("| " + " | ".join(row) + " |" for row in self.lines)]
        return "\n".join(rows + ([""] + self.notes if self.notes else []))
