"""The arithmetic of the benchmark, against values worked out by hand and against properties."""

from __future__ import annotations

import math
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs_benchmarks.bench.results import CacheState, Epoch, Latency, Measurement
from cloudfs_benchmarks.bench.statistics import (
    BINS_PER_DECADE,
    Spread,
    accelerator_utilisation,
    better_when,
    compare_series,
    data_wait_fraction,
    is_unstable,
    latency_of,
    latency_of_histogram,
    merge_latencies,
    spread,
    steady_step_s,
)

_LATENCIES = st.lists(st.floats(0, 1e9), min_size=1, max_size=200)
_TRIALS = st.lists(st.floats(0.001, 1e6), min_size=3, max_size=7)


def _epoch(*step_s: float) -> Epoch:
    return Epoch(
        number=1,
        seconds=sum(step_s),
        first_batch_s=0.5,
        samples=4,
        bytes=100,
        step_s=step_s,
        wait_s=(0.0,) * len(step_s),
        au=1.0,
        state=CacheState.COLD,
        proof="",
    )


def test_spread_is_median_extremes_and_cv() -> None:
    assert spread([4.0, 1.0, 1.0]) == Spread(1.0, 1.0, 4.0, pytest.approx(math.sqrt(3) / 2))


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0]])
def test_a_cv_that_cannot_be_known_is_none(values: list[float]) -> None:
    assert spread(values).cv is None


def test_nothing_has_no_spread() -> None:
    with pytest.raises(ValueError, match="no median"):
        spread([])


@pytest.mark.parametrize(
    ("values", "unstable"),
    [
        ([100, 130], False),  # two trials say nothing
        ([100, 102, 130], True),  # CV 0.153
        ([100, 102, 125], False),  # CV 0.127
        ([100] * 20 + [151], True),  # CV 0.11, but one is half as fast again
        ([100] * 20 + [149], False),
        ([0, 0, 0], False),
        ([0, 0, 1], True),
    ],
)
def test_trials_that_lie_apart_are_unstable(values: list[float], unstable: bool) -> None:
    assert is_unstable(values) is unstable


def test_utilisation_leaves_the_first_step_out() -> None:
    wait_s, step_s = [9.0, 0.0, 1.0], [10.0, 1.0, 2.0]
    assert accelerator_utilisation(wait_s, step_s, 1.0) == pytest.approx(2 / 3)


def test_utilisation_without_waiting_is_1() -> None:
    assert accelerator_utilisation([3.0, 0.0, 0.0], [3.5, 0.5, 0.5], 0.5) == 1.0


def test_a_sleep_that_ends_late_is_no_compute() -> None:
    assert accelerator_utilisation([0.0, 0.0], [1.0, 2.0], 1.0) == 0.5


def test_all_of_a_real_models_time_is_compute() -> None:
    assert accelerator_utilisation([0.0, 0.5], [1.0, 2.0], None) == 0.75


def test_utilisation_of_a_single_step_is_that_steps() -> None:
    assert accelerator_utilisation([1.0], [4.0], 3.0) == 0.75


def test_utilisation_needs_a_wait_for_every_step() -> None:
    with pytest.raises(ValueError, match="longer"):
        accelerator_utilisation([1.0], [1.0, 1.0], 1.0)
    with pytest.raises(ValueError, match="without steps"):
        accelerator_utilisation([], [], 1.0)


def test_data_wait_is_a_share_of_all_steps() -> None:
    assert data_wait_fraction([2.0, 0.0], [3.0, 1.0]) == 0.5
    assert data_wait_fraction([], []) == 0.0
    with pytest.raises(ValueError, match="every step"):
        data_wait_fraction([1.0], [1.0, 1.0])


def test_the_steady_step_is_without_the_first() -> None:
    assert steady_step_s(_epoch(9.0, 1.0, 3.0)) == 2.0
    assert steady_step_s(_epoch(9.0)) == 9.0


def test_latency_percentiles_are_by_nearest_rank() -> None:
    values = [float(value) for value in range(1, 201)]
    random.Random(1).shuffle(values)
    latency = latency_of(values)
    assert (latency.p50, latency.p95, latency.p99, latency.max) == (100, 190, 198, 200)


@given(_LATENCIES)
def test_bins_hold_every_latency_below_their_bound(values: list[float]) -> None:
    histogram = latency_of(values).histogram
    assert sum(count for _, count in histogram) == len(values)
    assert all(count > 0 for _, count in histogram)
    total = 0
    for bound, count in histogram:
        total += count
        assert total == sum(value <= bound for value in values)


@given(_LATENCIES)
def test_bins_are_narrow_and_end_where_everybodys_do(values: list[float]) -> None:
    for bound, _ in latency_of(values).histogram:
        step = math.log10(bound) * BINS_PER_DECADE
        assert abs(step - round(step)) < 1e-4
        assert bound == 1 or any(bound / 1.1221 < value <= bound for value in values)


def test_one_latency_alone_stays_exact() -> None:
    latency = latency_of([3.0, 5.0, 70.0])
    assert merge_latencies([latency]) == latency


@given(_LATENCIES, _LATENCIES)
def test_merged_latencies_are_those_of_all_within_a_bin(a: list[float], b: list[float]) -> None:
    merged, exact = merge_latencies([latency_of(a), latency_of(b)]), latency_of([*a, *b])
    assert merged.histogram == exact.histogram
    assert merged.max == exact.max
    assert merged.p50 <= merged.p95 <= merged.p99 <= merged.max
    for mine, true in ((merged.p50, exact.p50), (merged.p95, exact.p95), (merged.p99, exact.p99)):
        assert mine == pytest.approx(true, rel=0.123, abs=1.0)


def test_a_percentile_lies_within_its_bin_in_proportion() -> None:
    latency = latency_of_histogram([(100.0, 50), (104.0, 50)], 104.0)
    assert latency.p95 == pytest.approx(100 + 4 * 0.9)
    assert latency.histogram == ((100.0, 50), (104.0, 50))


def test_a_bin_far_above_the_one_before_is_no_wider_than_others() -> None:
    assert latency_of_histogram([(10.0, 1), (1000.0, 99)], 1000.0).p50 > 890


def test_the_first_bin_begins_at_nothing() -> None:
    assert latency_of_histogram([(1.0, 100)], 1.0).p50 == 0.5


def test_no_operations_have_no_latency() -> None:
    for empty in (lambda: latency_of([]), lambda: merge_latencies([])):
        with pytest.raises(ValueError, match="no operations"):
            empty()
    with pytest.raises(ValueError, match="no operations"):
        latency_of_histogram([(1.0, 0)], 1.0)


def test_a_change_is_the_ratio_of_the_medians() -> None:
    change = compare_series([100, 101, 99, 100, 102], [200, 201, 199, 200, 203])
    assert change.ratio == 2.0
    assert change.resampled
    assert 1.94 < change.low < 2 < change.high < 2.06
    assert change.excludes_one


def test_noise_is_no_change() -> None:
    noisy = compare_series([100, 140, 70, 120, 90], [110, 75, 150, 95, 125])
    assert noisy.low < 1 < noisy.high
    assert not noisy.excludes_one


def test_few_trials_have_the_range_of_all_pairs() -> None:
    change = compare_series([1.0, 2.0], [2.0, 3.0, 4.0])
    assert (change.ratio, change.low, change.high) == (2.0, 1.0, 4.0)
    assert not change.resampled


def test_nothing_that_became_something_has_no_finite_ratio() -> None:
    assert compare_series([0.0], [1.0]).ratio == math.inf
    assert compare_series([0.0] * 3, [1.0] * 3).low == math.inf
    assert compare_series([0.0] * 3, [0.0] * 3).ratio == 1.0


@given(_TRIALS, _TRIALS)
def test_an_interval_holds_the_ratio_and_repeats(a: list[float], b: list[float]) -> None:
    change = compare_series(a, b)
    assert min(b) / max(a) <= change.low <= change.ratio * (1 + 1e-9)
    assert change.ratio * (1 - 1e-9) <= change.high <= max(b) / min(a)
    assert compare_series(a, b) == change


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = random.Random(7)
    covered = 0
    for _ in range(200):
        a = [draw.gauss(100, 5) for _ in range(9)]
        b = [draw.gauss(120, 5) for _ in range(9)]
        change = compare_series(a, b)
        covered += change.low <= 1.2 <= change.high
    assert 180 <= covered < 200


def test_every_documented_figure_has_a_direction() -> None:
    documented = re.findall(r"`(\w+)`", (Measurement.__doc__ or "").split("`figures` by name:")[1])
    figures = set(documented) - {"error", "skipped", "figures"}
    explaining = {"memory_share", "ssd_share"}
    assert {figure for figure in figures if better_when(figure) == "neither"} == explaining
    assert better_when("throughput") == "higher"
    assert better_when("first_batch") == "lower"
    assert better_when("added-later") == "neither"


def test_merging_adds_what_fio_binned_differently() -> None:
    fio = Latency(1, 1, 1, 7.9, ((7.936, 3),))
    merged = merge_latencies([latency_of([8.0]), fio])
    assert merged.histogram == ((7.936, 3), (8.91251, 1))
    assert merged.max == 8.0
