"""Runs the load generator against a subject and reads the meters meanwhile."""
import contextlib
import dataclasses
import json
import subprocess
import time

import cpu

IDLE_CLIENTS = 1000
CALLS_COUNTED = 3000


class LoadFailed(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Run:
    """One measurement. cpu: microseconds of the subject's own processes per unit; waits in microseconds."""
    cpu: float
    per_second: float
    median_wait: float
    p99_wait: float
    late: float = 0.0  # share of waits that a delayed acknowledgement explains
    cpu_seconds: float = 0.0  # of the whole run
    protocol: str = ""
    resumed: float = 0.0  # share


class Target:
    """Where the load goes, and whose costs are read."""

    def __init__(self, lab, port, pid, tls):
        self.lab, self.port, self.pid, self.tls = lab, port, pid, tls
        self._next_user = 0

    def fresh_users(self, count):
        """The number of the first of so many users that have not logged in here before."""
        first = 1_000_000 + self._next_user
        self._next_user += count
        return first


class Generator:
    """The load generator, one step at a time: `with` returns when all is ready for what is measured."""

    def __init__(self, target, arguments):
        self._command = [target.lab.build / "tests/bench/load_generator", "--stepwise", *(["--tls"] if target.tls else []),
                         *arguments]

    def __enter__(self):
        self._process = subprocess.Popen([str(part) for part in self._command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True)
        try:
            self._line()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self._process.kill()  # nothing for one that has ended
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def _line(self):
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(self._process.stderr.read().strip().removeprefix("load_generator: "))
        return line

    def run(self):
        """The measured part. The connections stay until the `with` ends, or disconnect()."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def disconnect(self):
        self._process.stdin.close()
        self._process.wait(30)


def _arguments(work, target, count, seconds, fresh):
    options = ["--seconds", seconds] if seconds else []
    if fresh:
        options += ["--users", count, "--first-user", target.fresh_users(count)]
    *rest, kind = work.arguments
    return [*options, *rest, kind, target.port, count, work.connections, *([work.text] if work.text else [])]


def measure(target, work, seconds, fresh_users=0):
    """One run of about so many seconds. fresh_users: at most so many logins, each of a user not seen before."""
    with Generator(target, _arguments(work, target, fresh_users or 100_000_000, seconds, bool(fresh_users))) as generator:
        before = cpu.seconds(target.pid)
        result = generator.run()
        time.sleep(0.1)  # what it does after the last answer belongs to it
        spent = cpu.seconds(target.pid) - before
        generator.disconnect()
    if not result["count"]:
        raise LoadFailed("nothing was done")
    return Run(cpu=spent * 1e6 / (result["count"] * work.units), per_second=result["per_second"] * work.units,
               median_wait=result["median_us"], p99_wait=result["p99_us"], late=result["late"], cpu_seconds=spent,
               protocol=result["protocol"], resumed=result["resumed"] / result["count"])


def measure_alone(target, work, fresh_users):
    """Logins one after another, for how long a client waits where nobody else is there."""
    alone = dataclasses.replace(work, connections=1)
    return measure(target, alone, 0.3, fresh_users)


def measure_idle(target, users):
    """KB per client that is logged in, in INBOX and in IDLE."""
    warm = ["--users", 16, "--first-user", 5000, "command", target.port, 16]
    with Generator(target, warm) as generator:
        generator.run()
        generator.disconnect()
    time.sleep(0.5)
    before = cpu.pss_kb(target.pid)
    with Generator(target, ["--users", users, "idle", target.port, IDLE_CLIENTS]) as generator:
        time.sleep(0.5)
        after = cpu.pss_kb(target.pid)
        generator.disconnect()
    return (after - before) / IDLE_CLIENTS


def count_calls(target, work, folder):
    """(calls on sockets, all system calls) per unit."""
    with Generator(target, _arguments(work, target, CALLS_COUNTED, 0, False)) as generator:
        with cpu.CallCounter(target.pid, folder / "strace") as counter:
            result = generator.run()
        generator.disconnect()
    units = result["count"] * work.units
    return counter.of_sockets() / units, counter.all() / units
