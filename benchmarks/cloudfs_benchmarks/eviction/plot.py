"""The results as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from cloudfs_benchmarks.eviction.simulate import DEFAULT, OPTIMUM, POLICIES, Result

# Okabe and Ito's palette: told apart by readers of every kind of colour vision; the markers differ.
_LOOKS = {
    OPTIMUM: {"color": "#000000", "marker": "_", "markersize": 13, "linestyle": ":"},
    DEFAULT: {"color": "#0072B2", "marker": "o", "markersize": 7, "linestyle": "-"},
    "LRU": {"color": "#E69F00", "marker": "s", "markersize": 5, "linestyle": "--"},
    "SIEVE": {"color": "#009E73", "marker": "^", "markersize": 6, "linestyle": "--"},
    "S3-FIFO": {"color": "#CC79A7", "marker": "D", "markersize": 5, "linestyle": "-."},
}


def plot(results: Sequence[Result], ratios: Sequence[float], picture: Path) -> None:
    """Draw a PNG: the first results are shuffled epochs of these dataset to cache ratios."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 5), layout="constrained", width_ratios=(2, 3)
    )
    _draw_epochs(left, results[: len(ratios)], ratios)
    _draw_rest(right, results[len(ratios) :])
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(POLICIES))
    figure.savefig(picture, dpi=75)
    plt.close(figure)


def _draw_epochs(axes: Any, results: Sequence[Result], ratios: Sequence[float]) -> None:
    for name in POLICIES:
        values = [100 * result.mean(name) for result in results]
        axes.plot(ratios, values, label=name, **_LOOKS[name])
    axes.set(
        title="Shuffled epochs, second and later",
        xlabel="dataset / cache",
        ylabel="bytes from the cache (%)",
        ylim=(0, 103),
    )
    axes.set_xticks(ratios, [f"{ratio:g}x" for ratio in ratios])
    axes.grid(visible=True, alpha=0.3)


def _draw_rest(axes: Any, results: Sequence[Result]) -> None:
    rows = range(len(results))
    for name in POLICIES:
        look = _LOOKS[name] | {"linestyle": "none"}
        if name == OPTIMUM:
            look |= {"marker": "|"}
        axes.plot([100 * result.mean(name) for result in results], rows, **look)
    axes.set(title="Other traces", xlabel="judged bytes from the cache (%)", xlim=(-2, 102))
    axes.set_yticks(rows, [result.trace for result in results], fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=True, alpha=0.3)
