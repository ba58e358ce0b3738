"""The SSD tier on one disk: what the loop knows of it, and the way in and out.

Owned by the trio loop; the disk itself is touched only by worker threads. An error of the disk
never reaches a reader: the block is a miss. A disk that errors or stalls is left alone until a
probe of it succeeds (see health.py).
"""

from __future__ import annotations

import logging
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import trio

from cloudfs_cache.api import (
    DiskStalledError,
    DiskStatistics,
    ObjectVersion,
    Placement,
)
from cloudfs_cache.disk import files as disk_files
from cloudfs_cache.disk.access import DiskExecutor, Timeouts
from cloudfs_cache.disk.access_log import AccessLog
from cloudfs_cache.disk.access_trace import AccessTrace
from cloudfs_cache.disk.admin import DiskAdmin
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, DiskObject, object_files
from cloudfs_cache.disk.index.rows import ExtentRow
from cloudfs_cache.disk.maintenance import DiskMaintenance
from cloudfs_cache.disk.recompress import Recompressed
from cloudfs_cache.disk.store import DiskStore, Outcome, Verdict, WriteJob, WriteResult
from cloudfs_cache.memory.block import Block
from cloudfs_cache.tiers.api import GiveBack, TierAdmin

log = logging.getLogger(__name__)

_REFRESH_AFTER_S = 5.0
_CLOSE_S = 3.0


class DiskTier:
    """Blocks in one cache directory, which other mounts may use too."""

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
        self._accesses = AccessLog(store.policy, totals.clock, trace)
        self._maintenance = DiskMaintenance(
            store,
            self._executor,
            self._accesses,
            self._forget,
            self._note_recompressed,
            recompress=recompress,
        )
        self._maintenance.used_bytes = totals.used_bytes
        self.admin: TierAdmin = DiskAdmin(store, self._executor, store_id, self._forget)
        self._loaded: weakref.WeakValueDictionary[bytes, DiskObject] = weakref.WeakValueDictionary()
        self._loaded_at: weakref.WeakKeyDictionary[DiskObject, float] = weakref.WeakKeyDictionary()
        self._hits = self._misses = self._writes = self._evictions = 0
        self._rejected = self._skipped = self._corrupt = 0

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush accesses, probe a bypassed disk, recompress and trim, until cancelled."""
        task_status.started()
        await self._maintenance.run_forever()

    async def load(self, version: ObjectVersion, placement: Placement) -> DiskObject:
        """Return what the disk holds of a version."""
        held = DiskObject(version, placement)
        known = self._loaded.get(held.digest)
        if known is not None:
            return known
        self._loaded[held.digest] = held
        await self._refresh(held)
        return held

    async def refresh(self, held: DiskObject) -> None:
        """Look again what other mounts have added, if the last look was some seconds ago."""
        age = time.monotonic() - self._loaded_at.get(held, 0.0)
        if age > _REFRESH_AFTER_S and len(held.records) < held.version.block_count:
            await self._refresh(held)

    def readable(self, held: DiskObject) -> bool:
        """Whether reading is worth a try now."""
        del held
        return self._executor.health.readable

    def writable(self, held: DiskObject) -> bool:
        """Whether writing is worth a try now."""
        del held
        return self._executor.health.writable

    async def read(self, held: DiskObject, blocks: Sequence[Block], lost: GiveBack) -> list[bool]:
        """Fill the buffers of blocks; say which of them now hold sound bytes."""
        sound = await self._read(held, blocks, lost)
        for at, block in enumerate(blocks):
            if not sound[at] and self.readable(held) and await self._moved(held, block.index):
                sound[at : at + 1] = await self._read(held, [block], lost)
        self._hits += sum(sound)
        return sound

    async def read_range(self, held: DiskObject, index: int, start: int, stop: int) -> bytes | None:
        """Return bytes of a block that is stored raw, reading only their checksum chunks."""
        record = held.records.get(index)
        if record is None or record.codec is not Codec.RAW or not self.readable(held):
            return None
        files = object_files(self._store.directory.objects, held.digest)
        place = disk_files.StoredBlock(files, held.digest, index, record)
        work = partial(disk_files.read_range, place, start, stop)
        try:
            data = await self._executor.attempt(work, f"read {held.version.key!r}")
        except DiskStalledError:
            return None
        self._hits += bool(data)
        # Wrong bytes are looked into when the whole block is read, which is what happens next.
        return data or None

    async def write(
        self, held: DiskObject, blocks: Sequence[Block], done: Callable[[], None]
    ) -> None:
        """Store adjacent full blocks, evicting others when space is short."""
        if not self.writable(held):
            self._skipped += len(blocks)
            done()
            return
        job = self._job(held, blocks)
        work = partial(self._store.write, job)
        verb, limit_s = f"write {held.version.key!r}", self._executor.timeouts.write_s
        try:
            result = await self._executor.attempt(work, verb, limit_s=limit_s, on_late=done)
        except DiskStalledError:
            self._skipped += len(blocks)
            return
        done()
        self._note_write(held, len(blocks), result)

    def accessed(self, held: DiskObject, index: int, size_bytes: int, *, resident: bool) -> None:
        """A reader was given bytes of a block."""
        self._accesses.note(held, index, size_bytes, resident=resident)

    def missed(self, held: DiskObject) -> None:
        """A block had to come from the store."""
        del held
        self._misses += 1

    def skipped(self, held: DiskObject, blocks: int) -> None:
        """Blocks came faster than they could be written."""
        del held
        self._skipped += blocks

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        """The blocks present of each version."""
        digests = [bytes.fromhex(version.digest()) for version in versions]
        try:
            found = await self._executor.attempt(
                partial(self._store.index.local_blocks, digests), "look up blocks"
            )
        except DiskStalledError:
            found = None
        return [set((found or {}).get(digest, ())) for digest in digests]

    def statistics(self) -> tuple[DiskStatistics, ...]:
        """A snapshot."""
        health, kept = self._executor.health, self._maintenance
        return (
            DiskStatistics(
                directory=self._directory,
                state=self._executor.state.value,
                reason=health.reason,
                capacity_bytes=self._store.capacity.limits.capacity_bytes,
                used_bytes=kept.used_bytes,
                free_bytes=kept.free_bytes,
                hits=self._hits,
                misses=self._misses,
                writes=self._writes,
                evictions=self._evictions,
                rejected=self._rejected,
                skipped=self._skipped,
                errors=health.errors,
                stalls=health.stalls,
                corrupt=self._corrupt,
                recompressed_bytes=kept.recompressed_bytes,
                threads_busy=self._executor.threads.inside,
                threads_waiting=self._executor.threads.waiting,
            ),
        )

    async def aclose(self) -> None:
        """Tell the index the last accesses and let the directory go."""
        with trio.move_on_after(_CLOSE_S):
            await self._executor.wait_idle()
            await self._maintenance.flush(final=True)
        # A thread that hangs inside keeps its connection until the process ends.
        if not self._executor.busy:
            try:
                self._store.close()
            except (OSError, sqlite3.Error) as error:
                log.info("cache directory %s: cannot close its index: %s", self._directory, error)

    async def _refresh(self, held: DiskObject) -> None:
        if not self.readable(held):
            return
        try:
            loaded = await self._executor.attempt(
                lambda: [self._store.index.load(held.digest)], "read the index"
            )
        except DiskStalledError:
            loaded = None
        self._loaded_at[held] = time.monotonic()
        if loaded and loaded[0] is not None:
            held.object_id = loaded[0].object_id
            held.records.update(loaded[0].records)
            held.accesses = {**loaded[0].accesses, **held.accesses}

    async def _read(self, held: DiskObject, blocks: Sequence[Block], lost: GiveBack) -> list[bool]:
        wanted: list[disk_files.BlockRead] = []
        for block in blocks:
            record = held.records.get(block.index)
            if record is not None and block.buffer is not None:
                wanted.append(
                    disk_files.BlockRead(block.index, record, block.length, block.buffer.view)
                )
        buffers = [block.buffer for block in blocks if block.buffer is not None]

        def late() -> None:
            for buffer in buffers:
                lost(buffer)

        files = object_files(self._store.directory.objects, held.digest)
        work = partial(disk_files.read_blocks, files, held.digest, wanted)
        try:
            found = await self._executor.attempt(work, f"read {held.version.key!r}", on_late=late)
        except DiskStalledError:
            for block in blocks:
                block.buffer = None
            found = None
        good = {w.index for w, sound in zip(wanted, found or [], strict=False) if sound}
        return [block.index in good for block in blocks]

    async def _moved(self, held: DiskObject, index: int) -> bool:
        """Find out why a block was not sound; True when it is to be had in another place now."""
        record = held.records.pop(index, None)
        if record is None or held.object_id is None:
            return False
        work = partial(self._store.verdict, held.object_id, held.digest, index, record)
        try:
            found = await self._executor.attempt(work, f"look up {held.version.key!r}")
        except DiskStalledError:
            return False
        if found is None:
            return False
        verdict, now = found
        if verdict is Verdict.WRONG:
            self._corrupt += 1
            log.warning(
                "cache directory %s: block %d of %r is missing or corrupt: fetched again",
                self._directory,
                index,
                held.version.key,
            )
        elif verdict is Verdict.GONE and now is not None:
            held.records[index] = now
            return True
        return False

    def _job(self, held: DiskObject, blocks: Sequence[Block]) -> WriteJob:
        numbers = {block.index // EXTENT_BLOCKS for block in blocks}
        accesses = {number: self._accesses.record(held, number) for number in numbers}
        return WriteJob(
            version=held.version,
            digest=held.digest,
            first=blocks[0].index,
            buffers=[block.buffer.view for block in blocks if block.buffer is not None],
            lengths=[block.length for block in blocks],
            accesses=accesses,
            newcomer=accesses[blocks[0].index // EXTENT_BLOCKS],
            pinned=held.placement.pinned,
            forced=any(block.forced for block in blocks),
            clock=self._accesses.clock,
        )

    def _note_write(self, held: DiskObject, count: int, result: WriteResult | None) -> None:
        if result is None or result.outcome is Outcome.SKIPPED:
            self._skipped += count
            return
        self._forget(result.evicted.extents)
        self._maintenance.used_bytes = result.used_bytes
        if result.outcome is Outcome.REJECTED:
            self._rejected += count
            return
        self._writes += count
        held.object_id = result.object_id
        held.records.update(result.records)

    def _note_recompressed(self, recompressed: Recompressed) -> None:
        held = (
            self._loaded.get(recompressed.extent.digest)
            if recompressed.extent is not None
            else None
        )
        if held is not None:
            held.records.update(recompressed.records)

    def _forget(self, extents: Iterable[ExtentRow]) -> None:
        """These extents are no longer on the disk."""
        for extent in extents:
            self._evictions += 1
            held = self._loaded.get(extent.digest)
            if held is not None:
                for index in held.extent_blocks(extent.number):
                    held.records.pop(index, None)
