"""Scenarios in front of a fake server: memory, SELECT, workers, IDLE, and how costs grow."""
import contextlib
import subprocess
import time

from scale_rig import (Crowd, MailboxBackend, Samples, cpu_seconds, cpu_us_per_command, proxy, pss_kib, temp_folder,
                       wait_until)


def settled_pss(pid):
    """When nothing is under way any more."""
    time.sleep(1)
    return pss_kib(pid)


def memory(report, small):
    clients, users = (500, 100) if small else (4000, 1000)
    for tls, goal in (("none", 6), ("implicit", 20)):
        name = "in the clear" if tls == "none" else "TLS"
        with MailboxBackend() as backend, proxy(backend, tls=tls) as mux, Crowd(mux.port, tls) as crowd:
            crowd.open(200)  # what the first ones cost is paid once
            before = settled_pss(mux.process.pid)
            crowd.open(clients)
            each = (settled_pss(mux.process.pid) - before) / clients
            report.line(f"{clients} clients of one mailbox, {name}: KB each", f"{each:.1f}", f"{goal}", each <= goal)
            crowd.ask("idle")
            each = (settled_pss(mux.process.pid) - before) / clients
            report.line(f"… all in IDLE, {name}", f"{each:.1f}")
        with MailboxBackend() as backend, proxy(backend, tls=tls) as mux, Crowd(mux.port, tls) as crowd:
            crowd.open(50, users=50)
            before = settled_pss(mux.process.pid)
            crowd.open(users, users=users + 50)
            each = (settled_pss(mux.process.pid) - before) / users
            report.line(f"{users} users with a client and a backend connection each, {name}: KB each", f"{each:.1f}")
    for gap in (1, 3):
        large = 20_000 if small else 100_000
        with MailboxBackend(large, gap) as backend, proxy(backend) as mux, Crowd(mux.port) as crowd:
            before = settled_pss(mux.process.pid)
            crowd.open(1)
            one = settled_pss(mux.process.pid) - before
            crowd.open(9)
            ten = settled_pss(mux.process.pid) - before
            what = f"a mailbox of {large} messages, UIDs {'without gaps' if gap == 1 else 'with gaps'}: MB"
            report.line(f"{what} with 1 view", f"{one / 1024:.2f}", "1.5", one <= 1536)
            report.line(f"{what} with 10 views", f"{ten / 1024:.2f}", "1.5", ten <= 1536)
    report.note("The goal per client is of further clients in a mailbox that is open already: what a session itself "
                "costs. A user's first client also brings the account, the mailbox and a backend connection.")


def select(report, small):
    seconds = 1 if small else 3
    for large in (10, 100_000):
        with MailboxBackend(large) as backend, proxy(backend) as mux, Crowd(mux.port) as keeper, \
                Crowd(mux.port) as crowd:
            keeper.open(1)
            crowd.open(1)
            time.sleep(2)  # flags are read behind the first SELECT
            samples = Samples()
            for _ in range(3):
                samples.add("select", cpu_us_per_command(mux.process.pid, crowd, seconds, 1, "SELECT INBOX")[0])
            ms = samples.median("select") / 1000
            report.line(f"SELECT of {large} messages that are open: ms CPU", f"{ms:.3f}", "1" if large > 10 else "",
                        ms < 1 if large > 10 else None)
    report.note("The last client's SELECT, again and again; one NOOP to the backend is part of it. All messages are \\Seen, "
                "so that the first unseen one is looked for to the end.")


def futex_calls(pid, work):
    """Calls of futex(2) while work() is done."""
    with temp_folder("strace") as folder:
        tracer = subprocess.Popen(["strace", "-f", "-q", "-c", "-e", "trace=futex", "-o", folder / "calls", "-p",
                                   str(pid)], stderr=subprocess.DEVNULL)
        time.sleep(1)
        work()
        tracer.terminate()
        tracer.wait()
        return sum(int(line.split()[3]) for line in (folder / "calls").read_text().splitlines()
                   if line.endswith("futex"))


def workers(report, small):
    seconds, repeats, users = (1, 3, 50) if small else (3, 7, 50)
    for access in ("shared", "unrestricted"):
        with contextlib.ExitStack() as stack:
            backend = stack.enter_context(MailboxBackend())
            subjects = {}
            for count in (1, 2):
                mux = stack.enter_context(proxy(backend, access, workers=count))
                crowd = stack.enter_context(Crowd(mux.port))
                crowd.open(users, users)
                subjects[count] = mux.process.pid, crowd
            samples = Samples()
            for _ in range(repeats):
                for count, (pid, crowd) in subjects.items():
                    samples.add(count, cpu_us_per_command(pid, crowd, seconds, users, "NOOP")[0])
                samples.add("ratio", samples[2][-1] / samples[1][-1])
            ratio = samples.median("ratio")
            report.line(f"`{access}`: µs CPU per NOOP with 1 worker", f"{samples.median(1):.1f}")
            report.line(f"`{access}`: … with 2", f"{samples.median(2):.1f}")
            report.line(f"`{access}`: ratio, median of {repeats} pairs (spread {samples.spread('ratio'):.0f} %)",
                        f"{ratio:.2f}", "1.1", ratio <= 1.1)
            pid, crowd = subjects[2]
            done = {}
            calls = futex_calls(pid, lambda: done.update(crowd.say(2, users, "NOOP")))
            report.line(f"`{access}`: futex calls per command with 2 workers",
                        f"{calls / done['count']:.4f} ({calls} in {done['count']})", "0", calls * 1000 < done["count"])
    report.note(f"{users} users with a client each, all waiting for an answer at a time.")


def idle(report, small):
    clients, users = (900, 100) if small else (9000, 1000)
    with MailboxBackend() as backend, proxy(backend) as mux, Crowd(mux.port) as crowd:
        pid = mux.process.pid
        opened = crowd.open(clients, users)
        crowd.ask("idle")
        wait_until(lambda: backend.idling() == users, 60, "all mailboxes idle on the backend", 0.2)
        before = settled_pss(pid)
        quiet = cpu_seconds(pid)
        time.sleep(10)
        quiet = (cpu_seconds(pid) - quiet) / 10
        report.line(f"{clients} clients of {users} users log in, SELECT, IDLE: seconds", f"{opened['seconds']:.1f}")
        report.line("CPU while nothing happens: % of a core", f"{quiet * 100:.2f}")
        samples = Samples()
        for _ in range(5):
            cpu, began = cpu_seconds(pid), time.monotonic()
            backend.ask("deliver")
            crowd.ask("told")
            samples.add("seconds", time.monotonic() - began)
            time.sleep(1)
            samples.add("cpu", cpu_seconds(pid) - cpu)
            wait_until(lambda: backend.idling() == users, 60, "all mailboxes idle again", 0.2)
        after = settled_pss(pid)
        report.line("one delivery to each user: every client told", f"{clients} of {clients}", "all", True)
        report.line("… after, ms", f"{samples.median('seconds') * 1000:.0f}")
        report.line("… CPU, ms", f"{samples.median('cpu') * 1000:.0f}")
        report.line("… CPU per client told, µs", f"{samples.median('cpu') * 1e6 / clients:.1f}")
        report.line("memory before and after 5 deliveries, MB", f"{before / 1024:.1f} → {after / 1024:.1f}", "flat",
                    after <= before * 1.02)


NOOP, FLAGS = "NOOP", "UID FETCH 5 (FLAGS)"


def grown(report, title, sizes, seconds, repeats, start, commands=(NOOP, FLAGS), bound=1.25):
    """start(stack, size) -> (pid, crowd). All sizes are there at once and measured in turn."""
    with contextlib.ExitStack() as stack:
        subjects = {size: start(stack, size) for size in sizes}
        for command in commands:
            samples = Samples()
            for _ in range(repeats):
                for size, (pid, crowd) in subjects.items():
                    samples.add(size, cpu_us_per_command(pid, crowd, seconds, 10, command)[0])
            for size in sizes:
                last = size == sizes[-1]
                growth = samples.median(size) / samples.median(sizes[0])
                report.line(f"{size:,} {title}: µs CPU per {command}", f"{samples.median(size):.1f}"
                            + (f" (× {growth:.2f})" if size != sizes[0] else ""),
                            f"× {bound}" if last else "", growth <= bound if last else None)


def growth(report, small):
    seconds, repeats = (0.5, 3) if small else (1, 5)

    def clients_of_one_mailbox(stack, size):
        mux = stack.enter_context(proxy(stack.enter_context(MailboxBackend())))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(size)
        return mux.process.pid, crowd

    def users(stack, size):
        mux = stack.enter_context(proxy(stack.enter_context(MailboxBackend())))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(size, size)
        return mux.process.pid, crowd

    def mailboxes(stack, size):
        mux = stack.enter_context(proxy(stack.enter_context(MailboxBackend()), places=1000))
        crowd = stack.enter_context(Crowd(mux.port))
        # always ten clients at work, on as many mailboxes as there are
        crowd.open(max(size, 10), 1, "Box%" if size >= 10 else "INBOX")
        return mux.process.pid, crowd

    def ghosts(stack, size):
        backend = stack.enter_context(MailboxBackend(30_000))
        mux = stack.enter_context(proxy(backend))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(10)
        other = stack.enter_context(Crowd(mux.port))
        other.open(1)
        time.sleep(2)
        backend.ask(f"expunge {size}")
        other.say(0.1, 1, "NOOP")  # the proxy hears of it; those who FETCH by number can't be told
        return mux.process.pid, crowd

    grown(report, "clients of one mailbox", [10, 100, 1000] if small else [10, 100, 1000, 9000], seconds, repeats,
          clients_of_one_mailbox)
    grown(report, "users with a client each", [10, 100] if small else [10, 100, 1000], seconds, repeats, users)
    grown(report, "open mailboxes of a user", [1, 10, 100], seconds, repeats, mailboxes)
    grown(report, "ghosts in each view", [0, 10, 10_000], seconds, repeats, ghosts, ("FETCH 15000 (FLAGS)",))
    report.note("Ten commands are under way at any time, by each client in turn.")
