"""Lines over the steps and the seconds of a training run: step times and cache hits."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cloudfs_benchmarks.bench.report.epochs import EpochSummary, summarise_epochs
from cloudfs_benchmarks.bench.report.numbers import one_line, percent
from cloudfs_benchmarks.bench.report.rows import target_names
from cloudfs_benchmarks.bench.report.style import (
    GREY,
    legend,
    looks,
    new_figure,
    plain_logarithmic,
)
from cloudfs_benchmarks.bench.results import Epoch, Results
from cloudfs_benchmarks.bench.statistics import median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHED_FROM = 200
"""Steps from which a line shows rolling medians: as they are, so many hide each other."""

_LOGARITHMIC_FROM = 20
_MARKERS_PER_LINE = 12
_LABELLED_EPOCHS = 6
_LABEL_LETTERS = 115
_LABEL_MIN = 10

_Steps = Mapping[int, Sequence[Sequence[float]]]
"""Milliseconds of each step, by epoch and by trial."""


def draw_steps(results: Results) -> Figure | None:
    """Step time over all epochs, a line per target: the median over the trials of each step."""
    targets = {name: _steps_ms(results, name) for name in target_names(results)}
    targets = {name: steps for name, steps in targets.items() if steps}
    if not targets:
        return None
    starts, total = _starts(list(targets.values()))
    look = looks(target_names(results))
    smoothed = total > SMOOTHED_FROM
    line = "rolling median" if smoothed else "median"
    title = f"Step time while training: {line} of the trials, dots: all steps"
    figure, (axes,) = new_figure(title)
    for index, (name, steps) in enumerate(targets.items()):
        style = look[name]
        raw_x, raw_y = _raw(steps, starts)
        axes.plot(raw_x, raw_y, ".", color=style.colour, alpha=0.25, markersize=3, zorder=1)
        x, y = _line(steps, starts, smoothed)
        every = max(1, total // _MARKERS_PER_LINE)
        axes.plot(
            x,
            y,
            color=style.colour,
            linestyle=style.line,
            linewidth=1.6,
            marker=style.marker,
            markersize=6,
            # Each line's markers stand elsewhere: lines that coincide are still seen.
            markevery=(every * index // len(targets), every),
            label=one_line(name),
        )
    _mark_compute(axes, results)
    _mark_epochs(axes, results, starts, total)
    axes.set(xlabel="step", ylabel="step time (ms)", xlim=(0, total + 1))
    _choose_scale(axes, [value for steps in targets.values() for value in _raw(steps, starts)[1]])
    axes.grid(visible=True, axis="y")
    legend(figure, [axes], [one_line(name) for name in look])
    return figure


def draw_hit_ratio(results: Results) -> Figure | None:
    """Share of the bytes that did not come from the store, over the seconds of each run."""
    runs = [run for run in results.training if run.hit_ratio_over_time]
    if not runs:
        return None
    look = looks(target_names(results))
    figure, (axes,) = new_figure("Cache hit ratio of the mount while training")
    first_trials = {run.target: run.trial for run in reversed(runs)}
    for run in runs:
        style, first = look[run.target], first_trials[run.target] == run.trial
        x, y = zip(*run.hit_ratio_over_time, strict=True)
        axes.plot(
            x,
            [100 * ratio for ratio in y],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=5 if first else 3,
            alpha=1.0 if first else 0.35,
            label=f"{one_line(run.target)}, trial {run.trial}" if first else "its other trials",
        )
    _mark_seconds(axes, runs[0].epochs)
    axes.set(
        xlabel="seconds since the start of epoch 1",
        ylabel="bytes not from the store (%)",
        ylim=(-3, 105),
    )
    axes.set_xlim(left=0)
    axes.grid(visible=True, axis="y")
    legend(figure, [axes], [one_line(name) for name in look])
    return figure


def _steps_ms(results: Results, target: str) -> dict[int, list[list[float]]]:
    found: dict[int, list[list[float]]] = {}
    for run in results.training:
        for epoch in run.epochs:
            if run.target == target and epoch.step_s:
                found.setdefault(epoch.number, []).append([1e3 * step for step in epoch.step_s])
    return found


def _starts(targets: Sequence[_Steps]) -> tuple[dict[int, int], int]:
    """How many steps come before each epoch, and all steps: the same for all targets."""
    longest: dict[int, int] = {}
    for steps in targets:
        for epoch_number, trials in steps.items():
            longest[epoch_number] = max(
                longest.get(epoch_number, 0), *(len(trial) for trial in trials)
            )
    starts, total = {}, 0
    for epoch_number in sorted(longest):
        starts[epoch_number] = total
        total += longest[epoch_number]
    return starts, total


def _raw(steps: _Steps, starts: Mapping[int, int]) -> tuple[list[int], list[float]]:
    points = [
        (starts[epoch] + index, value)
        for epoch, trials in steps.items()
        for trial in trials
        for index, value in enumerate(trial, 1)
    ]
    return [x for x, _ in points], [y for _, y in points]


def _line(
    steps: _Steps, starts: Mapping[int, int], smoothed: bool
) -> tuple[list[float], list[float]]:
    """Medians of each step over the trials; between epochs the line is broken (NaN)."""
    x: list[float] = []
    y: list[float] = []
    for epoch in sorted(steps):
        trials = steps[epoch]
        count = max(len(trial) for trial in trials)
        # A single step of a trial must not stand for all: half a window to each side.
        reach = max(2, count // 50) if smoothed else 0
        for index in range(count):
            near = slice(max(0, index - reach), index + reach + 1)
            x.append(starts[epoch] + index + 1)
            y.append(median([value for trial in trials for value in trial[near]]))
        x.append(float("nan"))
        y.append(float("nan"))
    return x, y


def _mark_compute(axes: Axes, results: Results) -> None:
    """What a step takes at least: the accelerator's own time."""
    # A real model takes a little longer here and a little less there.
    milliseconds = 1e3 * median([run.compute_s for run in results.training])
    axes.axhline(
        milliseconds,
        color="black",
        linestyle=(0, (3, 3)),
        linewidth=1,
        zorder=0.5,
        label=f"compute alone ({milliseconds:.3g} ms)",
    )


def _mark_epochs(axes: Axes, results: Results, starts: Mapping[int, int], total: int) -> None:
    """A line where an epoch begins, and above it what the epoch began with."""
    ends = [*list(starts.values())[1:], total]
    summaries = summarise_epochs(results)
    detailed = len(starts) <= _LABELLED_EPOCHS
    labels = [
        _epoch_label(
            [one for one in summaries if one.number == epoch_number],
            epoch_number,
            int(_LABEL_LETTERS * (end - start) / total) if detailed else 0,
        )
        for (epoch_number, start), end in zip(starts.items(), ends, strict=True)
    ]
    # The first step of an epoch is the one after its start.
    _mark(axes, [start + 0.5 for start in starts.values()], [end + 0.5 for end in ends], labels)


def _epoch_label(summaries: Sequence[EpochSummary], epoch_number: int, letters: int) -> str:
    """Who began the epoch how, in lines of so many letters; with few of them the number alone."""
    if letters < _LABEL_MIN:
        return str(epoch_number)
    states: dict[str, list[str]] = {}
    for one in summaries:
        states.setdefault(one.state, []).append(one_line(one.target))
    if len(states) == 1:
        return f"epoch {epoch_number}\n{next(iter(states))}"
    lines = [
        textwrap.fill(f"{', '.join(names)}: {state}", letters) for state, names in states.items()
    ]
    return "\n".join([f"epoch {epoch_number}", *lines])


def _mark_seconds(axes: Axes, epochs: Sequence[Epoch]) -> None:
    """Where the epochs of a run began and ended; above, what of each was a hit."""
    starts = [epoch.started_s for epoch in epochs]
    ends = [epoch.started_s + epoch.seconds for epoch in epochs]
    labels = [
        f"epoch {epoch.number}"
        + ("" if epoch.hit_ratio is None else f": {percent(epoch.hit_ratio)} hits")
        for epoch in epochs
    ]
    _mark(axes, starts, ends, labels)


def _mark(
    axes: Axes, starts: Sequence[float], ends: Sequence[float], labels: Sequence[str]
) -> None:
    """Labels above the stretches from `starts` to `ends`, and lines between them."""
    top = axes.secondary_xaxis("top")
    middles = [(start + end) / 2 for start, end in zip(starts, ends, strict=True)]
    top.set_xticks(middles, labels, fontsize=9)
    top.tick_params(length=0)
    top.spines["top"].set_visible(False)
    for start in starts[1:]:
        axes.axvline(start, color=GREY, linestyle=":", linewidth=1.2)


def _choose_scale(axes: Axes, values: Sequence[float]) -> None:
    least, most = min(values), max(values)
    if least > 0 and most / least > _LOGARITHMIC_FROM:
        axes.set_yscale("log")
        axes.set_ylabel("step time (ms, logarithmic)")
        axes.set_ylim(least / 1.3, most * 1.3)
        plain_logarithmic(axes.yaxis)
    else:
        axes.set_ylim(0, most * 1.08)
