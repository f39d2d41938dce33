"""Takes the subjects through their works in turns."""
import contextlib
import fcntl
import subprocess
import sys

import load
from lab import CannotStart, Site
from report import Results
from subjects import SUBJECTS, WORKS

# What is measured besides the works of subjects.py: logins one at a time, system calls, memory.
EXTRAS = ("alone", "calls", "idle")
FRESH_USERS = 250  # per run of imapproxy-cold: it keeps a connection of each
CALLS_OF = ("nginx", "haproxy", "unrestricted", "exclusive", "shared")


def progress(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def interruptible(options):
    """Ctrl-C ends the measuring, and what there is by then is reported."""
    try:
        yield
    except KeyboardInterrupt:
        options.interrupted = True


class Bench:
    """The subjects that run, in the clear or with TLS toward the client. They end with the `with`.

    lock: a file that others who measure on this machine lock, too; or None.
    """

    def __init__(self, lab, keys, tls, lock=None):
        self._lab, self._keys, self._tls, self._lock = lab, keys, tls, lock
        self._stack = contextlib.ExitStack()
        self._failed = set()  # (subject, work): not tried again
        self.results = Results(tls)
        self.targets = {}

    def __enter__(self):
        try:
            for key in self._keys:
                if SUBJECTS[key].works and (SUBJECTS[key].tls or not self._tls):
                    self._start(key)
            return self
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_):
        self._stack.close()

    def _start(self, key):
        if SUBJECTS[key].program is None:
            port = self._lab.backend_tls_port if self._tls else self._lab.backend_port
            self.targets[key] = load.Target(self._lab, port, self._lab.backend_pid, self._tls)
            return
        with self._noting(SUBJECTS[key].title):
            site = self._stack.enter_context(self._site(key))
            self.targets[key] = load.Target(self._lab, site.port, site.pid, self._tls)

    def _site(self, key):
        return Site(self._lab, key, SUBJECTS[key].program, self._tls)

    @contextlib.contextmanager
    def _noting(self, what):
        """What can't be measured is missing in the report, and no reason to end."""
        try:
            yield
        except (CannotStart, load.LoadFailed, OSError, subprocess.SubprocessError) as error:
            progress(f"  missing: {what}: {error}")
            if f"{what}: {error}" not in self.results.problems:
                self.results.problems.append(f"{what}: {error}")

    @contextlib.contextmanager
    def turn(self):
        with contextlib.ExitStack() as stack:
            if self._lock:
                fcntl.flock(stack.enter_context(open(self._lock, "ab")), fcntl.LOCK_EX)
            stack.enter_context(self._lab.others)
            yield

    def measure(self, key, work, seconds):
        """A Run, or None."""
        if (key, work.name) in self._failed:
            return None
        with self._noting(f"{SUBJECTS[key].title}, {work.name}"):
            return load.measure(self.targets[key], SUBJECTS[key].at(work), seconds, FRESH_USERS if key == "imapproxy-cold" else 0)
        self._failed.add((key, work.name))
        return None

    def round(self, number, works, seconds):
        """Each work, and at each all subjects in turn; the next round in the opposite order. Round 0 warms up."""
        with self.turn():
            for work in works:
                for key in list(self.targets)[::-1 if number % 2 else 1]:
                    run = self.measure(key, work, seconds) if SUBJECTS[key].does(work, self._tls) else None
                    if run and number:
                        self.results.runs.setdefault((key, work.name), {})[number] = run

    def logins_alone(self, number):
        with self.turn():
            for key, target in self.targets.items():
                work = WORKS["warm" if "warm" in SUBJECTS[key].works else "login"]
                with self._noting(f"{SUBJECTS[key].title}, login alone"):
                    run = load.measure_alone(target, work, FRESH_USERS if key == "imapproxy-cold" else 0)
                    self.results.alone.setdefault(key, {})[number] = run

    def count_calls(self):
        with self.turn():
            for key in CALLS_OF:
                if key in self.targets:
                    with self._noting(f"{SUBJECTS[key].title}, system calls"):
                        self.results.calls[key] = load.count_calls(self.targets[key], WORKS["command"], self._lab.folder)

    def idle(self):
        """Each in a process of its own: what earlier work has freed would hide what clients take."""
        with self.turn():
            for key in self._keys:
                subject = SUBJECTS[key]
                could_not_start = subject.works and key not in self.targets
                if could_not_start or not subject.idle or (self._tls and not subject.tls):
                    continue
                with self._noting(f"{subject.title}, idle"), self._site(key) as site:
                    target = load.Target(self._lab, site.port, site.pid, self._tls)
                    self.results.idle[key] = load.measure_idle(target, load.IDLE_CLIENTS // subject.users_per_mailbox)


def tables(lab, options, tls):
    """Results of one table."""
    chosen = options.work or [*WORKS, *EXTRAS]
    works = [WORKS[name] for name in chosen if name in WORKS]
    name = "TLS" if tls else "clear"
    with Bench(lab, options.only or list(SUBJECTS), tls, options.lock) as bench, interruptible(options):
        progress(f"{name}: warming up")
        bench.round(0, works, min(0.2, options.seconds))
        for number in range(1, options.repeats + 1):
            progress(f"{name}: round {number} of {options.repeats}")
            bench.round(number, works, options.seconds)
            if "alone" in chosen:
                bench.logins_alone(number)
        if "calls" in chosen:
            bench.count_calls()
        if "idle" in chosen:
            progress(f"{name}: idle clients")
            bench.idle()
    return bench.results


def pairs(lab, options, tls):
    """(first, second, work, tls) -> ratios of the CPU per unit of the second to that of the first."""
    result = {}
    keys = list(dict.fromkeys(key for pair in options.pairs for key in pair))
    with Bench(lab, keys, tls, options.lock) as bench, interruptible(options):
        works = [WORKS[name] for name in options.work or ("command", "fetch") if name in WORKS]
        bench.round(0, works, 0.3)
        for number in range(options.count):
            progress(f"{'TLS' if tls else 'clear'}: pair {number + 1} of {options.count}")
            for first, second in options.pairs:
                for work in works:
                    with bench.turn():
                        ratio = _ratio(bench, first, second, work, options.seconds)
                    if ratio:
                        result.setdefault((first, second, work.name, tls), []).append(ratio)
    return result, bench.results.problems


SLICE = 0.5  # seconds; what disturbs the machine for longer disturbs both of a pair


def _ratio(bench, first, second, work, cpu_seconds):
    """CPU per unit of the second to that of the first, in slices by turns until each has had so much CPU time."""
    spent, units = dict.fromkeys((first, second), 0.0), dict.fromkeys((first, second), 0.0)
    while min(spent.values()) < cpu_seconds:
        for key in spent:
            run = bench.measure(key, work, SLICE)
            if not run or not run.cpu_seconds:
                return None
            spent[key] += run.cpu_seconds
            units[key] += run.cpu_seconds / run.cpu
    return (spent[second] / units[second]) / (spent[first] / units[first])
