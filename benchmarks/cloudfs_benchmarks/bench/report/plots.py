"""The pictures of a report, as PNGs of 1600 x 900 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloudfs_benchmarks.bench.report.bars import (
    draw_nodes,
    draw_other_rates,
    draw_throughput,
    draw_utilisation,
)
from cloudfs_benchmarks.bench.report.curves import draw_hit_ratio, draw_steps
from cloudfs_benchmarks.bench.report.distributions import draw_latency
from cloudfs_benchmarks.bench.report.style import DPI, styled
from cloudfs_benchmarks.bench.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG; `alt_text` says what it shows to whoever does not see it."""

    name: str
    path: Path
    title: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that is not saved yet."""

    name: str
    title: str
    alt_text: str
    figure: Figure


def draw_all(results: Results, folder: Path) -> list[Picture]:
    """Draw what there is data for into `folder`, which is made, in place of what has these names.

    `OSError` when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with styled():
        for drawing in drawings(results):
            path = folder / f"{drawing.name}.png"
            drawing.figure.savefig(path, dpi=DPI)
            pictures.append(Picture(drawing.name, path, drawing.title, drawing.alt_text))
    return pictures


def drawings(results: Results) -> Iterator[Drawing]:
    """The figures, the most telling first; call it `styled`."""
    for name, figure, alt_text in (
        ("steps", draw_steps(results), "Line chart of step time in milliseconds over the steps"),
        ("au", draw_utilisation(results), "Bar chart of accelerator utilisation per epoch"),
        ("hit-ratio", draw_hit_ratio(results), "Line chart of the cache hit ratio over time"),
        ("throughput", draw_throughput(results), "Bar chart of throughput in MB/s"),
        ("rates", draw_other_rates(results), "Bar chart of files, names and accesses a second"),
        ("nodes", draw_nodes(results), "Bar chart of throughput per reader node in MB/s"),
    ):
        if figure is not None:
            yield _drawing(name, figure, alt_text)
    for number, figure in enumerate(draw_latency(results), 1):
        alt_text = "Line charts of the share of operations that took no longer than a latency"
        yield _drawing(f"latency-{number}", figure, alt_text)


def _drawing(name: str, figure: Figure, alt_text: str) -> Drawing:
    title = figure.get_suptitle()
    return Drawing(name, title, f"{alt_text}: {title}. The tables hold the numbers.", figure)
