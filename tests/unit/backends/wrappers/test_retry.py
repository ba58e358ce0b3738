"""Retries: pauses, budgets and resumed reads, on a clock that jumps."""

from __future__ import annotations

import logging
import random

import pytest
import trio

from cloudfs_backends.api import ReadBuffer
from cloudfs_backends.errors import (
    AccessDeniedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from cloudfs_backends.wrappers.retry import RetryPolicy
from cloudfs_backends.wrappers.store import PipelinedStore
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import Fail, MemoryStore, Stall, Truncate, pipelined

POLICY = RetryPolicy(max_attempts=4, budget_s=30.0, base_s=1.0, cap_s=5.0, max_total_attempts=10)


class _LongestPauses(random.Random):
    """Draws the upper end, so that pauses are known."""

    def uniform(self, a: float, b: float) -> float:
        return b


def _retrying(inner: MemoryStore, policy: RetryPolicy = POLICY) -> PipelinedStore:
    return pipelined(inner, policy, _LongestPauses())


def _fail(times: int, error: StoreError | None = None) -> list[Fail]:
    return [Fail(error or UnavailableError("down"))] * times


async def _read(store: PipelinedStore, size: int, etag: str | None) -> bytes:
    received = bytearray()
    await store.get_range("key", 0, size, etag=etag, sink=received.extend)
    return bytes(received)


@in_trio_autojump
async def test_pauses_double() -> None:
    inner = MemoryStore()
    inner.put("key", b"1")
    inner.script("head", *_fail(3))
    await _retrying(inner).head("key")
    assert trio.current_time() == pytest.approx(1 + 2 + 4, abs=0.01)
    assert inner.count("head") == 4


@in_trio_autojump
async def test_pauses_are_capped_and_attempts_end() -> None:
    inner = MemoryStore()
    inner.script("list", *_fail(9))
    store = _retrying(inner, RetryPolicy(max_attempts=6, base_s=1.0, cap_s=3.0))
    with pytest.raises(UnavailableError) as caught:
        await store.list_page("")
    assert caught.value.attempts == 6
    assert trio.current_time() == pytest.approx(1 + 2 + 3 + 3 + 3, abs=0.01)


@in_trio_autojump
async def test_budget_ends_before_a_pause_that_would_exceed_it() -> None:
    inner = MemoryStore()
    inner.script("head", *_fail(9))
    store = _retrying(inner, RetryPolicy(max_attempts=9, budget_s=5.0, base_s=1.0, cap_s=9.0))
    with pytest.raises(UnavailableError) as caught:
        await store.head("key")
    assert caught.value.attempts == 3
    assert trio.current_time() == pytest.approx(1 + 2, abs=0.01)


@in_trio_autojump
async def test_pause_that_the_store_asks_for() -> None:
    inner = MemoryStore()
    inner.put("key", b"1")
    inner.script("head", *_fail(1, ThrottledError("slow down", retry_after_s=17.0)))
    await _retrying(inner).head("key")
    assert trio.current_time() == pytest.approx(17, abs=0.01)


@in_trio_autojump
async def test_pause_longer_than_the_budget_is_not_slept() -> None:
    inner = MemoryStore()
    inner.script("head", *_fail(1, ThrottledError("slow down", retry_after_s=3600.0)))
    with pytest.raises(ThrottledError) as caught:
        await _retrying(inner).head("key")
    assert caught.value.attempts == 1
    assert trio.current_time() < 1


@in_trio_autojump
async def test_what_cannot_pass_is_raised_at_once() -> None:
    inner = MemoryStore()
    inner.script("head", *_fail(1, AccessDeniedError("no")))
    with pytest.raises(AccessDeniedError):
        await _retrying(inner).head("key")
    assert inner.count("head") == 1


@in_trio_autojump
async def test_read_goes_on_and_progress_starts_the_attempts_anew() -> None:
    data = bytes(range(100))
    inner = MemoryStore()
    etag = inner.put("key", data).etag
    inner.script("get", *_fail(2), Truncate(30), *_fail(2), Truncate(30), *_fail(2))
    assert await _read(_retrying(inner), 100, etag) == data
    begins = [request.start for request in inner.requests]
    assert begins == [0, 0, 0, 30, 30, 30, 60, 60, 60]


@in_trio_autojump
async def test_progress_does_not_go_on_for_ever() -> None:
    inner = MemoryStore()
    etag = inner.put("key", bytes(100)).etag
    inner.script("get", *[Truncate(1)] * 100)
    with pytest.raises(UnavailableError) as caught:
        await _read(_retrying(inner), 100, etag)
    assert caught.value.attempts == POLICY.max_total_attempts


@in_trio_autojump
async def test_error_after_the_last_byte_does_not_matter() -> None:
    inner = MemoryStore()
    etag = inner.put("key", b"0123456789").etag
    inner.script("get", Truncate(10))
    assert await _read(_retrying(inner), 10, etag) == b"0123456789"
    assert inner.count("get") == 1


@in_trio_autojump
async def test_read_without_version_is_made_again_only_from_its_start() -> None:
    inner = MemoryStore()
    inner.put("key", bytes(100))
    inner.script("get", *_fail(1), Truncate(30))
    with pytest.raises(UnavailableError):
        await _read(_retrying(inner), 100, None)
    assert inner.count("get") == 2


@in_trio_autojump
async def test_what_a_sink_raises_is_not_retried() -> None:
    inner = MemoryStore()
    inner.put("key", bytes(100))
    error = UnavailableError("of another store")

    def sink(_: ReadBuffer) -> None:
        raise error

    with pytest.raises(UnavailableError) as caught:
        await _retrying(inner).get_range("key", 0, 100, etag=None, sink=sink)
    assert caught.value is error
    assert inner.count("get") == 1


@in_trio_autojump
async def test_cancelled_while_pausing() -> None:
    inner = MemoryStore()
    inner.script("head", *_fail(9))
    with trio.move_on_after(0.5) as scope:
        await _retrying(inner).head("key")
    assert scope.cancelled_caught


@in_trio_autojump
async def test_statistics_and_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="cloudfs_backends")
    inner = MemoryStore(latency_s=0.25)
    inner.put("key", b"0123456789")
    inner.script("head", *_fail(3))
    store = _retrying(inner, RetryPolicy(base_s=0.0))
    # Retries before the first success are the start-up's, whose error says it all.
    await store.get_range("key", 0, 10, etag=None, sink=lambda _: None)
    await store.head("key")
    statistics = store.statistics()
    head, get = statistics.operations["head"], statistics.operations["get"]
    assert (head.requests, head.errors, head.retries) == (4, 3, 3)
    assert head.seconds == pytest.approx(1.0)
    assert (get.requests, get.errors, get.retries, get.received_bytes) == (1, 0, 0, 10)
    assert get.first_byte_seconds == pytest.approx(0.25)
    assert statistics.last_error is not None
    assert "down" in statistics.last_error
    assert [record.levelname for record in caplog.records] == ["INFO"]


@in_trio_autojump
async def test_stalled_request_waits_until_released() -> None:
    inner = MemoryStore()
    inner.put("key", b"1")
    stall = Stall()
    inner.script("head", stall)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_retrying(inner).head, "key")
        await stall.started.wait()
        stall.released.set()
