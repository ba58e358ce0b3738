"""The request pipeline of a store: retry around metering around one call in a worker thread.

The same rules hold for every operation:

- An attempt that fails with a retryable `StoreError` is repeated as the `RetryPolicy` says. Since
  the response to a successful attempt may be lost, a call has to be safe to repeat.
- Each attempt is metered: the statistics count the requests that the store received, as its bill.
- A cancelled request returns at once. Its thread is abandoned: it counts as busy until the call
  ends, and the call may still take effect in the store.

To add an operation:

1. declare it in the protocol that callers use (`ObjectStore` for reading) and, with the same name
   and parameters but blocking, in the protocol of the clients (`StoreClient`);
2. implement it in the clients that can do it;
3. add its row to the store that goes through the pipeline (`wrappers.store`): the client's method,
   the name it is metered under, and whether it takes one of the threads for data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TypeVar

import trio

from cloudfs_backends.api import ReadBuffer, Sink, StoreStatistics
from cloudfs_backends.common.executor import WorkerThreads
from cloudfs_backends.errors import StoreError
from cloudfs_backends.wrappers.metering import Meters
from cloudfs_backends.wrappers.retry import Retries, RetryPolicy

T = TypeVar("T")


class Pipeline:
    """Runs the requests of one store. Created anywhere, used from the trio loop only."""

    def __init__(
        self, threads: WorkerThreads, policy: RetryPolicy, jitter: Random | None = None
    ) -> None:
        self.threads = threads
        self.meters = Meters()
        self.retries = Retries(policy, jitter)

    async def run(self, operation: str, call: Callable[[], T], *, moves_bytes: bool = False) -> T:
        """Return the result of the blocking `call`, which may be repeated."""
        run = self.threads.run_data if moves_bytes else self.threads.run_metadata

        async def attempt() -> T:
            with self.meters.measured(operation):
                return await run(call)

        return await self.retries.begin(operation).run(attempt)

    async def read(
        self, call: Callable[[int, Sink], None], start: int, stop: int, sink: Sink, *, resume: bool
    ) -> None:
        """Hand the bytes [start, stop) to `sink`; `call(begin, sink)` reads from `begin` on.

        A retry continues after the bytes that `sink` has. Without `resume`, as when no version is
        given, a read that has delivered bytes is not repeated: the rest may be of another version.
        """
        download = _Download(self, call, start, stop, sink, resume=resume)
        await download.attempts.run(download.attempt, download.may_repeat)

    def statistics(self) -> StoreStatistics:
        """Return a snapshot. Cheap, synchronous."""
        return StoreStatistics(
            self.meters.snapshot(self.retries.counts),
            self.meters.last_error,
            self.threads.statistics(),
        )


class _Download:
    """One read of a range. It is also the sink of its attempts, called from one thread at a time.

    `received` and `first_byte_at` are of the current attempt; an abandoned thread may still change
    them.
    """

    __slots__ = (
        "_call",
        "_clock",
        "_pipeline",
        "_resume",
        "_sink",
        "_start",
        "_stop",
        "attempts",
        "first_byte_at",
        "position",
        "received",
        "sink_failed",
    )

    def __init__(
        self,
        pipeline: Pipeline,
        call: Callable[[int, Sink], None],
        start: int,
        stop: int,
        sink: Sink,
        *,
        resume: bool,
    ) -> None:
        self._pipeline = pipeline
        self._call = call
        self._start = self.position = start
        self._stop = stop
        self._sink = sink
        self._resume = resume
        self._clock = trio.lowlevel.current_clock()
        self.attempts = pipeline.retries.begin("get")
        self.received = 0
        self.first_byte_at: float | None = None
        self.sink_failed = False

    def __call__(self, data: ReadBuffer) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self._clock.current_time()
        self.received += len(data)
        try:
            self._sink(data)
        except BaseException:  # even a `StoreError`: it is not of this store
            self.sink_failed = True
            raise
        self.position += len(data)

    async def attempt(self) -> None:
        begin = self.position
        self.received, self.first_byte_at = 0, None
        started = self._clock.current_time()
        meters, threads = self._pipeline.meters, self._pipeline.threads
        try:
            with meters.measured("get"):
                await threads.run_data(partial(self._call, begin, self))
        except StoreError as error:
            if self.sink_failed or not error.retryable or self.position == begin:
                raise
            if self.position < self._stop:
                self.attempts.note_progress()
                raise
            # All bytes arrived before the error: the read is complete.
        finally:
            first = self.first_byte_at
            meters.add_body("get", self.received, None if first is None else first - started)

    def may_repeat(self) -> bool:
        if self.sink_failed:
            return False
        return self._resume or self.position == self._start
