"""The step-time curve as a picture."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

# Okabe and Ito's palette: told apart by readers of every kind of colour vision.
_STEP_COLOUR = "#0072B2"
_COMPUTE_COLOUR = "#E69F00"
_BOUNDARY_COLOUR = "#555555"


def plot_steps(steps_path: Path, picture_path: Path, captions: list[str]) -> None:
    """Draw the records of `steps_path` into a PNG; `captions` holds a line per epoch."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    steps = json.loads(steps_path.read_text(encoding="ascii"))["steps"]
    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    numbers = range(1, len(steps) + 1)
    total_ms = [(step["wait_s"] + step["compute_s"]) * 1e3 for step in steps]
    compute_ms = [step["compute_s"] * 1e3 for step in steps]
    axes.plot(
        numbers, total_ms, color=_STEP_COLOUR, linewidth=1.5, label="step (data wait + compute)"
    )
    axes.plot(
        numbers,
        compute_ms,
        color=_COMPUTE_COLOUR,
        linewidth=1.5,
        linestyle="--",
        label="compute only",
    )
    _mark_epochs(axes, steps, captions)
    axes.set(
        title="Step time, training from the mounted bucket",
        xlabel="step",
        ylabel="step time (ms, logarithmic)",
        yscale="log",
        xlim=(1, max(2, len(steps))),
        # Room above the curve for the captions.
        ylim=(min(compute_ms) / 1.5, max(total_ms) * 4),
    )
    axes.yaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(picture_path, dpi=120)
    plt.close(figure)


def _mark_epochs(axes: Any, steps: list[dict[str, Any]], captions: list[str]) -> None:
    """A vertical line where an epoch begins, and its caption above the curve."""
    first = 1
    for (number, group), caption in zip(
        itertools.groupby(steps, key=lambda step: step["epoch"]), captions, strict=True
    ):
        if number > 1:
            axes.axvline(first - 0.5, color=_BOUNDARY_COLOUR, linestyle=":", linewidth=1.5)
        count = len(list(group))
        axes.text(
            first + count / 2,
            0.97,
            caption,
            transform=axes.get_xaxis_transform(),
            horizontalalignment="center",
            verticalalignment="top",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
        first += count
