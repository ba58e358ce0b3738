"""When a mount says that its store is the reason for its health."""

from __future__ import annotations

import pytest

from cloudfs.fuse.deadlines import Wait
from cloudfs.status.snapshot import store_reasons
from cloudfs.telemetry.rates import TrafficTotals
from cloudfs_cache.api import WaitsFor


@pytest.mark.parametrize(
    ("failures", "requests", "said"),
    [
        (2, 2, []),
        (3, 7, []),
        (3, 6, ["the store fails: 3 of 6 requests in the last 10 s"]),
        (1500, 1500, ["the store fails: 1500 of 1,500 requests in the last 10 s"]),
    ],
)
def test_most_of_several_requests_have_failed(
    failures: int, requests: int, said: list[str]
) -> None:
    within = TrafficTotals(10.2, store_requests=requests, store_failures=failures)
    assert list(store_reasons(within, [])) == said


@pytest.mark.parametrize(
    ("waited_s", "waits_for", "is_told"),
    [
        (9.9, WaitsFor.STORE, False),
        (31.4, WaitsFor.STORE, True),
        (31.4, WaitsFor.DISK, False),
    ],
)
def test_a_reader_has_waited_long(waited_s: float, waits_for: WaitsFor, is_told: bool) -> None:
    wait = Wait("read", "case_000/volume.h5", waited_s, waits_for)
    said = ["a read has waited 31 s for the store"] if is_told else []
    assert list(store_reasons(TrafficTotals(10.0), [wait])) == said
