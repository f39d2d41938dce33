"""What every part of the harness uses: ports, temporary folders, processes, certificates, waiting."""
import atexit
import contextlib
import ctypes
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
LOOPBACK = "127.0.0.1"

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def cache_folder():
    """Where script/bootstrap keeps what it unpacks for the tests. The same rule stands there."""
    if os.environ.get("IMAPMUX_CACHE"):
        return pathlib.Path(os.environ["IMAPMUX_CACHE"])
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "imapmux"


# --- ports ---------------------------------------------------------------------------------------------------------
# Ports below the range the kernel gives to outgoing connections, and locked against tests running beside this one:
# an abstract unix socket named after the port lives exactly as long as this process and leaves nothing behind.
_port_locks = []


def free_port():
    for _ in range(500):
        port = random.randrange(17000, 31000)
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0imapmux-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((LOOPBACK, port))
        except OSError:
            lock.close()
            continue
        _port_locks.append(lock)
        return port
    raise RuntimeError("no free port")


# --- waiting -------------------------------------------------------------------------------------------------------
def wait_until(predicate, timeout=10.0, what="condition", interval=0.02):
    """Polls what cannot be awaited (files of a server, another program's port) and returns the truthy value."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(interval)


def accepts(port, host=LOOPBACK):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False


# --- temporary folders ---------------------------------------------------------------------------------------------
@contextlib.contextmanager
def temp_folder(name):
    """A folder of its own under /tmp (short, for the paths of unix sockets), readable by a server's own user."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"imapmux-{name}-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# --- processes -----------------------------------------------------------------------------------------------------
class Process:
    """A child in its own process group, ended with its whole group, at the latest when this process dies."""

    def __init__(self, arguments, log, cwd=None, env=None, max_files=None):
        self.arguments = [str(a) for a in arguments]
        self.log_path = pathlib.Path(log)

        def prepare():
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if max_files:  # some programs close every possible descriptor before each exec
                resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
        with open(self.log_path, "ab") as output:
            self.popen = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env,
                start_new_session=True, preexec_fn=prepare)
        self.pid = self.popen.pid

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def running(self):
        return self.popen.poll() is None

    def wait_for_port(self, port, timeout=15):
        def ready():
            if not self.running():
                raise AssertionError(f"{self.arguments[0]} ended with {self.popen.returncode}:\n{self.log()}")
            return accepts(port)
        try:
            wait_until(ready, timeout, f"{self.arguments[0]} listens on {port}")
        except BaseException:
            self.stop()
            raise

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def stop(self, grace=10):
        """SIGTERM, then SIGKILL to what is left of the group. Returns the exit status (None if it had to be killed)."""
        status = None
        if self.running():
            self.popen.terminate()
        try:
            status = self.popen.wait(grace)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        return status


# --- certificates --------------------------------------------------------------------------------------------------
class Certificates:
    """A certificate authority and a certificate for localhost and 127.0.0.1 signed by it, made once per process."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="imapmux-tls-", dir="/tmp"))
        self.folder.chmod(0o755)
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.ca, self.certificate, self.key = (self.folder / n for n in ("ca.pem", "server.pem", "server.key"))
        ca_key = self.folder / "ca.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", self.ca, "-days", "30",
                      "-subj", "/CN=imapmux test authority")
        request, extensions = self.folder / "server.csr", self.folder / "server.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        self._openssl("req", "-new", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30",
                      "-extfile", extensions, "-out", self.certificate)
        self.key.chmod(0o644)  # of a server that runs as another user; worth nothing outside this test

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


_certificates = None


def certificates():
    global _certificates
    if _certificates is None:
        _certificates = Certificates()
    return _certificates


# --- messages ------------------------------------------------------------------------------------------------------
def message(subject, body="Hello\r\n", sender="alice@example.test"):
    """A plain message as bytes with CRLF."""
    head = (f"From: {sender}\r\nTo: bob@example.test\r\nSubject: {subject}\r\n"
            f"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{subject}.{random.getrandbits(48):x}@example.test>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    return head.encode() + (body.encode() if isinstance(body, str) else body)


def nasty_body():
    """What breaks careless line and literal handling: 8-bit bytes, things that look like IMAP, long lines, lone dots."""
    return ("Grüße, 你好\r\n".encode() + b"\xff\xfe\x80 not UTF-8\r\n" + b"* 1 EXPUNGE\r\na1 OK {5}\r\n)\r\n.\r\n\r\n"
            + b"x" * 9000 + b"\r\n" + b"{100+}\r\n" + b"end without newline follows\r\n")
