"""Headless Chromium, spoken to by its own protocol over a pipe: https://chromedevtools.github.io/devtools-protocol."""
import base64
import json
import os
import select
import shutil
import subprocess
import time

from common import temp_folder, wait_until

PROGRAM = shutil.which("chromium") or "chromium"
TALKS_IN, TALKS_OUT = 3, 4  # the descriptors that --remote-debugging-pipe means


class Browser:
    """One page. `complaints`: what it says on its console at level error, uncaught exceptions, what a policy forbids."""

    def __enter__(self):
        self._folder = temp_folder("chromium")
        folder = self._folder.__enter__()
        ours, theirs = zip(os.pipe(), os.pipe())  # (they read, we read), (we write, they write)
        (they_read, self._out), (self._in, they_write) = (ours[0], theirs[0]), (ours[1], theirs[1])
        command = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        # The shell puts the pipes where the browser looks for them.
        place = f"exec {TALKS_IN}<&{they_read} {TALKS_OUT}>&{they_write}; exec \"$@\""
        self._log = open(folder / "output.log", "wb")
        self._process = subprocess.Popen(["bash", "-c", place, "bash", *command], pass_fds=(they_read, they_write),
                                         stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        os.close(they_read)
        os.close(they_write)
        self._rest, self._number, self._session, self.complaints = b"", 0, None, []
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._log.close()
        self._folder.__exit__(None, None, None)

    def _read(self, deadline):
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("the browser does not answer")
            octets = os.read(self._in, 1 << 20)
            if not octets:
                raise AssertionError("the browser has ended")
            self._rest += octets
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, timeout=30, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._read(deadline)
            self._listen(answer)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def _listen(self, event):
        facts = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(facts["exceptionDetails"].get("exception", {}).get("description", str(facts)))
        elif event.get("method") == "Runtime.consoleAPICalled" and facts["type"] in ("error", "assert"):
            self.complaints.append(str(facts["args"]))
        elif event.get("method") == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.complaints.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def value(self, expression):
        outcome = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in outcome:
            raise AssertionError(f"{expression}: {outcome['exceptionDetails']}")
        return outcome["result"].get("value")

    def wait_for(self, expression, timeout=30):
        try:
            wait_until(lambda: self.value(f"Boolean({expression})"), timeout, expression, interval=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page says\n{self.value('document.body.innerText')}") from error

    def text(self, selector):
        return self.value(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent).join('\\n')")

    def appear(self, width, height, scheme="light"):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def offline(self, is_so):
        self.call("Network.emulateNetworkConditions", offline=is_so, latency=0, downloadThroughput=-1, uploadThroughput=-1)

    def screenshot(self, path):
        """All of the page, also what does not fit into the window."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(picture["data"]))
