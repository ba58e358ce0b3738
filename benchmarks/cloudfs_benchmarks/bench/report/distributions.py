"""How latencies are distributed: what share of the operations took no longer than how long."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cloudfs_benchmarks.bench.report.numbers import one_line
from cloudfs_benchmarks.bench.report.rows import Row, make_rows, target_names
from cloudfs_benchmarks.bench.report.style import Look, legend, looks, new_figure
from cloudfs_benchmarks.bench.results import Latency, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 6
"""Measurements in one picture."""

_COLUMNS = 3
_PERCENTS = (0, 50, 90, 99, 99.9)


def draw_latency(results: Results) -> Iterator[Figure]:
    """A picture for every six measurements that timed their operations."""
    rows = [row for row in make_rows(results) if any(cell and cell.latency for cell in row.cells)]
    for first in range(0, len(rows), PANELS):
        yield _draw(rows[first : first + PANELS], target_names(results))


def curve(latency: Latency) -> tuple[list[float], list[float]]:
    """Microseconds, and the share of the operations that took no longer; ends at the longest."""
    total = sum(count for _, count in latency.histogram)
    x, y, below = [], [], 0
    for bound, count in latency.histogram:
        below += count
        x.append(min(bound, latency.max))
        y.append(below / total)
    return x, y


def height(share: float) -> float:
    """Where a share stands on the axis: every nine is as far from the one before."""
    # A share of 1 would stand infinitely high.
    return -math.log10(max(1 - share, 10**-3.5))


def _draw(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    columns = min(_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    title = "Latency of single operations over all trials, marks at p50, p95 and p99"
    figure, axes = new_figure(title, columns=columns, rows=lines)
    look = looks(names)
    for index, one in enumerate(axes):
        if index >= len(rows):
            one.remove()
            continue
        _draw_row(one, rows[index], names, look)
        if index % columns == 0:
            one.set_ylabel("operations (%)")
    legend(figure, axes[: len(rows)], [one_line(name) for name in names])
    return figure


def _draw_row(axes: Axes, row: Row, names: Sequence[str], look: dict[str, Look]) -> None:
    least, most = math.inf, 0.0
    for name, cell in zip(names, row.cells, strict=True):
        if cell is None or cell.latency is None or not cell.latency.histogram:
            continue
        latency, style = cell.latency, look[name]
        x, y = curve(latency)
        axes.plot(
            x,
            [height(share) for share in y],
            color=style.colour,
            linestyle=style.line,
            linewidth=1.5,
            # The markers stand at percentiles; the legend shows them on the line.
            marker=style.marker,
            markersize=5,
            markevery=[],
            label=one_line(name),
        )
        marks = (latency.p50, latency.p95, latency.p99)
        axes.plot(
            marks,
            [height(share) for share in (0.5, 0.95, 0.99)],
            color=style.colour,
            marker=style.marker,
            markersize=5,
            linewidth=0,
        )
        least, most = min(least, x[0]), max(most, latency.max)
    axes.set(title=f"{row.label}, {row.state}", xlabel="latency (logarithmic)", xscale="log")
    axes.set_yticks([height(percent / 100) for percent in _PERCENTS], map(str, _PERCENTS))
    axes.set_ylim(0, height(1.0) + 0.05)
    _label_times(axes, least, most)
    axes.grid(visible=True)


def _label_times(axes: Axes, least_us: float, most_us: float) -> None:
    """A tick for every power of ten within reach, in the unit it is said in."""
    from matplotlib.ticker import NullFormatter  # noqa: PLC0415 - only pictures need it

    first, last = math.floor(math.log10(max(least_us, 0.1))), math.ceil(math.log10(most_us))
    powers = range(first, max(last, first + 1) + 1)
    axes.set_xticks([10.0**power for power in powers], [_time(power) for power in powers])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(10.0 ** powers[0], 10.0 ** powers[-1])


def _time(power: int) -> str:
    """10**power microseconds."""
    for limit, unit in ((3, "us"), (6, "ms")):
        if power < limit:
            return f"{10.0 ** (power - limit + 3):g} {unit}"
    return f"{10.0 ** (power - 6):g} s"
