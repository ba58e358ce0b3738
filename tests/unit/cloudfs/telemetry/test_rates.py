"""Rates over the last seconds."""

from __future__ import annotations

import pytest

from cloudfs.telemetry.rates import Recent, Totals


def totals(at: float, scale: int = 1) -> Totals:
    return Totals(at, 100 * scale, 25 * scale, 50 * scale, 10 * scale, 2 * scale)


def test_before_the_first_sample_rates_are_since_the_start() -> None:
    now = Recent(Totals(5.0)).now(totals(7.0))
    assert (now.window_s, now.read_bytes_per_s, now.received_bytes_per_s) == (2.0, 50.0, 25.0)
    assert (now.fuse_requests_per_s, now.store_requests_per_s) == (5.0, 1.0)
    assert now.hit_ratio == 0.75


def test_at_the_start_there_is_no_rate() -> None:
    now = Recent(Totals(5.0)).now(Totals(5.0))
    assert (now.window_s, now.read_bytes_per_s, now.hit_ratio) == (0.0, 0.0, None)


def test_what_is_long_ago_does_not_count() -> None:
    recent = Recent(Totals(0.0))
    for second in range(1, 101):
        recent.note(totals(float(second)))
    now = recent.now(totals(100.5, 2))
    assert now.window_s == pytest.approx(10.5)
    assert now.read_bytes_per_s == pytest.approx(100 / 10.5, abs=0.1)


def test_after_a_standstill_the_last_sample_is_what_there_is() -> None:
    recent = Recent(Totals(0.0))
    recent.note(totals(1.0))
    now = recent.now(totals(61.0, 2))
    assert (now.window_s, now.read_bytes_per_s) == (60.0, 1.7)


def test_nothing_read_has_no_ratio() -> None:
    assert Totals(0.0).hit_ratio() is None
    assert totals(0.0).hit_ratio() == 0.75
