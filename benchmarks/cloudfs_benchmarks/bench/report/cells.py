"""What stands in a table's cells, the same in the terminal, in Markdown and in the page.

Names are as foreign here as they came: whoever prints them makes them harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudfs_benchmarks.bench.report.epochs import EpochSummary, NodeSummary
from cloudfs_benchmarks.bench.report.numbers import (
    latencies,
    number,
    one_line,
    percent,
    size,
    spread,
)
from cloudfs_benchmarks.bench.report.problems import Problem, Trouble
from cloudfs_benchmarks.bench.report.rows import Row
from cloudfs_benchmarks.bench.results import Measurement, Results
from cloudfs_benchmarks.bench.statistics import median

LEGEND = (
    "median (least-most) of the trials; * best, ~ unstable, [n] see below, - not part of the run"
)

EPOCH_HEAD = (
    *("target", "epoch", "began", "first batch s", "samples/s", "data wait", "AU"),
    "median step ms",
)
"""Titles of `epoch_cells`."""

STORE_HEAD = ("target", "epoch", "not from the store", "MB from the store", "requests")
"""Titles of `store_cells`."""

NODE_HEAD = ("target", "nodes", "MB/s per node", "slowest-fastest node", "of one node alone")
"""Titles of `node_cells`."""


@dataclass(frozen=True, slots=True)
class Notes:
    """The numbered reasons that cells refer to."""

    problems: tuple[Problem, ...]

    def marks(self, cell: Measurement) -> list[str]:
        """`error [1]` or `skipped [2]`, both or nothing."""
        return [
            f"{trouble} [{self._find(cell.target, trouble, reason)}]"
            for trouble, reason in ((Trouble.ERROR, cell.error), (Trouble.SKIPPED, cell.skipped))
            if reason is not None
        ]

    def lines(self) -> list[str]:
        """`[1] nfs: error: REASON (where)` for every problem."""
        return [
            f"[{index}] {problem.target}: {problem.trouble}: {problem.reason} "
            f"({', '.join(problem.where)})"
            for index, problem in enumerate(self.problems, 1)
        ]

    def _find(self, target: str, trouble: Trouble, reason: str) -> int:
        wanted = (target, trouble, one_line(reason))
        keys = [(problem.target, problem.trouble, problem.reason) for problem in self.problems]
        return keys.index(wanted) + 1


def value_cell(row: Row, index: int, notes: Notes) -> str:
    """`*518 (490-540) ~` of one target, `error [1]`, or both when only some trials failed."""
    cell, series = row.cells[index], row.series(index)
    if cell is None:
        return "-"
    parts = []
    if series is not None:
        best = "*" if index in row.best() else ""
        parts.append(f"{best}{spread(series.values)}{' ~' if cell.unstable else ''}")
    parts += notes.marks(cell)
    return " ".join(parts) or "no value"


def epoch_cells(epoch: EpochSummary) -> tuple[str, ...]:
    """A line of the training table: medians over the trials, the step time with its spread."""
    return (
        epoch.target,
        str(epoch.number),
        epoch.state,
        number(median(epoch.first_batch_s)),
        number(median(epoch.samples_per_s)) if epoch.samples_per_s else "-",
        percent(median(epoch.data_wait)),
        percent(median(epoch.au)),
        spread([value * 1e3 for value in epoch.step_s]) if epoch.step_s else "-",
    )


def store_cells(epoch: EpochSummary) -> tuple[str, ...]:
    """What a cloudfs mount asked of the store during an epoch: medians over the trials."""
    return (
        epoch.target,
        str(epoch.number),
        percent(median(epoch.hit_ratio)) if epoch.hit_ratio else "-",
        number(median(epoch.store_bytes) / 1e6) if epoch.store_bytes else "-",
        f"{median(epoch.store_requests):.0f}" if epoch.store_requests else "-",
    )


def latency_cell(cell: Measurement | None, *, full: bool = False) -> str:
    """`p50 / p99`, or with `full` `p50 / p95 / p99 / most`, with their unit."""
    if cell is None or cell.latency is None:
        return "-"
    found = cell.latency
    return latencies(
        (found.p50, found.p95, found.p99, found.max) if full else (found.p50, found.p99)
    )


def node_cells(one: NodeSummary, alone: NodeSummary | None) -> tuple[str, ...]:
    """A line of the table of reader nodes; `alone` is the same target with one node."""
    kept = "-" if alone is None else percent(median(one.per_node) / median(alone.per_node))
    return (
        one.target,
        str(one.nodes),
        spread(one.per_node),
        f"{number(one.slowest, one.fastest)}-{number(one.fastest)}",
        kept,
    )


def conditions(results: Results) -> str:
    """What a table's numbers hold for, in one line."""
    plan, machine = results.plan, results.environment
    data = f"--dataset {plan.dataset}" if plan.dataset else "own data"
    trials = f"{plan.trials} trial{'s' if plan.trials != 1 else ''}"
    return one_line(
        f"{plan.suite}, {size(plan.size_bytes)} ({data}), {trials}; {machine.cpu}, "
        f"{machine.cpus} CPUs, {size(machine.memory_bytes)} memory, Linux {machine.kernel}"
    )
