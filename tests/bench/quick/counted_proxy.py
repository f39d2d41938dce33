"""imapmux under callgrind: counts its instructions by object and its system calls by name, and knows when it is idle."""

import collections
import contextlib
import os
import pathlib
import re
import subprocess
import time

OBJECTS = {"imapmux": "imapmux", "libuv": "libuv", "libstdc++": "libstdc++", "libc.so": "libc",
           "libssl": "openssl", "libcrypto": "openssl"}  # beginning of the file's name -> column
ALLOCATORS = {"malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign"}
# Not counted: the clock, which is no system call outside of valgrind, and what an allocator asks for now and then.
UNCOUNTED = {"clock_gettime", "gettimeofday", "time", "brk", "mmap", "munmap", "mremap", "mprotect", "madvise"}
SYSTEM_CALL = re.compile(rb"^SYSCALL\[\d+,\d+\]\( *\d+\) (?:sys_)?(\w+)", re.M)  # not "...", which is its end
# Callgrind counts `rep movsb` once per octet. Long copies by vector instructions are counted like short ones.
NO_REP = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"
PATIENCE = 60.0


class Count:
    """What some work cost: instructions by (object, function), system calls by name, allocations.

    operations: that these are means of.
    """

    def __init__(self, functions=(), calls=(), allocations=0, operations=1):
        self.operations = operations
        self.functions = collections.Counter(functions)
        self.calls = collections.Counter(calls)
        self.allocations = allocations

    def beyond(self, less, operations):
        """Per operation, what this is more than `less`."""
        def part(counter, other):
            return {name: (counter[name] - other[name]) / operations for name in counter | other
                    if counter[name] != other[name]}
        return Count(part(self.functions, less.functions), part(self.calls, less.calls),
                     (self.allocations - less.allocations) / operations, operations)

    def instructions(self):
        """By object."""
        result = collections.Counter()
        for (column, _), value in self.functions.items():
            result[column] += value
        return result


def object_of(path):
    name = path.rsplit("/", 1)[-1]
    return next((column for start, column in OBJECTS.items() if name.startswith(start)), "other")


def read_profile(text):
    """Of a callgrind.out file: instructions by (object, function), those of what it calls not included; allocations."""
    functions, allocations = collections.Counter(), 0
    names = {}  # objects and functions are numbered at their first mention
    column = function = called = ""
    skip = False

    def named(kind, value):
        number, _, name = value.partition(" ")
        if name:
            names[kind, number] = name
        return names.get((kind, number), value)

    for line in text.splitlines():
        if line[:1] in "0123456789+-*" and line:
            if not skip:
                functions[column, function] += int(line.split()[1])
            skip = False
            continue
        key, _, value = line.partition("=")
        if key == "ob":
            column = object_of(named("ob", value))
        elif key == "cob":
            named("ob", value)
        elif key == "fn":
            function = named("fn", value)
        elif key == "cfn":
            called = named("fn", value)
        elif key == "calls":
            skip = True  # the next line is the callee's cost
            if called in ALLOCATORS:
                allocations += int(value.split()[0])
    return functions, allocations


class CountedProxy:
    """`imapmux serve` under callgrind. Everything it is sent should find it idle: then its figures are repeatable."""

    def __init__(self, binary, configuration, folder):
        self.folder = folder
        self.log = folder / "valgrind.log"
        self.log.touch()
        self.read = 0  # octets of the log that are counted
        self.size = 0  # of the log when it was idle last
        self.dumps = 0
        self.output = (folder / "output").open("wb")
        (folder / "imapmux.yaml").write_text(configuration)
        self.process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/profile", "--trace-syscalls=yes",
             f"--log-file={self.log}", f"--vgdb-prefix={folder}/vgdb", binary, "serve", "--config", folder / "imapmux.yaml"],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
            env=dict(os.environ, GLIBC_TUNABLES=NO_REP))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def check(self):
        if self.process.poll() is not None:
            raise SystemExit(f"imapmux under valgrind ended with status {self.process.returncode}\n"
                             f"{(self.folder / 'output').read_text()}{self.log.read_text()[-1000:]}")

    def asleep(self):
        """Every thread waits: none runs, none is to be run."""
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                if (task / "stat").read_text().rsplit(")", 1)[1].split()[0] != "S":
                    return False
        return True

    def settle(self, within=PATIENCE):
        """Waits until what just happened has made the proxy do something and it has done all of it.

        within: seconds for it to begin; what may leave it untouched (a connection closed that it closed itself) needs
        not long.
        """
        begun, end = False, time.monotonic() + within
        while True:
            size = self.log.stat().st_size
            begun = begun or size > self.size or time.monotonic() > end
            if begun and self.asleep() and self.asleep() and self.log.stat().st_size == size:
                break
            time.sleep(0.0001)
        self.size = size
        self.check()

    def count(self):
        """The cost of everything since the last call."""
        done = subprocess.run(["vgdb", f"--vgdb-prefix={self.folder}/vgdb", "--max-invoke-ms=1",
                               f"--pid={self.process.pid}", "dump"], capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise SystemExit(f"vgdb cannot wake valgrind up; may it use ptrace?\n{done.stderr}")
        self.settle(within=0)
        self.dumps += 1
        functions, allocations = read_profile(self.profile().read_text())
        return Count(functions, self.system_calls(), allocations)

    def profile(self):
        """The callgrind.out file of the last count()."""
        return self.folder / f"profile.{self.dumps}"

    def system_calls(self):
        with self.log.open("rb") as log:
            log.seek(self.read)
            text = log.read()
        text = text[:text.rfind(b"\n") + 1]
        self.read += len(text)
        names = (name.decode() for name in SYSTEM_CALL.findall(text))
        return collections.Counter(name for name in names if name not in UNCOUNTED)
