"""The scripted double of a store, in memory.

Everything happens on the trio loop, so a test with a mock clock sees the same order every time.
Faults are scripted per operation and used up one request each. `requests` is the log. Nothing is
retried or metered unless the double is put below the pipeline (`pipelined`).
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeAlias, TypeVar, cast

import trio

from cloudfs_backends.api import (
    Capabilities,
    ListPage,
    ObjectInfo,
    Sink,
    StoreStatistics,
)
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.executor import WorkerThreads
from cloudfs_backends.errors import (
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.wrappers.retry import RetryPolicy
from cloudfs_backends.wrappers.store import PipelinedStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fail:
    """The request fails with `error` at once."""

    error: StoreError


@dataclass(frozen=True, slots=True)
class Truncate:
    """A `get` delivers `after_bytes` bytes and then fails."""

    after_bytes: int
    error: StoreError = field(default_factory=lambda: UnavailableError("truncated body"))


@dataclass(frozen=True, slots=True)
class Stall:
    """The request sets `started` and waits for `released` before it goes on."""

    started: trio.Event = field(default_factory=trio.Event)
    released: trio.Event = field(default_factory=trio.Event)


Fault: TypeAlias = Fail | Truncate | Stall


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `start` and `stop` are 0 unless it is a `get`."""

    operation: str
    key: str
    start: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    info: ObjectInfo


class MemoryStore:
    """Objects in a dict as an `ObjectStore`, except that sinks are called on the loop thread.

    Each request takes `latency_s`; a body comes in chunks of `chunk_bytes`.
    """

    def __init__(
        self,
        url: str = "memory://bucket",
        *,
        metadata_in_list: bool = True,
        latency_s: float = 0.0,
        chunk_bytes: int = 256 * 1024,
    ) -> None:
        self._url = url
        self._metadata_in_list = metadata_in_list
        self._objects: dict[str, _Object] = {}
        self._versions = 0
        self._script: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.latency_s = latency_s
        self.chunk_bytes = chunk_bytes
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return self._url

    @property
    def identity(self) -> str:
        return self.url

    @property
    def capabilities(self) -> Capabilities:
        """As configured."""
        return Capabilities(metadata_in_list=self._metadata_in_list)

    def put(self, key: str, data: bytes, *, mtime_ns: int = 0) -> ObjectInfo:
        """Write or overwrite `key`, as another client would; each write gives a new etag."""
        self._versions += 1
        info = ObjectInfo(
            key=key,
            size=len(data),
            etag=f'"{self._versions}"',
            mtime_ns=mtime_ns,
            has_metadata=True,
            metadata_mtime=True,
        )
        self._objects[key] = _Object(data, info)
        return info

    def delete(self, key: str) -> None:
        """Delete `key`, as another client would; raises KeyError when there is none."""
        del self._objects[key]

    def keys(self) -> list[str]:
        """Return all keys in order."""
        return sorted(self._objects, key=_key_order)

    def script(self, operation: str, *faults: Fault) -> None:
        """Queue faults for the next requests of `head`, `list` or `get`, one each."""
        self._script[operation].extend(faults)

    def count(self, operation: str) -> int:
        """Return the number of requests of `operation`."""
        return sum(request.operation == operation for request in self.requests)

    async def probe(self) -> None:
        """List one key; logged as a `list`."""
        await self.list_page("", limit=1)

    async def head(self, key: str) -> ObjectInfo:
        await self._begin(Request("head", key))
        return self._find("head", key).info

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        await self._begin(Request("list", prefix))
        matching = (key for key in self.keys() if key.startswith(prefix))
        names = dict.fromkeys(_cut(key, prefix, delimiter) for key in matching)
        # A page ends with a name, which is its token; the next page starts behind it.
        later = [n for n in names if token is None or _key_order(n.text) > _key_order(token)]
        page = later[:limit]
        return ListPage(
            objects=tuple(self._listed(name.text) for name in page if not name.is_prefix),
            prefixes=tuple(name.text for name in page if name.is_prefix),
            next_token=page[-1].text if page and len(later) > limit else None,
        )

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        if not 0 <= start < stop:
            raise ValueError(f"not a range: [{start}, {stop})")
        cut = await self._begin(Request("get", key, start, stop))
        found = self._find("get", key)
        if etag not in {None, found.info.etag} or stop > found.info.size:
            raise ObjectChangedError("the object was changed", operation="get", key=key)
        end = stop if cut is None else min(stop, start + cut.after_bytes)
        for begin in range(start, end, self.chunk_bytes):
            sink(memoryview(found.data)[begin : min(begin + self.chunk_bytes, end)])
            await trio.lowlevel.checkpoint()
        if cut is not None:
            raise cut.error

    def statistics(self) -> StoreStatistics:
        """Return nothing: the pipeline counts."""
        return StoreStatistics(operations={}, last_error=None)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Do nothing, as a client that holds no connections."""

    async def _begin(self, request: Request) -> Truncate | None:
        """Log the request and inject its fault; return the fault of its body, if any."""
        self.requests.append(request)
        script = self._script[request.operation]
        fault = script.popleft() if script else None
        await trio.sleep(self.latency_s)
        if isinstance(fault, Fail):
            raise fault.error
        if isinstance(fault, Stall):
            fault.started.set()
            await fault.released.wait()
        return fault if isinstance(fault, Truncate) else None

    def _find(self, operation: str, key: str) -> _Object:
        found = self._objects.get(key)
        if found is None:
            raise ObjectNotFoundError("no such key", operation=operation, key=key)
        return found

    def _listed(self, key: str) -> ObjectInfo:
        info = self._objects[key].info
        if self._metadata_in_list:
            return info
        return replace(info, has_metadata=False, metadata_mtime=False)


class OnLoop(WorkerThreads):
    """Runs a double's coroutines on the loop, where the pipeline would run a client's calls in
    threads: a clock that jumps does not wait for threads."""

    async def run_data(self, work: Callable[[], T]) -> T:
        return await cast(Callable[[], Awaitable[T]], work)()

    async def run_metadata(self, work: Callable[[], T]) -> T:
        return await cast(Callable[[], Awaitable[T]], work)()


def pipelined(
    double: MemoryStore, policy: RetryPolicy | None = None, jitter: Random | None = None
) -> PipelinedStore:
    """Return the pipeline of every store above the double."""
    return PipelinedStore(cast(StoreClient, double), OnLoop(1), policy, jitter)


@dataclass(frozen=True, slots=True)
class _ListedName:
    text: str
    is_prefix: bool


def _cut(key: str, prefix: str, delimiter: str) -> _ListedName:
    """Return the entry of `key` in a listing: itself or its common prefix."""
    rest = key[len(prefix) :]
    if not delimiter or delimiter not in rest:
        return _ListedName(key, is_prefix=False)
    return _ListedName(prefix + rest[: rest.index(delimiter)] + delimiter, is_prefix=True)


def _key_order(key: str) -> bytes:
    return os.fsencode(key)
