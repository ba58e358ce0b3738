"""Background work of one cache directory: flush the access log, enforce limits, recompress,
and probe a failed disk.

Owned by the trio loop. No reader waits for any of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio

from cloudfs_cache.api import DiskStalledError
from cloudfs_cache.disk.access_log import AccessBatch
from cloudfs_cache.disk.entry import DiskParts
from cloudfs_cache.disk.io.health import DiskState
from cloudfs_cache.disk.recompress import Recompressed, Recompressor

TICK_S: Final = 2.0
POLICY_EVERY_S: Final = 30.0
_TIDY_EVERY_S: Final = 60.0
_RECOMPRESS_IDLE_S: Final = 5.0
_RECOMPRESS_LIMIT_S: Final = 120.0
# Three parts of rest for one of work: a core in four at most.
_REST_PER_WORK: Final = 3.0

Result = TypeVar("Result")


class DiskMaintenance:
    """The background work of one cache directory."""

    def __init__(
        self,
        parts: DiskParts,
        on_recompressed: Callable[[Recompressed], None],
        *,
        recompress: bool,
    ) -> None:
        self._store = parts.store
        self._executor = parts.executor
        self._accesses = parts.accesses
        self._counters = parts.counters
        self._on_evicted = parts.on_evicted
        self._on_recompressed = on_recompressed
        self._recompress = recompress and parts.store.capacity.spare_bytes > 0
        self._policy_kept_at = float("-inf")

    async def run_forever(self) -> None:
        """Do all of it until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick_forever)
            nursery.start_soon(self._probe_forever)
            nursery.start_soon(self._tidy_forever)
            if self._recompress:
                nursery.start_soon(self._recompress_forever)

    async def flush(self, *, final: bool = False) -> None:
        """Write the access log to the index, and read the totals of all mounts.

        The `final` flush keeps what the policy has learnt, too.
        """
        if self._executor.state is not DiskState.OK:
            return
        if final:
            self._policy_kept_at = float("-inf")
        batch = self._accesses.take()
        found = await self._try(partial(self._flush, batch, final=final), "write the index")
        if found is not None:
            self._counters.used_bytes, self._counters.free_bytes, clock = found
            self._accesses.agree(clock)

    def _flush(self, batch: AccessBatch, *, final: bool) -> tuple[int, int, int]:
        store = self._store
        if self._accesses.trace is not None:
            self._accesses.trace.write_out()
        totals = store.queries.totals()
        if batch.accesses or batch.clock_bytes or final:
            totals, forgotten = store.queries.note_accesses(
                batch.accesses, batch.clock_bytes, self._learnt()
            )
            store.policy.forget(forgotten)
        return totals.used_bytes, store.capacity.free_bytes(), totals.clock

    def _learnt(self) -> str | None:
        """What the policy has learnt, now and then: it is long, and changes slowly."""
        now = time.monotonic()
        if now - self._policy_kept_at < POLICY_EVERY_S:
            return None
        self._policy_kept_at = now
        return json.dumps(self._store.policy.dump())

    async def _tick_forever(self) -> None:
        while True:
            await self.flush()
            await self._trim()
            await trio.sleep(TICK_S)

    async def _trim(self) -> None:
        """Keep within the limits when others fill the disk or the limit was lowered."""
        capacity = self._store.capacity
        within = self._counters.used_bytes + capacity.spare_bytes <= capacity.limits.capacity_bytes
        if self._executor.state is not DiskState.OK or (
            within and self._counters.free_bytes >= capacity.limits.min_free_bytes
        ):
            return
        work = partial(self._store.evictor.make, 0, None, self._accesses.clock)
        evicted = await self._try(work, "evict")
        if evicted is not None:
            self._on_evicted(evicted.extents)

    async def _probe_forever(self) -> None:
        while True:
            await trio.sleep(self._executor.timeouts.retry_s)
            if self._executor.state is not DiskState.OK and await self._try(
                self._store.probe, "try out the disk"
            ):
                self._executor.recovered()

    async def _tidy_forever(self) -> None:
        while True:
            await trio.sleep(_TIDY_EVERY_S)
            if self._executor.state is DiskState.OK:
                await self._try(self._store.tidy, "clear up")

    async def _recompress_forever(self) -> None:
        while True:
            rest_s = _RECOMPRESS_IDLE_S
            if self._executor.state is DiskState.OK:
                started = trio.current_time()
                work = partial(Recompressor(self._store).step, self._accesses.clock)
                done = await self._try(work, "recompress", limit_s=_RECOMPRESS_LIMIT_S)
                if done is not None and done.extent is not None:
                    self._counters.recompressed_bytes += done.saved_bytes
                    self._on_recompressed(done)
                    rest_s = _REST_PER_WORK * (trio.current_time() - started)
            await trio.sleep(rest_s)

    async def _try(
        self, work: Callable[[], Result], verb: str, *, limit_s: float | None = None
    ) -> Result | None:
        """Run work on the disk; None when the disk fails or stalls."""
        limit_s = self._executor.timeouts.write_s if limit_s is None else limit_s
        try:
            return await self._executor.attempt(work, verb, limit_s=limit_s)
        except DiskStalledError:
            return None
