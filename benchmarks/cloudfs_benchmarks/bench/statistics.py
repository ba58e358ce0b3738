"""The arithmetic of the benchmark: spread, latencies, what a training job waits, and changes.

Pure functions of numbers and records. docs/benchmarking.md says the same in words.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal

import numpy as np

from cloudfs_benchmarks.bench.results import Epoch, Latency
from cloudfs_benchmarks.readpath.figures import percentile

UNSTABLE_TRIALS = 3
"""Fewer trials say nothing about spread: two of them may differ by chance alone."""

UNSTABLE_CV = 0.15
"""Above it the standard error of the mean of three trials is beyond 9 %, more than the differences
between targets (3 to 5 %) that a reader wants to see."""

UNSTABLE_RANGE = 1.5
"""A single trial of many that was half as fast again hardly moves the CV, but asks for a reason."""

BINS_PER_DECADE = 20
"""Bins are 12 % wide: finer than latencies repeat, and 160 of them from 1 us to 100 s."""

_BIN_WIDTH = 10 ** (1 / BINS_PER_DECADE)
_RESAMPLES = 4000
_CONFIDENCE = 0.95

Direction = Literal["higher", "lower", "neither"]

_BETTER: MappingProxyType[str, Direction] = MappingProxyType(
    {
        "throughput": "higher",
        "iops": "higher",
        "files": "higher",
        "names": "higher",
        "reader_cpu": "lower",
        "serving_cpu": "lower",
        "serving_rss": "lower",
        # Bytes that move from the SSD to memory are no loss: what counts is who asks the store.
        "memory_share": "neither",
        "ssd_share": "neither",
        "store_share": "lower",
        "au": "higher",
        "step": "lower",
        "first_batch": "lower",
    }
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far trials lie apart, in their own unit.

    `cv` is the coefficient of variation: sample standard deviation (n - 1) by mean, without a unit;
    None of a single trial, and where the mean is 0.
    """

    median: float
    least: float
    most: float
    cv: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """The ratio of two medians, B by A, with an interval.

    `resampled`: `low` and `high` are a 95 % bootstrap interval. Otherwise there were too few trials
    for one and they are the least and the greatest ratio of a trial of B by a trial of A; of one
    trial each they are `ratio` itself, which says nothing about chance.
    """

    ratio: float
    low: float
    high: float
    resampled: bool

    @property
    def excludes_one(self) -> bool:
        """Whether the interval leaves out "no change"."""
        return self.low > 1 or self.high < 1


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the middle two. `ValueError` without values."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> Spread:
    """Median, extremes and coefficient of variation. `ValueError` without values."""
    mean = statistics.fmean(values) if values else 0.0
    known = len(values) > 1 and mean != 0
    cv = statistics.stdev(values) / mean if known else None
    return Spread(median(values), min(values), max(values), cv)


def is_unstable(values: Sequence[float]) -> bool:
    """Whether trials lie too far apart to be believed: see the `UNSTABLE_` constants."""
    if len(values) < UNSTABLE_TRIALS:
        return False
    found = spread(values)
    wide_range = found.most > UNSTABLE_RANGE * found.least
    return wide_range or (found.cv is not None and found.cv > UNSTABLE_CV)


def accelerator_utilisation(
    wait_s: Sequence[float], step_s: Sequence[float], compute_s: float | None
) -> float:
    """AU of one epoch, 0 to 1, as MLPerf Storage defines it.

    `AU = total_compute_time / total_benchmark_running_time`, where "all the I/O operations from
    the first step are excluded": mlcommons/storage, Rules.md, "Performance Metrics". How the first
    step is left out is DLIO's code (argonne-lcf/dlio_benchmark, utils/statscounter.py,
    `compute_metrics_train`; `metric_exclude_start_steps` is 1): of every epoch, its time from
    the denominator and its compute from the numerator.

    `compute_s` is what the emulated accelerator takes per step. A sleep that ends late because the
    CPU was busy counts as no more than that, as in Rules.md, where the total is steps x sleep
    time. None for a real model: then compute is the part of each step that was not waiting, as
    DLIO measures it.

    An epoch of one step has nothing left without it; its AU is that of the one step, a lower bound.
    `ValueError` without steps, and unless both sequences have a value per step.
    """
    if not step_s:
        raise ValueError("an epoch without steps has no utilisation")
    steps = list(zip(wait_s, step_s, strict=True))
    counted = steps[1:] or steps
    most = math.inf if compute_s is None else compute_s
    computing = sum(min(max(step - wait, 0.0), most) for wait, step in counted)
    running = sum(step for _, step in counted)
    return computing / running if running > 0 else 0.0


def data_wait_fraction(wait_s: Sequence[float], step_s: Sequence[float]) -> float:
    """The part of an epoch's step time spent waiting for data, 0 to 1: sum(wait) / sum(step).

    The first step counts, so that it is more than 1 - AU where the pipeline starts slowly.
    `ValueError` unless both have a value per step; 0 without steps.
    """
    if len(wait_s) != len(step_s):
        raise ValueError("a wait for every step")
    running = sum(step_s)
    return sum(wait_s) / running if running > 0 else 0.0


def steady_step_s(epoch: Epoch) -> float:
    """Median step time in seconds without the first step, which fills the pipeline.

    Of an epoch of one step that step. `ValueError` without steps.
    """
    return median(epoch.step_s[1:] or epoch.step_s)


def latency_of(values_us: Sequence[float]) -> Latency:
    """Latencies in microseconds: exact percentiles (nearest rank) and a log-spaced histogram.

    Bins end at 10 ** (k / 20) us, rounded to 6 digits, so that they are the same on every machine;
    the first is 0 to 1 us. `ValueError` without values.
    """
    if len(values_us) == 0:
        raise ValueError("no operations, no latencies")
    ordered = sorted(float(value) for value in values_us)
    bounds = _bounds(ordered[-1])
    up_to = np.searchsorted(np.asarray(ordered), np.asarray(bounds), side="right")
    counts = np.diff(up_to, prepend=0).tolist()
    p50, p95, p99 = (percentile(ordered, percent) for percent in (50, 95, 99))
    histogram = tuple((bound, n) for bound, n in zip(bounds, counts, strict=True) if n)
    return Latency(p50, p95, p99, ordered[-1], histogram)


def latency_of_histogram(bins: Iterable[tuple[float, int]], most: float) -> Latency:
    """Latencies of which only (upper bound us, count) is known; bins of one bound are added up.

    Percentiles are interpolated linearly within the bin, as Prometheus' `histogram_quantile` does,
    and never above `most`, the largest. Bins are at most 12 % wide here, so is the error.
    `ValueError` without operations.
    """
    counts: Counter[float] = Counter()
    for bound, count in bins:
        counts[bound] += count
    histogram = tuple(sorted((bound, count) for bound, count in counts.items() if count))
    if not histogram:
        raise ValueError("no operations, no latencies")
    p50, p95, p99 = (min(_quantile(histogram, share), most) for share in (0.5, 0.95, 0.99))
    return Latency(p50, p95, p99, most, histogram)


def merge_latencies(latencies: Sequence[Latency]) -> Latency:
    """Latencies over all of them: see `latency_of_histogram`. One alone stays exact.

    `ValueError` without any.
    """
    if len(latencies) == 1:
        return latencies[0]
    bins = (pair for latency in latencies for pair in latency.histogram)
    return latency_of_histogram(bins, max((latency.max for latency in latencies), default=0.0))


def compare_series(a: Sequence[float], b: Sequence[float], *, seed: int = 1) -> Change:
    """The median of B by the median of A, and an interval of it.

    With 3 trials or more of each: the 95 % percentile bootstrap interval (Efron and Tibshirani,
    An Introduction to the Bootstrap, 1993, chapter 13) of the ratio of the medians, both
    series resampled on their own; the same `seed` gives the same interval. With fewer: the range
    of the ratios of every trial of B to every trial of A. 0 by 0 is 1. `ValueError` without values.
    """
    ratio = _ratio(median(b), median(a))
    if min(len(a), len(b)) < UNSTABLE_TRIALS:
        ratios = [_ratio(mine, theirs) for mine, theirs in product(b, a)]
        return Change(ratio, min(ratios), max(ratios), resampled=False)
    random = np.random.default_rng(seed)
    resampled = sorted(map(_ratio, _medians(b, random), _medians(a, random)))
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = percentile(resampled, tail), percentile(resampled, 100 - tail)
    return Change(ratio, low, high, resampled=True)


def better_when(figure_name: str) -> Direction:
    """Which way a figure gets better; "neither" for those that only explain others, or unknown."""
    return _BETTER.get(figure_name, "neither")


def _bounds(most: float) -> list[float]:
    """Upper bounds of the bins up to `most` and one further, whatever rounding does to the last."""
    last = math.ceil(BINS_PER_DECADE * math.log10(max(most, 1.0))) + 1
    return [float(f"{10 ** (k / BINS_PER_DECADE):.6g}") for k in range(last + 1)]


def _quantile(histogram: Sequence[tuple[float, int]], share: float) -> float:
    """The value below which `share` of the operations lie."""
    rank = share * sum(count for _, count in histogram)
    below, previous = 0, 0.0
    for bound, count in histogram:
        if below + count >= rank:
            # Empty bins are not listed: the bin may begin far above the one listed before it.
            start = max(previous, bound / _BIN_WIDTH) if bound > 1 else 0.0
            return start + (bound - start) * (rank - below) / count
        below, previous = below + count, bound
    return previous


def _medians(values: Sequence[float], random: np.random.Generator) -> list[float]:
    """The medians of samples of `values` drawn with replacement, each as long as `values`."""
    drawn = random.choice(np.asarray(values, dtype=float), size=(_RESAMPLES, len(values)))
    medians: list[float] = np.median(drawn, axis=1).tolist()
    return medians


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return 1.0 if numerator == 0 else math.inf
    return numerator / denominator
