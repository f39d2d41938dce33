"""How long answers take: a client that asks again and again while something else goes on."""
import threading
import time


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


def median(values):
    return quantile(values, 0.5)


def show(values):
    """Of seconds."""
    return (f"median {median(values) * 1000:.2f} ms, p99 {quantile(values, 0.99) * 1000:.2f} ms, "
            f"longest {max(values, default=0) * 1000:.2f} ms of {len(values)}")


class Pulse(threading.Thread):
    """One client that sends the same command with pauses, until stop()."""

    def __init__(self, client, command="NOOP", pause=0.02):
        super().__init__(daemon=True)
        self._client, self._command, self._pause = client, command, pause
        self._ended = threading.Event()
        self._samples = []  # (when it was sent, seconds)
        self._error = None
        self.start()

    def run(self):
        try:
            while not self._ended.wait(self._pause):
                began = time.monotonic()
                reply = self._client.command(self._command)
                self._samples.append((began, time.monotonic() - began))
                if not reply.ok:
                    raise AssertionError(f"{self._command}: {reply!r}")
                del self._client.transcript[:-40]
        except BaseException as error:  # of a thread: stop() raises it
            self._error = error

    def stop(self):
        self._ended.set()
        self.join(60)
        if self._error:
            raise self._error

    def between(self, begin, end):
        return [seconds for began, seconds in list(self._samples) if begin <= began < end]


def together(pulses, begin, end):
    return [seconds for pulse in pulses for seconds in pulse.between(begin, end)]
