"""Measurements side by side: a row per shape and state, a cell per target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.bench.report.numbers import one_line, shown
from cloudfs_benchmarks.bench.results import CacheState, Kind, Measurement, Results, Series
from cloudfs_benchmarks.bench.statistics import median

RATES = ("names", "files", "iops", "throughput")
"""What a row may be about: the first that a measurement has. All move bytes; where names, files or
accesses are counted, too, they are what the shape is about."""

STATES = {
    CacheState.COLD: "in no cache of this machine",
    CacheState.SSD_WARM: "in the mount's cache on disk, not in the page cache",
    CacheState.RAM_WARM: "in the page cache",
    CacheState.UNPROVEN: "where the bytes were could not be proven",
}
"""What a state says about the bytes when the measurement began."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the targets did in one shape of access from one state; `figure` is what it is about.

    `label` is the name, with the suite before it when the run had several.
    `cells` has a measurement per target of the results, in their order, None where there is none.
    `figure` and `unit` are "" when no target has a value.
    """

    suite: str
    name: str
    label: str
    state: CacheState
    figure: str
    unit: str
    cells: tuple[Measurement | None, ...]

    def series(self, index: int) -> Series | None:
        """The figure of a target by its index, in the unit it is shown in; None without values."""
        cell = self.cells[index]
        found = None if cell is None else cell.figures.get(self.figure)
        return shown(self.figure, found) if found and found.values else None

    def best(self) -> frozenset[int]:
        """Indices of the targets with the best median; none unless two have one."""
        medians = {
            index: median(series.values)
            for index in range(len(self.cells))
            if (series := self.series(index)) is not None
        }
        if len(medians) < 2:
            return frozenset()
        best = max(medians.values())  # of rates: all of RATES are
        return frozenset(index for index, value in medians.items() if value == best)


def make_rows(results: Results) -> list[Row]:
    """Every measurement in exactly one cell, in the order in which rows were first measured."""
    order = target_names(results)
    cells: dict[tuple[str, str, CacheState, int], dict[str, Measurement]] = {}
    for measurement in results.measurements:
        again = 0
        while measurement.target in cells.setdefault(
            (measurement.suite, measurement.name, measurement.state, again), {}
        ):
            again += 1
        key = (measurement.suite, measurement.name, measurement.state, again)
        cells[key][measurement.target] = measurement
    several = len({suite for suite, _, _, _ in cells}) > 1
    rows = []
    for (suite, name, state, _), found in _by_step(cells):
        side_by_side = tuple(found.get(target) for target in order)
        label = one_line(f"{suite} {name}" if several else name)
        rows.append(Row(suite, name, label, state, *headline(side_by_side), side_by_side))
    return rows


def target_names(results: Results) -> list[str]:
    """The targets in the order they were given; after them those that only records name."""
    named = [target.name for target in results.targets]
    for records in (results.measurements, results.training, results.nodes):
        named += [record.target for record in records]
    return list(dict.fromkeys(named))


def of_kind(results: Results, *kinds: Kind) -> list[str]:
    """Names of the targets of these kinds, in the order they were given."""
    return [target.name for target in results.targets if target.kind in kinds]


def headline(measurements: Sequence[Measurement | None]) -> tuple[str, str]:
    """The figure that these measurements of one shape are about, and the unit it is shown in."""
    for name in RATES:
        for one in measurements:
            found = None if one is None else one.figures.get(name)
            if found and found.values:
                return name, shown(name, found).unit
    return "", ""


def _by_step(
    cells: dict[tuple[str, str, CacheState, int], dict[str, Measurement]],
) -> list[tuple[tuple[str, str, CacheState, int], dict[str, Measurement]]]:
    """States of one step next to each other, coldest first; steps as they came."""
    steps = list(dict.fromkeys((suite, name) for suite, name, _, _ in cells))
    states = list(CacheState)
    return sorted(
        cells.items(),
        key=lambda item: (steps.index(item[0][:2]), states.index(item[0][2]), item[0][3]),
    )
