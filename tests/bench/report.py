"""From measurements to tables. No measuring here: test_report.py checks the arithmetic."""
import re
import statistics

from subjects import SUBJECTS, WORKS


class Results:
    """What one run of the benchmark found, in the clear or with TLS."""

    def __init__(self, tls):
        self.tls = tls
        self.runs = {}  # (subject, work) -> {round: Run}
        self.alone = {}  # subject -> {round: Run}: logins one at a time
        self.idle = {}  # subject -> KB per client
        self.calls = {}  # subject -> (calls on sockets, all) per NOOP
        self.problems = []  # what could not be measured, and why

    def values(self, subject, work, figure):
        return {number: getattr(run, figure) for number, run in self.runs.get((subject, work), {}).items()}

    def median(self, subject, work, figure="cpu"):
        values = self.values(subject, work, figure).values()
        return statistics.median(values) if values else None

    def ratios(self, subject, reference, work, figure="cpu"):
        """Of the rounds in which both were measured: what disturbs a round disturbs both."""
        ours, theirs = self.values(subject, work, figure), self.values(reference[0], reference[1], figure)
        return [ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys()) if theirs[number]]

    def best_peer(self, work):
        """The peer with the least CPU for it; for logins, of those that see them."""
        medians = {key: self.median(key, work) for key, subject in SUBJECTS.items()
                   if subject.peer and (subject.sees_logins or not WORKS[work].is_login)}
        return min((key for key, value in medians.items() if value is not None), key=medians.get, default=None)

    def best_idle_peer(self):
        return min((key for key in self.idle if SUBJECTS[key].peer), key=self.idle.get, default=None)

    def subjects(self):
        """Those that were measured at anything, in their order."""
        found = {key for key, _ in self.runs} | self.idle.keys() | self.alone.keys()
        return [key for key in SUBJECTS if key in found]

    def works(self):
        found = {work for _, work in self.runs}
        return [work for work in WORKS if work in found]


def quartiles(values):
    """(lower, median, upper); of few values the smallest and largest."""
    ordered = sorted(values)
    if len(ordered) < 4:
        return ordered[0], statistics.median(ordered), ordered[-1]
    lower, middle, upper = statistics.quantiles(ordered, n=4, method="inclusive")
    return lower, middle, upper


def spread(values):
    """The middle half of the values, in percent of their median."""
    lower, middle, upper = quartiles(values)
    return (upper - lower) / middle * 100 if middle else 0.0


def number(value):
    """Three digits or more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def resumes(results, key, work):
    return work != "resumed" or results.median(key, work, "resumed") > 0.5


def cpu_table(results):
    """CPU per unit; × the best peer, spread over the repeats."""
    works = results.works()
    best = {work: results.best_peer(work) for work in works}
    best_idle = results.best_idle_peer()

    def cell(key, work):
        values = results.values(key, work, "cpu").values()
        if not values:
            return "–"
        if not resumes(results, key, work):
            return "does not resume"
        parts = [number(statistics.median(values))]
        if best[work] and key != "none":
            parts.append(f"×{statistics.median(results.ratios(key, (best[work], work), work) or [float('nan')]):.2f}")
        return " ".join([*parts, f"±{spread(values) / 2:.0f}%"])

    def idle_cell(key):
        if key not in results.idle:
            return "–"
        return number(results.idle[key]) + (f" ×{results.idle[key] / results.idle[best_idle]:.2f}" if best_idle else "")

    head = ["CPU µs per", *(WORKS[work].unit for work in works)]
    rows = [[SUBJECTS[key].title, *(cell(key, work) for work in works)] for key in results.subjects()]
    if results.idle:
        head.append("KB per idle client")
        rows = [[*row, idle_cell(key)] for row, key in zip(rows, results.subjects())]
    return table(head, rows)


def speed_table(results):
    """Units per second, × no proxy at all."""
    works = results.works()

    def cell(key, work):
        rate = results.median(key, work, "per_second")
        if rate is None:
            return "–"
        ratios = results.ratios(key, ("none", "login" if work == "warm" else work), work, "per_second")
        return number(rate) + (f" ×{statistics.median(ratios):.2f}" if ratios else "")

    return table(["per second", *(WORKS[work].unit for work in works)],
                 [[SUBJECTS[key].title, *(cell(key, work) for work in works)]
                  for key in results.subjects() if any((key, work) in results.runs for work in works)])


def wait_table(results):
    """Median and 99th percentile of the waits under load; logins one at a time; system calls."""
    works = results.works()

    def cell(key, work):
        middle = results.median(key, work, "median_wait")
        return "–" if middle is None else f"{number(middle)} / {number(results.median(key, work, 'p99_wait'))}"

    def alone(key):
        runs = results.alone.get(key, {}).values()
        if not runs:
            return "–"
        late = statistics.mean(run.late for run in runs)
        return number(statistics.median(run.median_wait for run in runs)) + (f", {late:.0%} stall" if late > 0.005 else "")

    def calls(key):
        return " of ".join(number(count) for count in results.calls[key]) if key in results.calls else "–"

    columns = [(WORKS[work].unit, lambda key, work=work: cell(key, work)) for work in works]
    if results.alone:
        columns.append(("login alone", alone))
    if results.calls:
        columns.append(("calls on sockets of all, per NOOP", calls))
    rows = [[function(key) for _, function in columns] for key in results.subjects()]
    return table(["wait in µs: median / p99", *(title for title, _ in columns)],
                 [[SUBJECTS[key].title, *row] for key, row in zip(results.subjects(), rows) if set(row) != {"–"}])


LEGEND = """CPU is that of the subject's own processes; of "no proxy" it is the backend's. × in the first table: of the peer with the \
least, median of the repeats' ratios; ±: half of the middle half of the repeats, of their median. × in the second: of no proxy. \
HAProxy sees no logins and is no peer for them; with splice-auto it does not splice here, with splice-response it does, which \
is shown for comparison only. Warm login: imapmux shared with the account open and the password cached, \
up-imapproxy with a connection of the user at hand. "Login alone": one at a time, the median; those stall that take \
over 35 ms, for a delayed acknowledgement. Idle: PSS of all the subject's processes, in INBOX and in IDLE."""


def section(results):
    parts = [cpu_table(results), speed_table(results), wait_table(results), LEGEND]
    if results.tls:
        spoken = {}
        for (key, _), runs in results.runs.items():
            spoken.setdefault(next(iter(runs.values())).protocol, {})[SUBJECTS[key].title] = None
        parts.append("AES-128-GCM and an ECDSA key on P-256 for all. " +
                     "; ".join(f"{protocol}: {', '.join(titles)}" for protocol, titles in spoken.items()) + ".")
    if results.problems:
        parts.append("Missing:\n" + "\n".join(f"- {problem}" for problem in results.problems))
    return "\n\n".join(parts)


def with_section(text, name, section):
    """`text` with `section` in the place of the one whose title begins with `name`, or at its end."""
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    places = [place for place, old in enumerate(sections) if old.startswith(f"## {name}")] or [len(sections)]
    sections[places[0]:places[0] + 1] = [section]
    return "\n\n".join(part.strip() for part in (head, *sections)) + "\n"


def pair_table(pairs):
    """pairs: (first, second, work, tls) -> ratios of the CPU of the second to that of the first."""
    rows = []
    for (first, second, work, tls), ratios in pairs.items():
        lower, middle, upper = quartiles(ratios)
        rows.append([f"{SUBJECTS[second].title} / {SUBJECTS[first].title}", WORKS[work].unit, "TLS" if tls else "clear",
                     f"{middle:.3f}", f"{lower:.3f} – {upper:.3f}", f"{min(ratios):.3f} – {max(ratios):.3f}", str(len(ratios))])
    return table(["ratio of CPU", "per", "", "median", "middle half", "all", "pairs"], rows)
