"""Bars with whiskers from the least to the most: rates, utilisation, reader nodes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudfs_benchmarks.bench.report.epochs import summarise_epochs, summarise_nodes
from cloudfs_benchmarks.bench.report.numbers import number, one_line
from cloudfs_benchmarks.bench.report.rows import Row, make_rows, target_names
from cloudfs_benchmarks.bench.report.style import Look, legend, looks, new_figure
from cloudfs_benchmarks.bench.results import CacheState, Results
from cloudfs_benchmarks.bench.statistics import median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MLPERF_AU = 90
"""Percent that MLPerf Storage asks of U-Net3D, its workload that is nearest to CFD training."""

_GROUP = 0.8
_BAR = 0.92
_SHORT = 0.02
"""Bars below this part of the longest show no colour: they get a marker."""
_TITLES = {"IOPS": "Random accesses", "files/s": "Files", "names/s": "Names"}
_ROOM = 1.45
"""Room right of the longest bar for its value."""


@dataclass(frozen=True, slots=True)
class _Bar:
    """Values over the trials of one target in one group; `note` stands beside them, or for them."""

    target: str
    values: Sequence[float]
    note: str = ""


_Groups = Mapping[str, Sequence[_Bar]]
"""Bars side by side, by the group's label."""


def draw_throughput(results: Results) -> Figure | None:
    """MB/s by state; beside what the mount reads from its own disk stands what others read cold."""
    rows = [row for row in make_rows(results) if row.figure == "throughput"]
    panels = {}
    for state in CacheState:
        groups = {row.label: _bars(row, results) for row in rows if row.state is state}
        title = f"{state}"
        if state is CacheState.SSD_WARM and _add_cold(groups, rows, results):
            title = f"{state}, beside the others' cold"
        if groups:
            panels[title] = groups
    return _panels(results, "Throughput, median and range of the trials", panels, "MB/s")


def draw_other_rates(results: Results) -> Figure | None:
    """Files, names and accesses a second, a panel each."""
    panels: dict[str, dict[str, Sequence[_Bar]]] = {}
    for row in make_rows(results):
        if row.figure not in ("", "throughput"):
            panels.setdefault(row.unit, {})[f"{row.label}, {row.state}"] = _bars(row, results)
    return _panels(results, "Files, names and accesses, median and range of the trials", panels)


def draw_utilisation(results: Results) -> Figure | None:
    """AU per epoch with the line that MLPerf Storage draws."""
    groups: dict[str, list[_Bar]] = {}
    for epoch in summarise_epochs(results):
        bar = _Bar(epoch.target, [100 * value for value in epoch.au])
        groups.setdefault(f"epoch {epoch.number}", []).append(bar)
    if not groups:
        return None
    figure, (axes,) = new_figure("Accelerator utilisation (AU) per epoch, median and range")
    _upright(axes, groups, results)
    axes.axhline(
        MLPERF_AU,
        color="black",
        linestyle=":",
        label=f"{MLPERF_AU} %: MLPerf's U-Net3D",
    )
    axes.set(ylabel="AU (% of the time computing)", ylim=(0, 112), yticks=range(0, 101, 10))
    legend(figure, [axes], _names(results))
    return figure


def draw_nodes(results: Results) -> Figure | None:
    """MB/s of a node alone and among others; the whiskers span single nodes."""
    groups: dict[str, list[_Bar]] = {}
    for one in sorted(summarise_nodes(results), key=lambda one: one.nodes):
        label = "1 reader node" if one.nodes == 1 else f"{one.nodes} reader nodes at once"
        values = [one.slowest, median(one.per_node), one.fastest]
        groups.setdefault(label, []).append(_Bar(one.target, values))
    if not groups:
        return None
    figure, (axes,) = new_figure("Throughput of each reader node, mean and range of the nodes")
    _upright(axes, groups, results)
    axes.set(ylabel="throughput per node (MB/s)")
    axes.margins(y=0.12)
    legend(figure, [axes], _names(results))
    return figure


def _names(results: Results) -> list[str]:
    return [one_line(name) for name in target_names(results)]


def _bars(row: Row, results: Results) -> list[_Bar]:
    found = []
    for index, name in enumerate(target_names(results)):
        series, cell = row.series(index), row.cells[index]
        if cell is None:
            continue
        notes = ("error" * (cell.error is not None), "skipped" * (cell.skipped is not None))
        note = " ".join(filter(None, ("~ unstable" * cell.unstable, *notes)))
        found.append(_Bar(name, () if series is None else series.values, note))
    return found


def _add_cold(groups: dict[str, list[_Bar]], rows: Sequence[Row], results: Results) -> bool:
    """Add the cold bars of targets without a cache of their own: a warm mount competes with these.

    Says whether there were any.
    """
    added = False
    for row in rows:
        if row.state is CacheState.COLD and row.label in groups:
            present = {bar.target for bar in groups[row.label]}
            missing = [bar for bar in _bars(row, results) if bar.target not in present]
            groups[row.label] += missing
            added = added or bool(missing)
    return added


def _panels(
    results: Results, title: str, panels: Mapping[str, _Groups], unit: str = ""
) -> Figure | None:
    """Horizontal bars, a panel beside the other, each with a scale of its own."""
    drawn = {
        name: {label: bars for label, bars in groups.items() if any(bar.values for bar in bars)}
        for name, groups in panels.items()
    }
    drawn = {name: groups for name, groups in drawn.items() if groups}
    if not drawn:
        return None
    figure, every = new_figure(title, columns=len(drawn))
    for axes, (name, groups) in zip(every, drawn.items(), strict=True):
        _lying(axes, groups, results)
        axes.set(title=_TITLES.get(name, name), xlabel=unit or name)
    legend(figure, every, _names(results))
    return figure


def _lying(axes: Axes, groups: _Groups, results: Results) -> None:
    """Bars from the left, groups from the top, the first target uppermost."""
    look = looks(target_names(results))
    height = _GROUP / max(len(bars) for bars in groups.values())
    longest = max(max(bar.values, default=0) for bars in groups.values() for bar in bars)
    for group, bars in enumerate(groups.values()):
        for place, bar in enumerate(bars):
            position = group + (place - (len(bars) - 1) / 2) * height
            if bar.values:
                _lying_bar(axes, bar, look[bar.target], position, height, longest=longest)
            else:
                text = f"{one_line(bar.target)}: {bar.note}"
                axes.text(longest * 0.02, position, text, va="center", fontsize=8)
    axes.set_yticks(range(len(groups)), [textwrap.fill(label, 16) for label in groups])
    axes.set(xlim=(0, longest * _ROOM), ylim=(len(groups) - 0.5, -0.5))
    axes.locator_params(axis="x", nbins=4)
    axes.grid(visible=True, axis="x")


def _lying_bar(
    axes: Axes, bar: _Bar, look: Look, position: float, height: float, *, longest: float
) -> None:
    middle = median(bar.values)
    axes.barh(
        position,
        middle,
        height * _BAR,
        color=look.colour,
        hatch=look.hatch,
        edgecolor="white",
        label=one_line(bar.target),
    )
    axes.errorbar(middle, position, xerr=_whiskers(bar.values), color="black", capsize=2, lw=1)
    short = middle < _SHORT * longest
    if short:
        axes.plot(middle, position, look.marker, color=look.colour, clip_on=False)
    axes.annotate(
        f"{number(middle)} {bar.note}",
        (max(bar.values), position),
        xytext=(7 if short else 3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _upright(axes: Axes, groups: _Groups, results: Results) -> None:
    """Bars from below, groups from the left."""
    look = looks(target_names(results))
    width = _GROUP / max(len(bars) for bars in groups.values())
    for group, bars in enumerate(groups.values()):
        for place, bar in enumerate(bars):
            position = group + (place - (len(bars) - 1) / 2) * width
            _upright_bar(axes, bar, look[bar.target], position, width)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.grid(visible=True, axis="y")


def _upright_bar(axes: Axes, bar: _Bar, look: Look, position: float, width: float) -> None:
    middle = median(bar.values)
    axes.bar(
        position,
        middle,
        width * _BAR,
        color=look.colour,
        hatch=look.hatch,
        edgecolor="white",
        label=one_line(bar.target),
    )
    axes.errorbar(position, middle, yerr=_whiskers(bar.values), color="black", capsize=3, lw=1)
    axes.annotate(
        number(middle),
        (position, max(bar.values)),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )


def _whiskers(values: Sequence[float]) -> list[list[float]]:
    middle = median(values)
    return [[middle - min(values)], [max(values) - middle]]
