"""One line to decide by."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs_benchmarks.bench.report.epochs import summarise_epochs
from cloudfs_benchmarks.bench.report.numbers import number, one_line, percent
from cloudfs_benchmarks.bench.report.problems import count_errors, count_unstable
from cloudfs_benchmarks.bench.report.rows import Row, make_rows, of_kind, target_names
from cloudfs_benchmarks.bench.results import Kind, Results
from cloudfs_benchmarks.bench.statistics import median

_REASON_LENGTH = 80


def verdict(results: Results) -> str:
    """One line from medians over the trials, for the first cloudfs target, or the first of all."""
    subject = _subject(results)
    if subject is None:
        return "nothing was measured"
    line = _training_line(results, subject) or _throughput_line(results, subject)
    line = line or f"{subject}: {_failure(results, subject) or 'nothing was measured'}"
    return one_line("; ".join([line, *_reservations(results)]))


def _subject(results: Results) -> str | None:
    names = of_kind(results, Kind.CLOUDFS) or target_names(results)
    return names[0] if names else None


def _training_line(results: Results, subject: str) -> str:
    """`cloudfs: epoch 1 AU 71 % -> epoch 2 AU 97 % (local 97 %, nfs failed: ...)`."""
    epochs = {(epoch.target, epoch.number): epoch for epoch in summarise_epochs(results)}
    shown = [number for number in (1, 2) if (subject, number) in epochs]
    if not shown:
        return ""
    arrow = " -> ".join(
        f"epoch {number} AU {percent(median(epochs[subject, number].au))}" for number in shown
    )
    others = []
    for name in target_names(results):
        other = epochs.get((name, shown[-1]))
        if name != subject and other is not None:
            others.append(f"{name} {percent(median(other.au))}")
        elif name != subject:
            others.append(f"{name} {_failure(results, name) or 'not measured'}")
    failed = [run.error for run in results.training if run.target == subject and run.error]
    suffix = f", then failed: {_short(failed[0])}" if failed else ""
    return f"{subject}: {arrow}{suffix}{_in_brackets(others)}"


def _throughput_line(results: Results, subject: str) -> str:
    """`cloudfs: sequential-1 cold 104 MB/s (local 1200) -> ssd-warm 980 MB/s`."""
    names = target_names(results)
    index = names.index(subject)
    rows = [row for row in make_rows(results) if row.figure == "throughput" and row.series(index)]
    same = [row for row in rows if (row.suite, row.name) == (rows[0].suite, rows[0].name)]
    states = []
    for row in same:
        others = [
            f"{name} {_rate(row, other)}" for other, name in enumerate(names) if other != index
        ]
        measured = [text for text in others if not text.endswith(" -")]
        value = f"{row.state} {_rate(row, index)} MB/s"
        states.append(value + _in_brackets(measured))
    return f"{subject}: {same[0].name} {' -> '.join(states)}" if same else ""


def _rate(row: Row, index: int) -> str:
    series, cell = row.series(index), row.cells[index]
    if series is not None:
        return number(median(series.values))
    return "failed" if cell is not None and cell.error is not None else "-"


def _in_brackets(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


def _failure(results: Results, target: str) -> str:
    """`failed: REASON` for the first thing that failed on a target, "" if nothing did."""
    reasons = []
    for records in (results.training, results.measurements, results.nodes):
        reasons += [record.error for record in records if record.target == target and record.error]
    return f"failed: {_short(reasons[0])}" if reasons else ""


def _short(reason: str) -> str:
    line = one_line(reason)
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 3] + "..."


def _reservations(results: Results) -> list[str]:
    """What a reader of the line must know before believing it."""
    errors, unstable = count_errors(results), count_unstable(results)
    found = []
    if not results.finished:
        found.append("INTERRUPTED, not everything was measured")
    if errors:
        found.append(f"{errors} error{'s' if errors > 1 else ''}")
    if unstable:
        found.append(f"{unstable} unstable")
    return found
