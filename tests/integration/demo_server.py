"""The demo's legacy server alone: everybody logs in with the name as password, one session per mailbox, violations counted."""
import json
import re

from common import Process, temp_folder, wait_until
from proxy import BINARY


class DemoServer:
    """quirks: see `imapmux demo-server --help`. After the block, `violations` holds what was counted."""

    def __init__(self, quirks="second_session=severs", mailboxes=3):
        self.quirks, self.mailboxes, self.violations = quirks, mailboxes, None

    def __enter__(self):
        self._folder = temp_folder("demo")
        self.process = Process([BINARY, "demo-server", "--port", "0", "--quirks", self.quirks, "--any-user",
                                "--mailboxes", self.mailboxes], self._folder.__enter__() / "output.log")
        found = wait_until(lambda: re.search(r"listening on \S+:(\d+)", self.process.log()), what="the demo server listens")
        self.port = int(found[1])
        return self

    def __exit__(self, *failure):
        status = self.process.stop()
        output = self.process.log()
        self._folder.__exit__(*failure)
        assert status == 0, f"the demo server ended with {status}:\n{output}"
        self.violations = json.loads(output.strip().splitlines()[-1])
