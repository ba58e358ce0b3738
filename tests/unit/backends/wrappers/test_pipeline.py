"""A made-up operation through the pipeline: with its row it is retried, metered and cancelled."""

from __future__ import annotations

import threading
from typing import cast

import pytest
import trio

from cloudfs_backends.api import ObjectInfo
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.executor import METADATA_THREADS, WorkerThreads
from cloudfs_backends.errors import StoreError, ThrottledError, UnavailableError
from cloudfs_backends.wrappers.retry import RetryPolicy
from cloudfs_backends.wrappers.store import PipelinedStore, operation
from tests.contract.in_trio import in_trio, in_trio_autojump
from tests.support.memory_store import Fail, MemoryStore, OnLoop, Request, Stall

POLICY = RetryPolicy(max_attempts=3, base_s=1.0)


class _Writer:
    """The client's side of the operation, as a protocol would declare it."""

    def put_object(self, key: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        raise NotImplementedError


class _WritableStore(PipelinedStore):
    put_object = operation("put", _Writer.put_object, moves_bytes=True)


class _BlockedStore(PipelinedStore):
    put_object = operation("put", _Writer.put_object)


class _Double(MemoryStore):
    """The scripted double, with the operation."""

    async def put_object(self, key: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        await self._begin(Request("put", key))
        if if_absent and key in self.keys():
            raise StoreError("it exists", operation="put", key=key)
        return self.put(key, data)


def _store(double: MemoryStore) -> _WritableStore:
    return _WritableStore(cast(StoreClient, double), OnLoop(1), POLICY)


@in_trio_autojump
async def test_retried_and_metered() -> None:
    double = _Double(latency_s=0.25)
    double.script(
        "put", Fail(UnavailableError("down")), Fail(ThrottledError("slow", operation="put"))
    )
    store = _store(double)
    written = await store.put_object("key", b"12345")
    assert (written.key, written.size) == ("key", 5)
    put = store.statistics().operations["put"]
    assert (put.requests, put.errors, put.retries) == (3, 2, 2)
    assert put.errors_by_kind == {"unavailable": 1, "throttled": 1}
    assert put.seconds == pytest.approx(0.75)
    assert "slow" in str(store.statistics().last_error)


@in_trio_autojump
async def test_arguments_and_errors_reach_the_other_side() -> None:
    double = _Double()
    double.put("key", b"1")
    with pytest.raises(StoreError) as caught:
        await _store(double).put_object("key", b"2", if_absent=True)
    assert caught.value.attempts == 1
    double.script("put", *[Fail(UnavailableError("down"))] * 9)
    with pytest.raises(UnavailableError) as caught:
        await _store(double).put_object("key", b"2")
    assert caught.value.attempts == POLICY.max_attempts


@in_trio_autojump
async def test_cancelled_in_an_attempt_and_in_a_pause() -> None:
    double = _Double()
    double.script("put", Stall(), *[Fail(UnavailableError("down"))] * 9)
    store = _store(double)
    for _ in range(2):
        with trio.move_on_after(0.01) as scope:
            await store.put_object("key", b"1")
        assert scope.cancelled_caught
    put = store.statistics().operations["put"]
    assert (put.requests, put.errors) == (2, 1)
    assert sum(put.durations) == 2


class _SlowClient:
    """A client whose call blocks until it is released."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.released = threading.Event()
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def put_object(self, key: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        self.started.set()
        self.released.wait(10)
        return ObjectInfo(key, len(data), "etag", 0)


@in_trio
async def test_a_cancelled_call_is_abandoned_in_its_thread() -> None:
    client = _SlowClient()
    store = _WritableStore(cast(StoreClient, client), WorkerThreads(1), POLICY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put_object, "key", b"1")
        await trio.to_thread.run_sync(client.started.wait, 10)
        nursery.cancel_scope.cancel()
    assert store.statistics().threads["data"].busy == 1
    client.released.set()
    assert (await store.put_object("other", b"12")).size == 2


@in_trio
async def test_closing_does_not_wait_for_busy_threads() -> None:
    client = _SlowClient()
    store = _BlockedStore(cast(StoreClient, client), WorkerThreads(1))
    async with trio.open_nursery() as nursery:
        for _ in range(METADATA_THREADS):
            nursery.start_soon(store.put_object, "key", b"1")
        await trio.to_thread.run_sync(client.started.wait, 10)
        await store.aclose()
        nursery.cancel_scope.cancel()
    assert client.closed
    client.released.set()


def test_a_row_keeps_name_and_documentation_of_the_operation() -> None:
    assert PipelinedStore.head.__doc__ == StoreClient.head.__doc__
    assert PipelinedStore.list_page.__name__ == "list_page"
