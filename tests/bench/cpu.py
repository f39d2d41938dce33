"""What processes cost: CPU time and memory of a process and all its descendants."""
import contextlib
import os
import pathlib
import re
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


def _parents():
    """pid -> pid of its parent, and seconds of CPU of the children it has waited for."""
    result = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                result[int(entry.name)] = int(fields[1]), (int(fields[13]) + int(fields[14])) / TICK
    return result


def _tree(root):
    """pid -> seconds of its children that have ended, for `root` and its descendants."""
    parents = _parents()
    result = {}
    for pid, (_, waited_for) in parents.items():
        ancestor = pid
        while ancestor in parents and ancestor != root:
            ancestor = parents[ancestor][0]
        if ancestor == root:
            result[pid] = waited_for
    return result


def _clock(pid):
    """The CPU clock of a process, as clock_getcpuclockid() makes it: nanoseconds, all threads, also those that have ended.
    utime and stime in /proc count ticks of 10 ms."""
    return (~pid << 3) | 2


def seconds(root):
    """CPU time of `root` and all its descendants. Children that have ended count in ticks."""
    total = 0.0
    for pid, waited_for in _tree(root).items():
        with contextlib.suppress(OSError):
            total += time.clock_gettime(_clock(pid)) + waited_for
    return total


def pss_kb(root):
    """Memory in KB: what is shared counts by halves, thirds …"""
    total = 0
    for pid in _tree(root):
        with contextlib.suppress(OSError):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])
    return total


class Others:
    """What share of the machine's CPUs others than this process and its children have used while this was entered."""

    def __init__(self):
        self._sums = 0.0, 0.0, 0.0

    @staticmethod
    def _now():
        user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
        return time.monotonic(), (user + nice + system + irq + softirq + steal) / TICK, seconds(os.getpid())

    def __enter__(self):
        self._before = self._now()

    def __exit__(self, *_):
        self._sums = tuple(map(lambda total, now, before: total + now - before, self._sums, self._now(), self._before))

    def share(self):
        wall, busy, own = self._sums
        return max(busy - own, 0.0) / (wall * os.cpu_count()) if wall else 0.0


# What moves octets. Waiting (epoll) is not among them: how often it returns depends on how much strace slows things down.
SOCKET_CALLS = {"read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "splice", "sendfile", "tee"}


class CallCounter:
    """Counts the system calls of `root` and its descendants while it is entered."""

    def __init__(self, root, file):
        self._root, self._file = root, file

    def __enter__(self):
        pids = [argument for pid in _tree(self._root) for argument in ("-p", str(pid))]
        self._strace = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", "-o", self._file, *pids],
                                        stderr=subprocess.PIPE, text=True, start_new_session=True)
        for _ in pids[::2]:
            self._strace.stderr.readline()  # "Process … attached"
        return self

    def __exit__(self, *_):
        self._strace.terminate()
        self._strace.communicate(timeout=15)
        self.calls = {}
        for line in pathlib.Path(self._file).read_text().splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[1].isdigit() and fields[0] != "total":
                self.calls[fields[0]] = int(fields[1])

    def of_sockets(self):
        return sum(count for name, count in self.calls.items() if name in SOCKET_CALLS)

    def all(self):
        return sum(self.calls.values())
