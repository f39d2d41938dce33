"""imapmux under strace, which lets all but futex calls pass at full speed: whether threads wait for each other."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time


class TracedProxy:
    def __init__(self, binary, configuration, folder):
        self.folder = folder
        self.trace = folder / "futex"
        self.output = (folder / "output").open("wb")
        (folder / "imapmux.yaml").write_text(configuration)
        self.process = subprocess.Popen(
            ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=futex", "-e", "signal=none", "-o", self.trace,
             binary, "serve", "--config", folder / "imapmux.yaml"],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def stop(self):
        with contextlib.suppress(OSError):  # strace ends with what it traces
            for child in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)
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
        """Nobody waits until this proxy has done all: whoever wants an answer looks again."""

    def count(self):
        """futex calls so far."""
        time.sleep(0.3)
        self.check()
        return self.trace.read_text().count("futex(")
