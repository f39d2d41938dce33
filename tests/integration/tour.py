#!/usr/bin/env python3
"""The operator's tour of the README, done for real: Courier, and imapmux before it, from `probe` to a reload.

Prints what a shell would show. With --write that goes into README.md, and a picture of the dashboard beside its source.
"""
import argparse
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from browser import Browser
from common import LOOPBACK, free_port, message, temp_folder, wait_until
from proxy import BINARY
from raw import RawClient
from servers import Courier

TOP = pathlib.Path(__file__).resolve().parents[2]
README, PICTURE = TOP / "README.md", TOP / "proxy/admin/dashboard.png"
BEGIN, END = "<!-- tests/integration/tour.py --write: begin -->\n", "<!-- end -->\n"


class Tour:
    """A shell in a folder of its own, in which `imapmux` is the program under test. Everything it shows is kept."""

    def __init__(self, folder):
        self.folder, self.shown = folder, []
        (folder / "bin").mkdir()
        (folder / "bin/imapmux").symlink_to(BINARY)
        self.environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "COLUMNS": "120"}

    def say(self, text):
        self.shown.append(text)

    def run(self, command, until=0):
        """Shows a command with its output. until: of so many seconds, for a command that does not end by itself."""
        self.say(f"$ {command}")
        shell = subprocess.Popen(["bash", "-c", command], cwd=self.folder, env=self.environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        if until:
            time.sleep(until)
            os.killpg(shell.pid, signal.SIGINT)
        output = shell.communicate(timeout=120)[0].rstrip("\n")
        if not until and shell.returncode != 0:
            raise SystemExit(f"{command}: {shell.returncode}\n{output}")
        if output:
            self.say(output)
        return output

    def write(self, name, text):
        (self.folder / name).write_text(text)


def tour(server, folder, picture):
    user = server.users["anna"] if "anna" in server.users else server.new_user()
    server.fill(user, "INBOX", [message(f"Number {i}") for i in range(1, 6)])
    shell, port, admin = Tour(folder), free_port(), free_port()
    shell.write("password", user.password + "\n")
    found = shell.run(f"imapmux probe {LOOPBACK}:{server.port} --user {user.name} --password-file password")
    stanza = found[found.index("backends:"):]

    head = (f'listeners: [{{bind: "{LOOPBACK}:{port}", tls: none}}]\n'
            f'admin: {{bind: "{LOOPBACK}:{admin}"}}\n')
    shell.write("imapmux.yaml", head + stanza + "\n")
    shell.say("")
    shell.run("head -3 imapmux.yaml          # the section is pasted below two lines of our own")
    shell.run(f"imapmux check --config imapmux.yaml --route {user.name}")
    shell.say("")
    shell.say("$ imapmux serve --config imapmux.yaml 2>log &")
    with open(folder / "log", "wb") as log:
        serving = subprocess.Popen([BINARY, "serve", "--config", "imapmux.yaml"], cwd=folder, stderr=log, stdout=log)
    try:
        options = f"--admin {LOOPBACK}:{admin}"
        wait_until(lambda: subprocess.run([BINARY, "health", *options.split()], capture_output=True, check=False).returncode == 0,
                   what="the proxy")
        shell.run(f"imapmux health {options} && cat log")
        shell.say("")
        url, login = f"imap://{LOOPBACK}:{port}/INBOX", f"{user.name}:{user.password}"
        shell.run(f"curl -s {url} -u {shlex.quote(login)} -X 'STATUS INBOX (MESSAGES UNSEEN)'")
        shell.say("(a phone, a laptop and webmail of the same user come, and stay in INBOX)")
        clients = [RawClient(port).login(user.name, user.password) for _ in range(3)]
        for client in clients:
            client.command("SELECT INBOX")
            client.start("IDLE")
        server.deliver(user, "INBOX", message("A new one"))
        for client in clients:
            client.until(rb"\* 6 EXISTS", timeout=60)
        shell.run(f"imapmux status {options}")
        shell.say("")
        if picture:
            with Browser() as browser:
                browser.appear(1000, 600)
                browser.open(f"http://{LOOPBACK}:{admin}/")
                time.sleep(12)
                browser.screenshot(picture)
        shell.run("sed -i 's/^admin:.*/&\\nlimits: {max_clients: 500, idle_timeout: 45m}/' imapmux.yaml")
        before = (folder / "log").stat().st_size
        shell.say("$ kill -HUP %1; tail -f log")
        serving.send_signal(signal.SIGHUP)
        wait_until(lambda: b"reload" in (folder / "log").read_bytes()[before:], what="the reload")
        time.sleep(0.5)
        shell.say((folder / "log").read_bytes()[before:].decode().rstrip("\n"))
        shell.run(f"imapmux status {options} | head -3        # nobody had to go")
        for client in clients:
            client.close()
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(timeout=30)
    return "\n".join(shell.shown).replace(str(folder), ".")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into README.md")
    options = parser.parse_args()
    with Courier(max_per_ip=20) as server, temp_folder("tour") as folder:
        text = tour(server, folder, PICTURE if options.write else None)
    print(text)
    if options.write:
        readme = README.read_text()
        before, after = readme[:readme.index(BEGIN) + len(BEGIN)], readme[readme.index(END):]
        README.write_text(f"{before}```\n{text}\n```\n{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
