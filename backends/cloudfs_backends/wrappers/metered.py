"""Counts and times of the requests that reach a store, as a decorator of the same protocol.

It sits below the retries: a request here is one that the store was really asked, which is also what
a bill counts. It does not know why a request was made or whether it will be made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from cloudfs_backends.api import (
    Capabilities,
    ListPage,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    OperationStatistics,
    ReadBuffer,
    Sink,
    StoreError,
    StoreStatistics,
)
from cloudfs_backends.histogram import no_counts, place

OPERATIONS = ("head", "list", "get")


@dataclass(slots=True)
class _Meter:
    """The running totals of one operation; touched on the loop thread only."""

    requests: int = 0
    errors: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    first_byte_seconds: float = 0.0
    errors_by_kind: Counter[str] = field(default_factory=Counter)
    durations: list[int] = field(default_factory=no_counts)
    first_byte: list[int] = field(default_factory=no_counts)

    def note(self, seconds: float) -> None:
        self.seconds += seconds
        self.durations[place(seconds)] += 1

    def note_first_byte(self, seconds: float) -> None:
        self.first_byte_seconds += seconds
        self.first_byte[place(seconds)] += 1

    def snapshot(self) -> OperationStatistics:
        return OperationStatistics(
            requests=self.requests,
            errors=self.errors,
            retries=0,
            received_bytes=self.received_bytes,
            seconds=self.seconds,
            first_byte_seconds=self.first_byte_seconds,
            errors_by_kind=dict(self.errors_by_kind),
            durations=tuple(self.durations),
            first_byte=tuple(self.first_byte),
        )


class _CountingSink:
    """Passes bytes on and notes how many there were and when the first came.

    Called from one worker thread; read on the loop, while a cancelled worker may still count.
    """

    def __init__(self, sink: Sink, clock: trio.abc.Clock) -> None:
        self._sink = sink
        self._clock = clock
        self.received_bytes = 0
        self.first_byte_time: float | None = None

    def __call__(self, data: ReadBuffer) -> None:
        if self.first_byte_time is None:
            self.first_byte_time = self._clock.current_time()
        self.received_bytes += len(data)
        self._sink(data)


class MeteredStore:
    """Counts what passes through to `inner`. Used from the trio loop only.

    Times are in seconds and summed over requests, failed and cancelled ones included;
    `first_byte_seconds` sums over the requests that got a byte. A missing object is an answer, not
    an error. The bytes of a request are added when it ends.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self._meters = {operation: _Meter() for operation in OPERATIONS}
        self._last_error: str | None = None

    @property
    def url(self) -> str:
        """See `ObjectStore.url`."""
        return self._inner.url

    @property
    def identity(self) -> str:
        """See `ObjectStore.identity`."""
        return self._inner.identity

    @property
    def capabilities(self) -> Capabilities:
        """See `ObjectStore.capabilities`."""
        return self._inner.capabilities

    async def probe(self) -> None:
        """See `ObjectStore.probe`; counted as one `list`."""
        with self._measured("list"):
            await self._inner.probe()

    async def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        with self._measured("head"):
            return await self._inner.head(key)

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """See `ObjectStore.list_page`."""
        with self._measured("list"):
            return await self._inner.list_page(
                prefix, delimiter=delimiter, token=token, limit=limit
            )

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        """See `ObjectStore.get_range`."""
        started = trio.current_time()
        counting = _CountingSink(sink, trio.lowlevel.current_clock())
        meter = self._meters["get"]
        try:
            with self._measured("get"):
                await self._inner.get_range(key, start, stop, etag=etag, sink=counting)
        finally:
            meter.received_bytes += counting.received_bytes
            if counting.first_byte_time is not None:
                meter.note_first_byte(counting.first_byte_time - started)

    def statistics(self) -> StoreStatistics:
        """Return a snapshot; `retries` is 0 here: only the layer above knows them."""
        operations = {name: meter.snapshot() for name, meter in self._meters.items()}
        threads = self._inner.statistics().threads
        return StoreStatistics(operations, self._last_error, threads)

    async def aclose(self) -> None:
        """See `ObjectStore.aclose`."""
        await self._inner.aclose()

    @contextmanager
    def _measured(self, operation: str) -> Iterator[None]:
        meter = self._meters[operation]
        meter.requests += 1
        started = trio.current_time()
        try:
            yield
        except ObjectNotFoundError:
            raise
        except StoreError as error:
            meter.errors += 1
            meter.errors_by_kind[error.kind] += 1
            self._last_error = error.describe()
            raise
        finally:
            meter.note(trio.current_time() - started)
