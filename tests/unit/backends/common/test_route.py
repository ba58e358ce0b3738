"""Which way reads take, on a clock that the test moves."""

from __future__ import annotations

import logging

import pytest

from cloudfs_backends.common.route import CAREFUL_S, UNFIT_S, ReadRoute


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def route(clock: _Clock) -> ReadRoute:
    return ReadRoute("s3://bucket", clock)


def test_reads_are_fast_until_something_is_known_against_it(route: ReadRoute) -> None:
    assert route.is_fast
    assert route.why_slow == ""


def test_a_throttled_read_is_followed_by_careful_ones(route: ReadRoute, clock: _Clock) -> None:
    route.note_throttled()
    assert not route.is_fast
    assert route.why_slow == ""
    clock.now = CAREFUL_S - 1
    assert not route.is_fast
    route.note_throttled()
    clock.now = CAREFUL_S + 1
    assert not route.is_fast
    clock.now = 2 * CAREFUL_S
    assert route.is_fast


def test_an_unfit_server_is_tried_again_after_a_long_time(route: ReadRoute, clock: _Clock) -> None:
    route.note_unfit("no dates")
    assert not route.is_fast
    assert route.why_slow == "no dates"
    clock.now = UNFIT_S
    assert route.is_fast
    assert route.why_slow == ""


def test_throttling_does_not_shorten_that(route: ReadRoute, clock: _Clock) -> None:
    route.note_unfit("no dates")
    route.note_throttled()
    clock.now = CAREFUL_S
    assert not route.is_fast


def test_what_is_known_is_not_logged_again(
    route: ReadRoute, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cloudfs_backends")
    for number in range(3):
        clock.now = number * UNFIT_S
        route.note_unfit("no dates")
    (record,) = caplog.records
    assert "s3://bucket" in record.getMessage()
    assert "no dates" in record.getMessage()
    route.note_unfit("no ETag")
    assert len(caplog.records) == 2
