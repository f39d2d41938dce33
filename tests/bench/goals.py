"""What imapmux is meant to achieve beside its peers, and whether it does."""
import dataclasses
import typing

from report import quartiles, table

BEST_PEER = "best peer"


@dataclasses.dataclass(frozen=True)
class Goal:
    """subject's `work` costs at most `limit` times that of `reference`: BEST_PEER, or (subject, work)."""
    text: str
    subject: str
    work: str
    limit: float
    reference: typing.Any = BEST_PEER
    tls: bool = False

    def measured(self, results):
        """(lower, median, upper), or None."""
        reference = self.reference
        if reference == BEST_PEER:
            reference = (results.best_peer(self.work), self.work)
        ratios = results.ratios(self.subject, reference, self.work)
        return quartiles(ratios) if ratios else None


@dataclasses.dataclass(frozen=True)
class IdleGoal:
    """KB per idle client: at most `limit`, or at most the best peer's if that is None."""
    text: str
    subject: str
    limit: float | None = None
    tls: bool = False

    def measured(self, results):
        value, best = results.idle.get(self.subject), results.best_idle_peer()
        if value is None or (self.limit is None and best is None):
            return None
        return (value if self.limit else value / results.idle[best],) * 3


@dataclasses.dataclass(frozen=True)
class CallsGoal:
    text: str
    subject: str
    limit: float
    tls: bool = False

    def measured(self, results):
        return (results.calls[self.subject][0],) * 3 if self.subject in results.calls else None


@dataclasses.dataclass(frozen=True)
class LateGoal:
    """Share of those who log in alone and wait for a delayed acknowledgement. A busy machine delays some, too."""
    text: str
    subject: str
    limit: float = 0.05
    tls: bool = False

    def measured(self, results):
        runs = results.alone.get(self.subject)
        return (sum(run.late for run in runs.values()) / len(runs),) * 3 if runs else None


def _goals(tls):
    nginx_login = ("nginx", "login")
    yield Goal("unrestricted: CPU per NOOP, of the best peer's", "unrestricted", "command", 1.0, tls=tls)
    yield Goal("unrestricted: CPU per FETCH, of the best peer's", "unrestricted", "fetch", 1.0, tls=tls)
    yield CallsGoal("unrestricted: socket calls per NOOP", "unrestricted", 4.1, tls=tls)
    yield Goal("unrestricted: CPU per MB, of the best peer's", "unrestricted", "bulk", 0.9 if tls else 0.45, tls=tls)
    yield IdleGoal("unrestricted: memory per idle client, of the best peer's", "unrestricted", tls=tls)
    for subject in ("unrestricted", "exclusive", "shared-cold"):
        yield Goal(f"{subject}: CPU per cold login, of nginx's", subject, "login", 1.0, nginx_login, tls)
    if not tls:
        yield Goal("shared: CPU per warm login, of nginx's login", "shared", "warm", 0.5, nginx_login)
    yield LateGoal("shared: share of warm logins that stall", "shared", tls=tls)
    yield LateGoal("unrestricted: share of cold logins that stall", "unrestricted", tls=tls)
    for work, name in (("command", "NOOP"), ("fetch", "FETCH"), ("bulk", "MB")):
        yield Goal(f"shared: CPU per {name}, of nginx's", "shared", work, 1.1, ("nginx", work), tls)
    yield IdleGoal("shared: KB per idle client, 100 in a mailbox", "shared-crowd", 20 if tls else 6, tls)


GOALS = [goal for tls in (False, True) for goal in _goals(tls)]


def verdict(limit, lower, median):
    if median <= limit:
        return "met"
    return "within the spread" if lower <= limit else "**not met**"


def goal_table(results_by_tls):
    """results_by_tls: False, True -> Results; either may be missing."""
    rows = []
    for goal in GOALS:
        measured = goal.measured(results_by_tls[goal.tls]) if goal.tls in results_by_tls else None
        if measured is None:
            continue
        limit = 1.0 if goal.limit is None else goal.limit
        lower, median, upper = measured
        rows.append([goal.text, "TLS" if goal.tls else "clear", f"≤ {limit:g}",
                     f"{median:.2f}" + (f" ({lower:.2f} – {upper:.2f})" if lower != upper else ""),
                     verdict(limit, lower, median)])
    return table(["goal", "", "at most", "measured", ""], rows) if rows else ""
