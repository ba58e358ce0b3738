"""What one disk needs beside reads and writes: the index told of visits, room kept, blocks recoded,
and a disk that failed tried again.

Owned by the trio loop. Nobody waits for any of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import trio

from cloudfs_cache.api import DiskStalledError
from cloudfs_cache.disk.access import DiskAccess
from cloudfs_cache.disk.access_log import VisitBatch, VisitLog
from cloudfs_cache.disk.health import DiskState
from cloudfs_cache.disk.index.rows import ExtentRow
from cloudfs_cache.disk.recompress import Recoded, Recoder
from cloudfs_cache.disk.store import DiskStorage

TICK_S: Final = 2.0
POLICY_EVERY_S: Final = 30.0
_TIDY_EVERY_S: Final = 60.0
_IDLE_RECODING_S: Final = 5.0
_RECODE_LIMIT_S: Final = 120.0
# Three parts of rest for one of work: a core in four at most.
_REST_PER_WORK: Final = 3.0

Result = TypeVar("Result")


class DiskMaintenance:
    """The background work of one cache directory."""

    def __init__(
        self,
        storage: DiskStorage,
        access: DiskAccess,
        visits: VisitLog,
        on_evicted: Callable[[Iterable[ExtentRow]], None],
        on_recoded: Callable[[Recoded], None],
        *,
        recode: bool,
    ) -> None:
        self._storage = storage
        self._access = access
        self._visits = visits
        self._on_evicted = on_evicted
        self._on_recoded = on_recoded
        self._recode = recode and storage.space.spare_bytes > 0
        self._policy_kept_at = float("-inf")
        self.used_bytes = 0
        self.free_bytes = 0
        self.recoded_bytes = 0

    async def run_forever(self) -> None:
        """Do all of it until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick_forever)
            nursery.start_soon(self._probe_forever)
            nursery.start_soon(self._tidy_forever)
            if self._recode:
                nursery.start_soon(self._recode_forever)

    async def flush(self, *, final: bool = False) -> None:
        """Tell the index what was visited, and learn how things stand.

        The `final` flush keeps what the policy has learnt, too.
        """
        if self._access.state is not DiskState.OK:
            return
        if final:
            self._policy_kept_at = float("-inf")
        batch = self._visits.take()
        found = await self._try(partial(self._flush, batch, final=final), "write the index")
        if found is not None:
            self.used_bytes, self.free_bytes, clock = found
            self._visits.agree(clock)

    def _flush(self, batch: VisitBatch, *, final: bool) -> tuple[int, int, int]:
        storage = self._storage
        if self._visits.trace is not None:
            self._visits.trace.write_out()
        totals = storage.survey.totals()
        if batch.visits or batch.clock_bytes or final:
            totals, forgotten = storage.survey.note_visits(
                batch.visits, batch.clock_bytes, self._learnt()
            )
            storage.policy.forget(forgotten)
        return totals.used_bytes, storage.space.free_bytes(), totals.clock

    def _learnt(self) -> str | None:
        """What the policy has learnt, now and then: it is long, and changes slowly."""
        now = time.monotonic()
        if now - self._policy_kept_at < POLICY_EVERY_S:
            return None
        self._policy_kept_at = now
        return json.dumps(self._storage.policy.dump())

    async def _tick_forever(self) -> None:
        while True:
            await self.flush()
            await self._trim()
            await trio.sleep(TICK_S)

    async def _trim(self) -> None:
        """Keep within the limits when others fill the disk or the limit was lowered."""
        space = self._storage.space
        within = self.used_bytes + space.spare_bytes <= space.limits.capacity_bytes
        if self._access.state is not DiskState.OK or (
            within and self.free_bytes >= space.limits.min_free_bytes
        ):
            return
        work = partial(self._storage.room.make, 0, None, self._visits.clock)
        evicted = await self._try(work, "evict")
        if evicted is not None:
            self._on_evicted(evicted.extents)

    async def _probe_forever(self) -> None:
        while True:
            await trio.sleep(self._access.patience.retry_s)
            if self._access.state is not DiskState.OK and await self._try(
                self._storage.probe, "try out the disk"
            ):
                self._access.recovered()

    async def _tidy_forever(self) -> None:
        while True:
            await trio.sleep(_TIDY_EVERY_S)
            if self._access.state is DiskState.OK:
                await self._try(self._storage.tidy, "clear up")

    async def _recode_forever(self) -> None:
        while True:
            rest_s = _IDLE_RECODING_S
            if self._access.state is DiskState.OK:
                started = trio.current_time()
                work = partial(Recoder(self._storage).step, self._visits.clock)
                done = await self._try(work, "recode", limit_s=_RECODE_LIMIT_S)
                if done is not None and done.extent is not None:
                    self.recoded_bytes += done.saved_bytes
                    self._on_recoded(done)
                    rest_s = _REST_PER_WORK * (trio.current_time() - started)
            await trio.sleep(rest_s)

    async def _try(
        self, work: Callable[[], Result], verb: str, *, limit_s: float | None = None
    ) -> Result | None:
        """Run work on the disk; None when the disk fails or stalls."""
        limit_s = self._access.patience.write_s if limit_s is None else limit_s
        try:
            return await self._access.attempt(work, verb, limit_s=limit_s)
        except DiskStalledError:
            return None
