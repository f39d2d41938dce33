"""What fixed work cost when it was recorded, and whether it costs more now."""

import json

PORTABLE = ("imapmux", "libuv", "libstdc++", "other")  # the same on every machine of one architecture
ALL_COLUMNS = PORTABLE + ("libc", "openssl")           # libc and OpenSSL choose their code by the processor
TOLERANCE = 0.05
# So much comes and goes with a timer, the growth of some table, or octets that arrive in one piece more, while a row is
# measured. futex: on a machine with other things to do, a thread is sometimes put aside while it holds what another one
# wants (an allocator's lock, a queue); a lock per command shows by hundreds in the 5,000 commands of such a row.
SLACK = {"instructions": 300, "OpenSSL": 300, "allocations": 10, "system calls": 4, "futex": 25}


def figures(row, like_recorded):
    """The figures of a row that are compared. like_recorded: whether the processor offers what it did then."""
    columns = ("libc",) + PORTABLE if like_recorded else PORTABLE
    result = {"instructions": sum(row["instructions"].get(column, 0) for column in columns),
              "allocations": row["allocations"],
              "system calls": sum(value for call, value in row["calls"].items() if call != "futex"),
              "futex": row["calls"].get("futex", 0)}
    if like_recorded:
        result["OpenSSL"] = row["instructions"].get("openssl", 0)
    return result


class Verdict:
    def __init__(self):
        self.worse, self.better = [], []

    def compare(self, name, now, recorded, like_recorded=True):
        """Both rows as in the file."""
        before = figures(recorded, like_recorded)
        for figure, value in figures(now, like_recorded).items():
            margin = max(before[figure] * TOLERANCE, SLACK[figure] / now["times"])
            change = f"{name}: {figure} {before[figure]:,.2f} -> {value:,.2f}"
            if before[figure] > 0:
                change += f" ({100 * (value / before[figure] - 1):+.1f} %)"
            if value > before[figure] + margin:
                self.worse.append(change)
            elif value < before[figure] - margin:
                self.better.append(change)


def compare(now, recorded, like_recorded=True):
    """now, recorded: name -> row. A row that is not recorded is worse than any."""
    verdict = Verdict()
    for name, row in now.items():
        if name in recorded:
            verdict.compare(name, row, recorded[name], like_recorded)
        else:
            verdict.worse.append(f"{name}: is not recorded")
    return verdict


def load(path):
    return json.loads(path.read_text()) if path.exists() else {"recorded with": {}, "rows": {}}


def save(path, environment, rows):
    """One line per row, so that a change shows as what it is."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in sorted(rows.items()))
    head = json.dumps(environment, sort_keys=True)
    path.write_text(f'{{"recorded with": {head},\n "rows": {{\n{lines}\n}}}}\n')
