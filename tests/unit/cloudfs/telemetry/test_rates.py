"""Rates over the last seconds."""

from __future__ import annotations

import pytest

from cloudfs.telemetry.rates import SlidingRates, TrafficTotals


def totals(at: float, scale: int = 1) -> TrafficTotals:
    return TrafficTotals(at, 100 * scale, 25 * scale, 50 * scale, 10 * scale, 2 * scale)


def test_before_the_first_sample_rates_are_since_the_start() -> None:
    rates = SlidingRates(TrafficTotals(5.0)).rates(totals(7.0))
    assert (rates.window_s, rates.read_bytes_per_s, rates.received_bytes_per_s) == (2.0, 50.0, 25.0)
    assert (rates.fuse_requests_per_s, rates.store_requests_per_s) == (5.0, 1.0)
    assert rates.hit_ratio == 0.75


def test_at_the_start_there_is_no_rate() -> None:
    rates = SlidingRates(TrafficTotals(5.0)).rates(TrafficTotals(5.0))
    assert (rates.window_s, rates.read_bytes_per_s, rates.hit_ratio) == (0.0, 0.0, None)


def test_what_is_long_ago_does_not_count() -> None:
    window = SlidingRates(TrafficTotals(0.0))
    for second in range(1, 101):
        window.sample(totals(float(second)))
    rates = window.rates(totals(100.5, 2))
    assert rates.window_s == pytest.approx(10.5)
    assert rates.read_bytes_per_s == pytest.approx(100 / 10.5, abs=0.1)


def test_after_a_standstill_the_last_sample_is_what_there_is() -> None:
    window = SlidingRates(TrafficTotals(0.0))
    window.sample(totals(1.0))
    rates = window.rates(totals(61.0, 2))
    assert (rates.window_s, rates.read_bytes_per_s) == (60.0, 1.7)


def test_nothing_read_has_no_ratio() -> None:
    assert TrafficTotals(0.0).hit_ratio() is None
    assert totals(0.0).hit_ratio() == 0.75
