"""Histograms and error counts of requests, on a clock that jumps."""

from __future__ import annotations

import pytest

from cloudfs_backends.common.obstore_errors import IncompatibleResponseError
from cloudfs_backends.errors import StoreError, ThrottledError, UnavailableError
from cloudfs_backends.histogram import BOUNDS_S, bucket_of, empty_histogram
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import Fail, MemoryStore, pipelined


def test_a_bound_belongs_to_the_count_below_it() -> None:
    assert bucket_of(0.0) == bucket_of(BOUNDS_S[0]) == 0
    assert bucket_of(BOUNDS_S[0] * 1.001) == 1
    assert bucket_of(BOUNDS_S[-1] * 2) == len(BOUNDS_S) == len(empty_histogram()) - 1
    assert list(BOUNDS_S) == sorted(BOUNDS_S)


@in_trio_autojump
async def test_durations_and_first_bytes_are_placed() -> None:
    inner = MemoryStore(latency_s=0.2)
    inner.put("key", b"12345")
    store = pipelined(inner)
    await store.get_range("key", 0, 5, etag=None, sink=lambda _: None)
    await store.head("key")
    operations = store.statistics().operations
    for counts in (operations["get"].durations, operations["get"].first_byte):
        assert counts.index(1) == bucket_of(0.2)
        assert sum(counts) == 1
    assert sum(operations["head"].durations) == 1
    assert sum(operations["head"].first_byte) == 0


@in_trio_autojump
async def test_errors_are_counted_by_kind() -> None:
    inner = MemoryStore()
    inner.script("list", Fail(ThrottledError("x")), Fail(ThrottledError("x")))
    inner.script("list", Fail(UnavailableError("x")))
    store = pipelined(inner)
    for _ in range(3):
        with pytest.raises(StoreError):
            await store.list_page("")
    listed = store.statistics().operations["list"]
    assert listed.errors_by_kind == {"throttled": 2, "unavailable": 1}
    assert (listed.errors, sum(listed.durations)) == (3, 3)


def test_a_kind_is_one_of_the_documented_ones() -> None:
    assert IncompatibleResponseError("x").kind == "invalid_request"
    assert StoreError("x").kind == "store"
