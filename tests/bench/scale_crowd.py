"""Scenarios in front of a fake server: memory, SELECT, workers, IDLE, and how costs grow."""
import contextlib
import time

from scale_rig import (Crowd, FutexCalls, Instructions, MailboxBackend, Samples, cpu_seconds, cpu_us_per_command, proxy,
                       pss_kib, temp_folder, wait_until)


def settled_pss(pid, kind="Pss"):
    """When nothing is under way any more."""
    time.sleep(1)
    return pss_kib(pid, kind)


VIEWS = (1, 10)


def mailbox_kib(messages, gap):
    """Memory with so many views of a mailbox."""
    with MailboxBackend(messages, gap) as backend, proxy(backend) as mux, Crowd(mux.port) as crowd:
        found, opened = [], 0
        for views in VIEWS:
            crowd.open(views - opened)
            opened = views
            time.sleep(2)  # flags are read behind the first SELECT
            found.append(settled_pss(mux.process.pid, "Pss_Anon"))
        return found


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
            report.line(f"… all in IDLE, {name}: KB each", f"{each:.1f}", f"{goal}", each <= goal)
        with MailboxBackend() as backend, proxy(backend, tls=tls) as mux, Crowd(mux.port, tls) as crowd:
            crowd.open(50, users=50)
            before = settled_pss(mux.process.pid)
            crowd.open(users, users=users + 50)
            each = (settled_pss(mux.process.pid) - before) / users
            report.line(f"{users} users with a client and a backend connection each, {name}: KB each", f"{each:.1f}")
    large = 20_000 if small else 100_000
    nothing = mailbox_kib(10, 1)
    for gap in (1, 3):
        tables = [kib - none for kib, none in zip(mailbox_kib(large, gap), nothing)]
        what = f"a table of {large:,} messages, UIDs {'without gaps' if gap == 1 else 'with gaps'}: MB"
        for views, kib in zip(VIEWS, tables):
            report.line(f"{what} with {views} view{'s' if views > 1 else ''}", f"{kib / 1024:.2f}", "1.5", kib <= 1536)
    report.note("The goal per client is of further clients in a mailbox that is open already: what a session itself "
                "costs. A user's first client also brings the account, the mailbox and a backend connection. A table is what "
                f"a mailbox of {large:,} messages takes more than one of ten.")


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
        with temp_folder("strace") as folder, MailboxBackend() as backend:
            futex = FutexCalls(folder)
            with proxy(backend, access, workers=2, program=futex.program) as mux, Crowd(mux.port) as crowd:
                crowd.open(users, users)
                before = futex.so_far()
                count = crowd.say(seconds, users, "NOOP")["count"]
                calls = futex.so_far() - before
            report.line(f"`{access}`: futex calls with 2 workers, in {count} commands", f"{calls}", "0",
                        calls * 1000 < count)
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
        samples, memory = Samples(), [before]
        for delivery in range(10):
            cpu, began = cpu_seconds(pid), time.monotonic()
            backend.ask("deliver")
            crowd.ask("told")
            samples.add("seconds", time.monotonic() - began)
            time.sleep(1)
            samples.add("cpu", cpu_seconds(pid) - cpu)
            wait_until(lambda: backend.idling() == users, 60, "all mailboxes idle again", 0.2)
            if delivery % 5 == 4:
                memory.append(settled_pss(pid))
        report.line("one delivery to each user: every client told", f"{clients} of {clients}", "all", True)
        report.line("… after, ms", f"{samples.median('seconds') * 1000:.0f}")
        report.line("… CPU, ms", f"{samples.median('cpu') * 1000:.0f}")
        report.line("… CPU per client told, µs", f"{samples.median('cpu') * 1e6 / clients:.1f}")
        # The first ones bring each client's first message to tell of; those that follow find all that in place.
        report.line("memory before, after 5 and after 10 deliveries, MB", " → ".join(f"{kib / 1024:.1f}" for kib in memory),
                    "flat", memory[2] <= memory[1] * 1.01)


NOOP, FLAGS = "NOOP", "UID FETCH 5 (FLAGS)"
AT_WORK = 10


def grown(report, small, title, sizes, start, commands=(NOOP, FLAGS), directly=None):
    """What a command costs with so many of something.

    start(stack, size, program) -> (pid, crowd), with a proxy that is run as `program`. directly: the same
    without a proxy, the pid is the server's.
    """
    cpu, instructions, control = Samples(), Samples(), Samples()
    with contextlib.ExitStack() as stack:  # all sizes are there at once, and measured in turn
        subjects = [(cpu, size, start(stack, size, None)) for size in sizes]
        if directly:
            subjects += [(control, size, directly(stack, size)) for size in (sizes[0], sizes[-1])]
        for _ in range(3 if small else 5):
            for command in commands:
                for samples, size, (pid, crowd) in subjects:
                    samples.add((size, command), cpu_us_per_command(pid, crowd, 0.5, AT_WORK, command)[0])
    for size in sizes:
        with temp_folder("callgrind") as folder, contextlib.ExitStack() as stack:
            counter = Instructions(folder)
            pid, crowd = start(stack, size, counter.program)
            for command in commands:
                crowd.say(0.2, AT_WORK, command)
                done, all_of_them = counter.during(pid, lambda: crowd.say(1, AT_WORK, command))
                instructions.add((size, command), all_of_them / done["count"])
    for command in commands:
        for size in sizes:
            first, last = (sizes[0], command), size == sizes[-1]
            count, time_ = instructions.median((size, command)), cpu.median((size, command))
            growth, slower = count / instructions.median(first), time_ / cpu.median(first)
            report.line(f"{command}, {size:,} {title}",
                        f"{count:,.0f} instructions (× {growth:.2f}), {time_:.1f} µs CPU (× {slower:.2f})",
                        "instructions × 1.1" if last else "", growth <= 1.1 if last else None)
        if directly:
            slower = control.median((sizes[-1], command)) / control.median((sizes[0], command))
            report.line("… the same without a proxy: CPU of the fake server", f"× {slower:.2f}")
    report.note(f"{AT_WORK} commands are under way at any time, by each client in turn. Instructions are those in user space "
                "(callgrind); CPU time also has what the kernel takes, and grows with what no cache holds any more: in a "
                "server that does nothing else, too.")


def direct_clients(users_of):
    def directly(stack, size):
        backend = stack.enter_context(MailboxBackend())
        crowd = stack.enter_context(Crowd(backend.port))
        crowd.open(size, users_of(size))
        return backend.pid, crowd
    return directly


def clients(report, small):
    def start(stack, size, program):
        mux = stack.enter_context(proxy(stack.enter_context(MailboxBackend()), program=program))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(size)
        return mux.process.pid, crowd
    grown(report, small, "clients of one mailbox", [10, 100, 1000] if small else [10, 100, 1000, 9000], start,
          directly=direct_clients(lambda size: 1))


def users(report, small):
    def start(stack, size, program):
        mux = stack.enter_context(proxy(stack.enter_context(MailboxBackend()), program=program))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(size, size)
        return mux.process.pid, crowd
    grown(report, small, "users with a client each", [10, 100] if small else [10, 100, 1000], start,
          directly=direct_clients(lambda size: size))


def mailboxes(report, small):
    def start(stack, size, program):
        mux = stack.enter_context(proxy(stack.enter_context(MailboxBackend()), places=1000, program=program))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(size, 1, "Box%")
        return mux.process.pid, crowd
    grown(report, small, "open mailboxes of a user", [10, 100] if small else [10, 100, 1000], start)


def ghosts(report, small):
    def start(stack, size, program):
        backend = stack.enter_context(MailboxBackend(30_000))
        mux = stack.enter_context(proxy(backend, program=program))
        crowd = stack.enter_context(Crowd(mux.port))
        crowd.open(AT_WORK)
        other = stack.enter_context(Crowd(mux.port))
        other.open(1)
        time.sleep(3)  # flags are read behind the first SELECT
        backend.ask(f"expunge {size}")
        other.say(0.1, 1, "NOOP")  # the proxy hears of it; those who FETCH by number can't be told
        return mux.process.pid, crowd
    grown(report, small, "ghosts in each view", [0, 10, 10_000], start, ("FETCH 15000 (FLAGS)",))
