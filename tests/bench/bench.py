#!/usr/bin/env python3
"""Measures what imapmux costs per command and per login, beside nginx's mail proxy, in front of the same backend.

Run it by script/bench, which builds everything. Everything listens on loopback and ends with this program. CPU is
user and system time of a proxy's own processes, all descendants included, from /proc. Repeats are interleaved, so
that a disturbance meets all alike. Ratios carry to another machine, absolute figures do not.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
TICK = os.sysconf("SC_CLK_TCK")

# Any user gets the fake backend. nginx asks by HTTP; a second nginx answers, whose CPU is not the proxy's.
NGINX_COMMON = """
daemon off;
pid {directory}/{name}.pid;
error_log stderr crit;
worker_processes 1;
events {{ worker_connections 4096; }}
"""
NGINX_AUTH = NGINX_COMMON + """
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      add_header Auth-Status OK; add_header Auth-Server 127.0.0.1; add_header Auth-Port {backend};
      return 204;
    }}
  }}
}}
"""
NGINX_MAIL = "load_module /usr/lib/nginx/modules/ngx_mail_module.so;\n" + NGINX_COMMON + """
mail {{
  server_name bench;
  auth_http 127.0.0.1:{auth}/;
  {certificates}
  server {{ listen 127.0.0.1:{port}{ssl}; protocol imap; imap_auth plain login; proxy_pass_error_message on; }}
}}
"""
IMAPMUX = """
workers: 1
limits: {{max_clients: 1000}}
log: {{level: warn}}
{certificates}
listeners:
  - {{name: bench, bind: "127.0.0.1:{port}", tls: {tls}}}
backends:
  fake:
    servers: ["127.0.0.1:{backend}"]
    tls: none
    mailbox_access: {access}
    connections_per_user: 100
routes:
  - {{backend: fake}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    """Starts the programs, and ends what it started."""

    def __init__(self, build, directory, tls, stack):
        self.build = build
        self.directory = directory
        self.tls = tls
        self.stack = stack
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-subj", "/CN=bench", "-days", "2",
                            "-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"],
                           check=True, capture_output=True)

    def start(self, command, port):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.stack.callback(self.stop, process)
        for _ in range(100):
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with status {process.returncode}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return process.pid
            time.sleep(0.05)
        raise SystemExit(f"{command[0]} does not listen on port {port}")

    @staticmethod
    def stop(process):
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def configuration(self, name, text, **values):
        file = self.directory / name
        file.write_text(text.format(directory=self.directory, name=name, **values))
        return file

    def fake_backend(self):
        port = free_port()
        return port, self.start([self.build / "tests/bench/fake_backend", str(port)], port)

    def nginx(self, backend):
        auth, port = free_port(), free_port()
        self.start(["nginx", "-c", self.configuration("auth.conf", NGINX_AUTH, port=auth, backend=backend)], auth)
        certificates = (f"ssl_certificate {self.directory}/cert.pem; ssl_certificate_key {self.directory}/key.pem;"
                        if self.tls else "")
        file = self.configuration("mail.conf", NGINX_MAIL, port=port, auth=auth, certificates=certificates,
                                  ssl=" ssl" if self.tls else "")
        return port, self.start(["nginx", "-c", file], port)

    def imapmux(self, backend, access):
        port = free_port()
        certificates = (f"certificates:\n  - {{names: [bench], certificate: {self.directory}/cert.pem, "
                        f"private_key: {self.directory}/key.pem}}" if self.tls else "")
        file = self.configuration(f"{access}.yaml", IMAPMUX, port=port, backend=backend, access=access,
                                  certificates=certificates, tls="implicit" if self.tls else "none")
        return port, self.start([self.build / "proxy/imapmux", "serve", "--config", file], port)

    def load(self, what, port, count, tls):
        options = ["--tls"] if tls else []
        done = subprocess.run([self.build / "tests/bench/load_generator", *options, what, str(port), str(count)],
                              stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)


def processes():
    """pid -> (parent, CPU ticks of the process and of the children it has waited for)"""
    result = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                result[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return result


def cpu_seconds(root):
    """CPU time of `root` and all its descendants."""
    now = processes()
    total = 0
    for pid, (_, ticks) in now.items():
        ancestor = pid
        while ancestor in now and ancestor != root:
            ancestor = now[ancestor][0]
        total += ticks if ancestor == root else 0
    return total / TICK


def measure(bench, subject, what, count):
    """One run: CPU microseconds per operation, and operations per second."""
    port, pid, tls = subject
    before = cpu_seconds(pid)
    result = bench.load(what, port, count, tls)
    time.sleep(0.2)  # what the proxy does after the last answer belongs to it
    return (cpu_seconds(pid) - before) * 1e6 / count, result["per_second"]


def spread(values):
    return (max(values) - min(values)) / statistics.median(values) * 100 if statistics.median(values) else 0.0


def table(runs, subjects):
    """One table: medians over the repeats, ratio to nginx (CPU) and to no proxy at all (rate), spread of the CPU."""
    lines = ["| | µs CPU per NOOP | × nginx | NOOP/s | × no proxy | spread | µs CPU per login | × nginx | logins/s "
             "| × no proxy | spread |", "|---|" + "---|" * 10]

    def median(name, what, index):
        values = [run[index] for run in runs.get((name, what), [])]
        return statistics.median(values) if values else float("nan")

    def ratio(value, reference):
        return f"{value / reference:.2f}" if reference and value == value and reference == reference else "–"

    for name in subjects:
        cells = [name]
        for what in ("command", "login"):
            cpu, rate = median(name, what, 0), median(name, what, 1)
            cells += [f"{cpu:.1f}", ratio(cpu, median("nginx", what, 0)), f"{rate:.0f}",
                      ratio(rate, median("no proxy", what, 1)), f"{spread([r[0] for r in runs[name, what]]):.0f} %"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build/release")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--commands", type=int, default=100_000, help="NOOPs per run, over 16 connections")
    parser.add_argument("--logins", type=int, default=5_000, help="logins per run, 16 at a time (a tenth with TLS)")
    parser.add_argument("--tls", action="store_true", help="TLS toward the client")
    parser.add_argument("--only", action="append", choices=["nginx", "unrestricted", "exclusive", "shared"],
                        help="may be repeated; default: nginx, unrestricted, exclusive")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args()


def run_all(options, directory, stack):
    bench = Bench(options.build, directory, options.tls, stack)
    backend, backend_pid = bench.fake_backend()
    subjects = {"no proxy": (backend, backend_pid, False)}
    for name in options.only or ["nginx", "unrestricted", "exclusive"]:
        if name == "nginx":
            subjects["nginx"] = (*bench.nginx(backend), options.tls)
        else:
            subjects[f"imapmux {name}"] = (*bench.imapmux(backend, name), options.tls)
    counts = {"command": options.commands, "login": options.logins // (10 if options.tls else 1)}
    runs = {}
    for repeat in range(-1, options.repeats):  # the first round warms up
        for name, subject in subjects.items():
            for what, count in counts.items():
                result = measure(bench, subject, what, count if repeat >= 0 else max(count // 20, 50))
                if repeat >= 0:
                    runs.setdefault((name, what), []).append(result)
        print(f"round {repeat + 1} of {options.repeats}", file=sys.stderr)
    return table(runs, subjects)


def main():
    options = arguments()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)  # nginx's worker is another user
        result = run_all(options, directory, stack)
    title = f"{'TLS toward the client' if options.tls else 'In the clear'}: medians of {options.repeats}"
    note = ("Row \"no proxy\" shows the fake backend's own CPU" + (", in the clear. " if options.tls else ". ") +
            "One worker each. Spread: largest less smallest CPU, of the median.")
    print(f"{title}\n\n{result}\n\n{note}")
    if options.write:
        machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, {time.strftime('%Y-%m-%d')}"
        write_section(title.split(":")[0], f"## {title}\n{machine}. {note}\n\n{result}\n")
    return 0


def write_section(name, text):
    """Replaces the section of RESULTS.md whose title begins with `name`."""
    old = RESULTS.read_text() if RESULTS.exists() else "# What imapmux costs\n\nWritten by `script/bench --write`.\n"
    head, *sections = old.split("\n## ")
    kept = [section.rstrip() + "\n" for section in sections if not section.startswith(name)]
    RESULTS.write_text("\n## ".join([head.rstrip() + "\n", *kept]) + "\n" + text)


if __name__ == "__main__":
    sys.exit(main())
