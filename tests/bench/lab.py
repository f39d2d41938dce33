"""Starts what is measured, each in a folder and on a port of its own, and ends what it started."""
import contextlib
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from common import LOOPBACK, Process, certificates, free_port, temp_folder  # noqa: E402,F401  (for peers.py, too)
from cpu import Others  # noqa: E402


class CannotStart(Exception):
    pass


def start(stack, command, log, port):
    """Its pid, as soon as it listens. `stack` ends it."""
    try:
        process = Process(command, log)
        stack.callback(process.stop)
        process.wait_for_port(port)
    except (OSError, AssertionError) as error:
        raise CannotStart(" ".join(str(error).split())) from error
    return process.pid


class Lab:
    """One fake backend, and what all that is put in front of it has in common. It ends with the `with`.

    build: the folder of the programs. others: how busy the machine is otherwise, to be entered while something is measured.
    """

    def __init__(self, build):
        self.build = build
        self.others = Others()
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.folder = self._stack.enter_context(temp_folder("bench"))
            self.certificate, self.key = certificates().certificate, certificates().key
            self.certificate_and_key = self.folder / "both.pem"
            self.certificate_and_key.write_text(self.certificate.read_text() + self.key.read_text())
            self.backend_port, self.backend_tls_port = free_port(), free_port()
            program = [self.build / "tests/bench/fake_backend", self.backend_port, self.backend_tls_port, self.certificate, self.key]
            self.backend_pid = start(self._stack, program, self.folder / "backend.log", self.backend_port)
            return self
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_):
        self._stack.close()


class Site:
    """Where one program runs, which `with` starts and ends.

    program: a function of this that returns the command line, as in peers.py. port: where it has to listen. backend: the
    port it has to connect to. pid: its first process, as soon as it runs.
    """

    def __init__(self, lab, name, program, tls):
        self.lab, self.tls = lab, tls
        self.port, self.backend = free_port(), lab.backend_port
        self._name, self._program = name, program
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self._name}-", dir=self.lab.folder))
            self.folder.chmod(0o777)  # some become another user
            self.pid = start(self._stack, self._program(self), self.folder / "output.log", self.port)
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
        """Starts something that the program needs, and that does not count as its own."""
        start(self._stack, command, self.folder / "helper.log", port)
