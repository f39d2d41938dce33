"""Starts what is measured, each in a folder and on a port of its own, and ends what it started."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

LOOPBACK = "127.0.0.1"


class CannotStart(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


class Lab:
    """One fake backend, the certificate that all show, and whatever is put in front of the backend.

    build: the folder of the programs. All of it ends with the `with`.
    """

    def __init__(self, build):
        self.build = pathlib.Path(build)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="imapmux-bench-", dir="/tmp")))
            self.folder.chmod(0o755)  # some programs become another user
            self._make_certificate()
            self.backend_port, self.backend_tls_port = free_port(), free_port()
            program = [self.build / "tests/bench/fake_backend", self.backend_port, self.backend_tls_port, self.certificate, self.key]
            self.backend_pid = start(self._stack, program, self.folder / "backend.log", self.backend_port)
            return self
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_):
        self._stack.close()

    def _make_certificate(self):
        self.certificate, self.key, self.both = (self.folder / name for name in ("cert.pem", "key.pem", "both.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=bench", "-days", "30", "-keyout", self.key, "-out", self.certificate],
                       check=True, capture_output=True)
        self.both.write_text(self.certificate.read_text() + self.key.read_text())
        self.key.chmod(0o644)


class Site:
    """Where one program runs: `with Site(...) as site` starts it. Programs of peers.py and subjects.py get it to say their
    command line. port: where the program has to listen; pid: its first process, when it runs."""

    def __init__(self, lab, name, program, tls):
        self.lab, self.tls, self._program = lab, tls, program
        self.backend = lab.backend_port
        self.port = free_port()
        self._stack = contextlib.ExitStack()
        self._name = name

    def __enter__(self):
        try:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self._name}-", dir=self.lab.folder))
            self.folder.chmod(0o777)
            command = self._program(self)
            self.pid = start(self._stack, command, self.folder / "output.log", self.port)
            return self
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_):
        self._stack.close()

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def helper(self, command, port):
        """Something the program needs, which does not count as its own."""
        start(self._stack, command, self.folder / "helper.log", port)


def start(stack, command, log, port):
    """Its pid, as soon as it listens. It is ended by `stack`, with all its children: they are a process group."""
    with open(log, "ab") as output:
        try:
            process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise CannotStart(f"{command[0]}: {error.strerror}") from error
    stack.callback(end, process)
    for _ in range(200):
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or [""]
            raise CannotStart(f"{command[0]} ended with status {process.returncode}: {lines[-1]}")
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, port), timeout=1).close()
            return process.pid
        time.sleep(0.05)
    raise CannotStart(f"{command[0]} does not listen")


def end(process):
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):  # no child has outlived it
        os.killpg(process.pid, signal.SIGKILL)
