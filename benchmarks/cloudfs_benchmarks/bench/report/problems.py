"""What did not go as planned: every error, skip and unstable figure, each said once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cloudfs_benchmarks.bench.report.numbers import one_line
from cloudfs_benchmarks.bench.results import Results


class Trouble(StrEnum):
    """How a record fell short."""

    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason on one target, and all that it hit (`sequential-1 cold`)."""

    target: str
    trouble: Trouble
    reason: str
    where: tuple[str, ...]


def find_problems(results: Results) -> list[Problem]:
    """Errors first, then what was skipped; the same reason on the same target is one problem."""
    found: dict[tuple[Trouble, str, str], list[str]] = {}
    for trouble, target, reason, where in _reports(results):
        found.setdefault((trouble, target, one_line(reason)), []).append(where)
    order = list(Trouble)
    return [
        Problem(target, trouble, reason, tuple(dict.fromkeys(where)))
        for (trouble, target, reason), where in sorted(
            found.items(), key=lambda item: order.index(item[0][0])
        )
    ]


def count_errors(results: Results) -> int:
    """Records that failed: measurements, training runs and node runs."""
    return sum(trouble is Trouble.ERROR for trouble, _, _, _ in _reports(results))


def count_unstable(results: Results) -> int:
    """Measurements whose trials disagree."""
    return sum(measurement.unstable for measurement in results.measurements)


def _reports(results: Results) -> list[tuple[Trouble, str, str, str]]:
    """(trouble, target, reason, where) of every record that has one."""
    reports = []
    for one in results.measurements:
        where = f"{one.name} {one.state}"
        if one.error is not None:
            reports.append((Trouble.ERROR, one.target, one.error, where))
        if one.skipped is not None:
            reports.append((Trouble.SKIPPED, one.target, one.skipped, where))
    for run in results.training:
        if run.error is not None:
            where = f"training, trial {run.trial}"
            reports.append((Trouble.ERROR, run.target, run.error, where))
    for node in results.nodes:
        if node.error is not None:
            where = f"{node.nodes} reader nodes, trial {node.trial}"
            reports.append((Trouble.ERROR, node.target, node.error, where))
    return reports
