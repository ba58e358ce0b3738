"""The choice between obstore and the SDK, on a clock that the test moves."""

from __future__ import annotations

import logging

import pytest

from cloudfs_backends.common.route import INCOMPATIBLE_S, THROTTLED_S, ReadRoute


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
    assert route.uses_obstore
    assert route.incompatibility == ""


def test_a_throttled_read_is_followed_by_careful_ones(route: ReadRoute, clock: _Clock) -> None:
    route.note_throttled()
    assert not route.uses_obstore
    assert route.incompatibility == ""
    clock.now = THROTTLED_S - 1
    assert not route.uses_obstore
    route.note_throttled()
    clock.now = THROTTLED_S + 1
    assert not route.uses_obstore
    clock.now = 2 * THROTTLED_S
    assert route.uses_obstore


def test_an_incompatible_server_is_tried_again_after_a_long_time(
    route: ReadRoute, clock: _Clock
) -> None:
    route.note_incompatible("no dates")
    assert not route.uses_obstore
    assert route.incompatibility == "no dates"
    clock.now = INCOMPATIBLE_S
    assert route.uses_obstore
    assert route.incompatibility == ""


def test_throttling_does_not_shorten_that(route: ReadRoute, clock: _Clock) -> None:
    route.note_incompatible("no dates")
    route.note_throttled()
    clock.now = THROTTLED_S
    assert not route.uses_obstore


def test_what_is_known_is_not_logged_again(
    route: ReadRoute, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cloudfs_backends")
    for number in range(3):
        clock.now = number * INCOMPATIBLE_S
        route.note_incompatible("no dates")
    (record,) = caplog.records
    assert "s3://bucket" in record.getMessage()
    assert "no dates" in record.getMessage()
    route.note_incompatible("no ETag")
    assert len(caplog.records) == 2
