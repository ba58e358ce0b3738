"""How pictures look: a colour, a line and a hatch per target, and axes that say what they show.

Pictures are drawn on figures of their own, never through pyplot: nothing of the process changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

DPI = 160
_SIZE = (10.0, 5.625)
"""Inches: 1600 x 900 pixels."""

GREY = "#555555"

_LEGEND_EMS = 70
"""Widths of an m that fit beside each other: a handle takes 6.5 with what is around it."""

# Okabe and Ito's palette without its yellow, which is lost on white, and with grey for black, which
# hides whiskers: told apart by readers of every
# kind of colour vision. The rest says the same again in black and white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (1, 1)), ":")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "---")

_SETTINGS: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    # Names of targets are no formulas.
    "text.parse_math": False,
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a target looks like in every picture of a report."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]
    hatch: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each target; from the eighth on, colours come again with other lines."""
    count = len(_COLOURS)
    return {
        name: Look(
            _COLOURS[index % count],
            _MARKERS[(index + index // count) % count],
            _LINES[(index + index // count) % count],
            _HATCHES[(index + index // count) % count],
        )
        for index, name in enumerate(names)
    }


@contextmanager
def styled() -> Iterator[None]:
    """Make and save figures inside: text and lines take their settings from here."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to load, and only pictures need it

    with mpl.rc_context(_SETTINGS):
        yield


def new_figure(title: str, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure and its axes, row by row."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to load, and only pictures need it

    figure = Figure(figsize=_SIZE, dpi=DPI, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def legend(figure: Figure, axes: Sequence[Axes], first: Sequence[str]) -> None:
    """One legend below everything, each label once: those of `first` before others."""
    found: dict[str, Artist] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    places = {name: place for place, name in enumerate(first)}
    labels = sorted(found, key=lambda label: places.get(label, len(places)))
    figure.legend(
        [found[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=_columns(labels),
        handlelength=3.5,
    )


def _columns(labels: Sequence[str]) -> int:
    """As many columns as fit, which are filled one after the other."""
    for columns in range(len(labels), 1, -1):
        lines = -(-len(labels) // columns)
        widest = [
            max(map(len, labels[first : first + lines])) for first in range(0, len(labels), lines)
        ]
        if sum(6.5 + 0.6 * letters for letters in widest) <= _LEGEND_EMS:
            return columns
    return 1


def plain_logarithmic(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers, at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import (  # noqa: PLC0415 - slow to load, and only pictures need it
        FuncFormatter,
        LogLocator,
        NullFormatter,
    )

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
