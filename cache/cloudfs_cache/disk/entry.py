"""Reads and writes of one object version on one disk: the disk tier's entry.

Owned by the trio loop; the disk itself is touched only by worker threads. An error of the disk
never reaches a reader: the block is absent. The record of a block may be out of date, because other
mounts change the directory: what does not match its checksums is looked up in the index again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cloudfs_cache.api import DiskStalledError, ObjectVersion, Origin
from cloudfs_cache.disk.access_log import AccessLog
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, object_files
from cloudfs_cache.disk.index.rows import ExtentRow
from cloudfs_cache.disk.io import files as disk_files
from cloudfs_cache.disk.io.executor import DiskExecutor
from cloudfs_cache.disk.object import DiskObject
from cloudfs_cache.disk.store import DiskStore, Outcome, Verdict, WriteJob, WriteResult
from cloudfs_cache.tiers.api import BlockMemory, Presence, ReadResult, WriteCounts

log = logging.getLogger(__name__)

_REFRESH_AFTER_S: Final = 5.0


@dataclass(slots=True)
class DiskCounters:
    """What became of reads and writes of one cache directory since the start, and its size now."""

    hits: int = 0
    misses: int = 0
    writes: int = 0
    evictions: int = 0
    rejected: int = 0
    skipped: int = 0
    corrupt: int = 0
    used_bytes: int = 0
    free_bytes: int = 0
    recompressed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DiskParts:
    """What the entries of one cache directory share. `on_evicted` is given extents that went."""

    store: DiskStore
    executor: DiskExecutor
    accesses: AccessLog
    counters: DiskCounters
    on_evicted: Callable[[Iterable[ExtentRow]], None]


class DiskEntry:
    """One object version on one disk."""

    __slots__ = ("__weakref__", "_object", "_parts", "_refreshed_at")

    origin: Final = Origin.DISK

    def __init__(self, parts: DiskParts, found: DiskObject) -> None:
        self._parts = parts
        self._object = found
        self._refreshed_at = 0.0

    @property
    def version(self) -> ObjectVersion:
        """The object version."""
        return self._object.version

    @property
    def object(self) -> DiskObject:
        """The records of the blocks, for the tier that changes them."""
        return self._object

    @property
    def readable(self) -> bool:
        """Whether a read is worth a try now."""
        return self._parts.executor.health.readable

    @property
    def writable(self) -> bool:
        """Whether a write is worth a try now."""
        return self._parts.executor.health.writable

    @property
    def empty(self) -> bool:
        """Whether no block of it is known to be on the disk."""
        return not self._object.records

    def has(self, index: int) -> Presence:
        """Tell whether the disk holds a block, as far as this mount knows."""
        return Presence.PRESENT if index in self._object.records else Presence.ABSENT

    async def load(self) -> None:
        """Read the index: what is on the disk of this version."""
        if not self.readable:
            return
        try:
            loaded = await self._parts.executor.attempt(
                lambda: [self._parts.store.index.load(self._object.digest)], "read the index"
            )
        except DiskStalledError:
            loaded = None
        self._refreshed_at = time.monotonic()
        if loaded and loaded[0] is not None:
            self._object.object_id = loaded[0].object_id
            self._object.records.update(loaded[0].records)
            self._object.accesses = {**loaded[0].accesses, **self._object.accesses}

    async def refresh(self) -> None:
        """Learn what other mounts have added, if the last look was some seconds ago."""
        age_s = time.monotonic() - self._refreshed_at
        if age_s > _REFRESH_AFTER_S and len(self._object.records) < self.version.block_count:
            await self.load()

    async def recheck(self) -> None:
        """Learn what is on the disk now, evictions by other mounts included."""
        await self.refresh()
        known = set(self._object.records)
        digest = self._object.digest
        work = partial(self._parts.store.index.local_blocks, [digest])
        try:
            found = await self._parts.executor.attempt(work, "look up blocks")
        except DiskStalledError:
            return
        if found is not None:
            for index in known - set(found.get(digest, ())):
                self._object.records.pop(index, None)

    async def read(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[int], None]
    ) -> list[ReadResult]:
        """Read blocks into their memory; return what became of each."""
        results = await self._read(blocks, on_released)
        for at, block in enumerate(blocks):
            is_absent = results[at] is ReadResult.ABSENT
            if is_absent and self.readable and await self._is_elsewhere(block.index):
                (results[at],) = await self._read([block], on_released)
        self._parts.counters.hits += results.count(ReadResult.SOUND)
        return results

    async def read_range(self, index: int, start: int, stop: int) -> bytes | None:
        """Return bytes of a block that is stored raw, reading only their checksum chunks."""
        record = self._object.records.get(index)
        if record is None or record.codec is not Codec.RAW or not self.readable:
            return None
        files = object_files(self._parts.store.directory.objects, self._object.digest)
        block = disk_files.StoredBlock(files, self._object.digest, index, record)
        work = partial(disk_files.read_range, block, start, stop)
        try:
            data = await self._parts.executor.attempt(work, f"read {self.version.key!r}")
        except DiskStalledError:
            return None
        self._parts.counters.hits += bool(data)
        # Wrong bytes are looked into when the whole block is read, which is what happens next.
        return data or None

    async def write(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[], None], *, forced: bool
    ) -> None:
        """Write adjacent full blocks, evicting others when space is short."""
        if not self.writable:
            self.skipped(len(blocks))
            on_released()
            return
        executor = self._parts.executor
        work = partial(self._parts.store.write, self._job(blocks, forced=forced))
        verb, limit_s = f"write {self.version.key!r}", executor.timeouts.write_s
        try:
            result = await executor.attempt(work, verb, limit_s=limit_s, on_late=on_released)
        except DiskStalledError:
            self.skipped(len(blocks))
            return
        on_released()
        self._note_write(len(blocks), result)

    def write_counts(self) -> WriteCounts:
        """Return what the disk does with writes."""
        counters, health = self._parts.counters, self._parts.executor.health
        return WriteCounts(
            accepting=health.writable,
            rejected=counters.rejected,
            evictions=counters.evictions,
            errors=health.errors,
        )

    def opened(self) -> None:
        """Note that a reader opened the object: the kernel may have all of a small file, which is
        then opened and never read."""
        if self.version.block_count <= EXTENT_BLOCKS:
            self.accessed(0, 0, resident=0 in self._object.records)

    def accessed(self, index: int, size_bytes: int, *, resident: bool) -> None:
        """Note that a reader was given bytes of a block."""
        self._parts.accesses.note(self._object, index, size_bytes, resident=resident)

    def missed(self) -> None:
        """Count a block that had to come from further down."""
        self._parts.counters.misses += 1

    def skipped(self, blocks: int) -> None:
        """Count blocks that came faster than they could be written."""
        self._parts.counters.skipped += blocks

    async def _read(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[int], None]
    ) -> list[ReadResult]:
        known = self._object
        reads = [
            disk_files.BlockRead(block.index, record, block.length, block.view)
            for block in blocks
            if (record := known.records.get(block.index)) is not None
        ]

        def late() -> None:
            for block in blocks:
                on_released(block.index)

        files = object_files(self._parts.store.directory.objects, known.digest)
        work = partial(disk_files.read_blocks, files, known.digest, reads)
        try:
            found = await self._parts.executor.attempt(
                work, f"read {self.version.key!r}", on_late=late
            )
        except DiskStalledError:
            return [ReadResult.STALLED] * len(blocks)
        sound = {read.index for read, is_sound in zip(reads, found or [], strict=False) if is_sound}
        return [ReadResult.SOUND if block.index in sound else ReadResult.ABSENT for block in blocks]

    async def _is_elsewhere(self, index: int) -> bool:
        """Find out why a block was not sound; True when the index has it in another place now."""
        known = self._object
        record = known.records.pop(index, None)
        if record is None or known.object_id is None:
            return False
        work = partial(self._parts.store.verdict, known.object_id, known.digest, index, record)
        try:
            found = await self._parts.executor.attempt(work, f"look up {self.version.key!r}")
        except DiskStalledError:
            return False
        if found is None:
            return False
        verdict, now = found
        if verdict is Verdict.WRONG:
            self._parts.counters.corrupt += 1
            log.warning(
                "cache directory %s: block %d of %r is missing or corrupt: fetched again",
                self._parts.store.directory.path,
                index,
                self.version.key,
            )
        elif verdict is Verdict.GONE and now is not None:
            known.records[index] = now
            return True
        return False

    def _job(self, blocks: Sequence[BlockMemory], *, forced: bool) -> WriteJob:
        known, log_ = self._object, self._parts.accesses
        numbers = {block.index // EXTENT_BLOCKS for block in blocks}
        accesses = {number: log_.record(known, number) for number in numbers}
        return WriteJob(
            version=known.version,
            digest=known.digest,
            first=blocks[0].index,
            buffers=[block.view for block in blocks],
            lengths=[block.length for block in blocks],
            accesses=accesses,
            newcomer=accesses[blocks[0].index // EXTENT_BLOCKS],
            pinned=known.placement.pinned,
            forced=forced,
            clock=log_.clock,
        )

    def _note_write(self, count: int, result: WriteResult | None) -> None:
        if result is not None:
            self._parts.on_evicted(result.evicted.extents)
        if result is None or result.outcome is Outcome.SKIPPED:
            self.skipped(count)
            return
        counters = self._parts.counters
        counters.used_bytes = result.used_bytes
        if result.outcome is Outcome.REJECTED:
            counters.rejected += count
            return
        counters.writes += count
        self._object.object_id = result.object_id
        self._object.records.update(result.records)
