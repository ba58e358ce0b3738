"""What of two runs is compared with each other: their figures by what they were measured of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cloudfs_benchmarks.bench.results import Results, Series
from cloudfs_benchmarks.bench.statistics import steady_step_s


class Key(NamedTuple):
    """What is matched: a measurement in a state, an epoch of training, or a number of nodes.

    `state` is "" for the last two, which are matched in whatever state they were.
    """

    suite: str
    name: str
    target: str
    state: str = ""

    def __str__(self) -> str:
        """As in "standard sequential-1 on nfs, cold"."""
        where = f"{self.suite} {self.name} on {self.target}"
        return f"{where}, {self.state}" if self.state else where


@dataclass(slots=True)
class Part:
    """What one run has of a key."""

    figures: dict[str, Series] = field(default_factory=dict)
    engines: set[str] = field(default_factory=set)
    states: set[str] = field(default_factory=set)
    error: str | None = None
    skipped: str | None = None

    def add(self, figure: str, unit: str, values: Iterable[float]) -> None:
        """Append the values of further trials."""
        before = self.figures.get(figure)
        both = (*(before.values if before else ()), *values)
        if both:
            self.figures[figure] = Series(unit, both)


def parts_of(results: Results) -> dict[Key, Part]:
    """Everything of a run that can be matched with another's."""
    parts: dict[Key, Part] = defaultdict(Part)
    for one in results.measurements:
        part = parts[Key(one.suite, one.name, one.target, one.state)]
        for figure, series in one.figures.items():
            part.add(figure, series.unit, series.values)
        if one.engine:  # none where the first trial failed
            part.engines.add(one.engine)
        part.states.add(one.state if one.proven else f"{one.state} (not proven)")
        part.error = part.error or one.error
        part.skipped = part.skipped or one.skipped
    _add_training(results, parts)
    for node in results.nodes:
        part = parts[Key("nodes", f"{node.nodes} at once", node.target)]
        part.add("throughput", "MB/s", [sum(node.throughputs)] if node.throughputs else [])
        part.error = part.error or node.error
    return dict(parts)


def _add_training(results: Results, parts: dict[Key, Part]) -> None:
    for run in results.training:
        whole = parts[Key("training", "run", run.target)]
        whole.engines.add(f"{run.loader} loader")
        whole.error = whole.error or run.error
        for epoch in run.epochs:
            part = parts[Key("training", f"epoch {epoch.number}", run.target)]
            part.states.add(epoch.state)
            part.add("au", "%", [100 * epoch.au])
            part.add("step", "s", [steady_step_s(epoch)] if epoch.step_s else [])
            part.add("first_batch", "s", [epoch.first_batch_s])
