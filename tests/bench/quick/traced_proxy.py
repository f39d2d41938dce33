"""imapmux under strace, which lets all but futex calls pass at full speed: whether threads wait for each other."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time


class TracedProxy:
    """`imapmux serve` under strace. While clients and backend do something, it is stopped: then all that they sent is there
    at once when it goes on, and its workers are busy at the same time, however slow its peers are."""

    def __init__(self, binary, configuration, folder):
        self.folder = folder
        self.trace = folder / "futex"
        self.output = (folder / "output").open("wb")
        (folder / "imapmux.yaml").write_text(configuration)
        self.process = subprocess.Popen(
            ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=futex", "-e", "signal=none", "-o", self.trace,
             binary, "serve", "--config", folder / "imapmux.yaml"],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def signal(self, number):
        """To imapmux; strace ends with what it traces."""
        with contextlib.suppress(OSError):
            for child in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                os.kill(int(child), number)

    def stop(self):
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def check(self):
        if self.process.poll() is not None:
            raise SystemExit(f"imapmux under strace ended with status {self.process.returncode}; may it use ptrace?\n"
                             + (self.folder / "output").read_text())

    def settle(self, within=0):
        """Lets it go on for a moment. Nobody waits until it has done all: whoever wants an answer looks again."""
        self.signal(signal.SIGCONT)
        time.sleep(0.003)
        self.signal(signal.SIGSTOP)
        self.check()

    def count(self):
        """futex calls so far."""
        time.sleep(0.1)
        return self.trace.read_text().count("futex(")
