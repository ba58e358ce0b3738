"""The disk tier: blocks in one cache directory, which other mounts may use too.

Owned by the trio loop; the disk itself is touched only by worker threads. A disk that errors or
stalls is left alone until a probe of it succeeds.
"""

from __future__ import annotations

import logging
import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import trio

from cloudfs_cache.api import DiskStalledError, DiskStatistics, ObjectVersion, Origin, Placement
from cloudfs_cache.disk.access_log import AccessLog
from cloudfs_cache.disk.access_trace import AccessTrace
from cloudfs_cache.disk.admin import DiskAdmin
from cloudfs_cache.disk.entry import DiskCounters, DiskEntry, DiskParts
from cloudfs_cache.disk.index.rows import ExtentRow
from cloudfs_cache.disk.io.executor import DiskExecutor, Timeouts
from cloudfs_cache.disk.maintenance import DiskMaintenance
from cloudfs_cache.disk.object import DiskObject
from cloudfs_cache.disk.recompress import Recompressed
from cloudfs_cache.disk.store import DiskStore
from cloudfs_cache.tiers.api import TierAdmin

log = logging.getLogger(__name__)

_CLOSE_S: Final = 3.0


class DiskTier:
    """One cache directory as a tier."""

    origin: Final = Origin.DISK

    def __init__(
        self,
        store: DiskStore,
        store_id: str,
        *,
        threads: int,
        recompress: bool,
        timeouts: Timeouts,
        trace: AccessTrace | None,
    ) -> None:
        self._store = store
        self._directory = store.directory.path
        self._executor = DiskExecutor(self._directory, threads, timeouts)
        totals = store.queries.totals()
        accesses = AccessLog(store.policy, totals.clock, trace)
        self._counters = DiskCounters(used_bytes=totals.used_bytes)
        self._parts = DiskParts(store, self._executor, accesses, self._counters, self._forget)
        self._maintenance = DiskMaintenance(
            self._parts, self._note_recompressed, recompress=recompress
        )
        self.admin: TierAdmin = DiskAdmin(store, self._executor, store_id, self._forget)
        self._entries: weakref.WeakValueDictionary[bytes, DiskEntry] = weakref.WeakValueDictionary()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush accesses, probe a bypassed disk, recompress and trim, until cancelled."""
        task_status.started()
        await self._maintenance.run_forever()

    async def open(self, version: ObjectVersion, placement: Placement) -> DiskEntry:
        """Return the entry of a version, with what the index knows of it."""
        found = DiskObject(version, placement)
        known = self._entries.get(found.digest)
        if known is not None:
            return known
        entry = self._entries[found.digest] = DiskEntry(self._parts, found)
        await entry.load()
        return entry

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        """Return the blocks that are present of each version."""
        digests = [bytes.fromhex(version.digest()) for version in versions]
        try:
            found = await self._executor.attempt(
                partial(self._store.index.local_blocks, digests), "look up blocks"
            )
        except DiskStalledError:
            found = None
        return [set((found or {}).get(digest, ())) for digest in digests]

    def statistics(self) -> tuple[DiskStatistics, ...]:
        """Return a snapshot."""
        health, counters = self._executor.health, self._counters
        return (
            DiskStatistics(
                directory=self._directory,
                state=self._executor.state.value,
                reason=health.reason,
                capacity_bytes=self._store.capacity.limits.capacity_bytes,
                used_bytes=counters.used_bytes,
                free_bytes=counters.free_bytes,
                hits=counters.hits,
                misses=counters.misses,
                writes=counters.writes,
                evictions=counters.evictions,
                rejected=counters.rejected,
                skipped=counters.skipped,
                errors=health.errors,
                stalls=health.stalls,
                corrupt=counters.corrupt,
                recompressed_bytes=counters.recompressed_bytes,
                threads_busy=self._executor.threads.inside,
                threads_waiting=self._executor.threads.waiting,
            ),
        )

    async def aclose(self) -> None:
        """Flush the last accesses to the index and release the directory."""
        with trio.move_on_after(_CLOSE_S):
            await self._executor.wait_idle()
            await self._maintenance.flush(final=True)
        # A thread that hangs inside keeps its connection until the process ends.
        if not self._executor.busy:
            try:
                self._store.close()
            except (OSError, sqlite3.Error) as error:
                log.info("cache directory %s: cannot close its index: %s", self._directory, error)

    def _note_recompressed(self, done: Recompressed) -> None:
        entry = None if done.extent is None else self._entries.get(done.extent.digest)
        if entry is not None:
            entry.object.records.update(done.records)

    def _forget(self, extents: Iterable[ExtentRow]) -> None:
        """Drop the records of extents that are no longer on the disk."""
        for extent in extents:
            self._counters.evictions += 1
            entry = self._entries.get(extent.digest)
            if entry is not None:
                for index in entry.object.extent_blocks(extent.number):
                    entry.object.records.pop(index, None)
