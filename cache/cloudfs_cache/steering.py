"""What people ask of the cache of a mount: warm up, look, pin, evict, verify.

Owned by the trio loop. It uses the same tables and queues as readers do, behind them. Everything
that needs a disk raises DiskUnusableError when there is none that answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cloudfs_cache.api import (
    DEFAULT_PLACEMENT,
    CacheStatistics,
    DiskUnusableError,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Placement,
    VerifyProgress,
    VerifyReport,
)
from cloudfs_cache.blocks import CachedObject
from cloudfs_cache.memory import MemoryTier
from cloudfs_cache.objects import ObjectRegistry
from cloudfs_cache.planner import Planner
from cloudfs_cache.scheduler import FetchScheduler
from cloudfs_cache.tier import BlockTier, TierSteering
from cloudfs_cache.writeback import WriteBack

_WARM_BLOCKS: Final = 32


@dataclass(frozen=True, slots=True)
class CacheParts:
    """The parts of a TieredCache that steering works with."""

    memory: MemoryTier
    disk: BlockTier | None
    registry: ObjectRegistry
    planner: Planner
    scheduler: FetchScheduler
    writeback: WriteBack | None


class CacheSteering:
    """Commands for the tiers of one mount."""

    def __init__(
        self,
        parts: CacheParts,
        hold: Callable[[ObjectVersion, Placement], Awaitable[CachedObject]],
        release: Callable[[CachedObject], None],
        statistics: Callable[[], CacheStatistics],
    ) -> None:
        self.statistics = statistics
        self._parts = parts
        self._hold = hold
        self._release = release

    async def warm(
        self,
        version: ObjectVersion,
        placement: Placement = DEFAULT_PLACEMENT,
        note: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        """Put what is missing of a version on the disk, when no reader wants anything.

        `note` is told the bytes of every few blocks that arrived. Returns when they are written or
        were refused by the disk. Raises what the store raised. May be cancelled: what has come
        stays.
        """
        cached = await self._hold(version, placement)
        try:
            await self._forget_evicted(cached)
            missing = [i for i in range(version.block_count) if not cached.on_disk(i)]
            for at in range(0, len(missing), _WARM_BLOCKS):
                chunk = missing[at : at + _WARM_BLOCKS]
                await self._warm_blocks(cached, chunk)
                note(sum(map(version.block_length, chunk)))
        finally:
            self._release(cached)

    async def local_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """How much of each version a read would not fetch from the store, in bytes."""
        present = await self._disk_blocks(versions)
        for version, blocks in zip(versions, present, strict=True):
            cached = self._parts.registry.peek(version)
            if cached is not None:
                blocks.update(i for i, block in cached.blocks.items() if block.full)
        return _lengths(versions, present)

    async def disk_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """How much of each version the disks hold, in bytes: what stays when memory is needed."""
        return _lengths(versions, await self._disk_blocks(versions))

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is not pinned of these keys from all tiers; returns bytes freed on disks.

        Blocks that are being read or written stay in memory.
        """
        for cached in self._parts.registry:
            if any(cached.version.key in keys for keys in ranges):
                for block in list(cached.blocks.values()):
                    self._parts.memory.discard(block)
        return await self._disks.evict(ranges)

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later, in this mount and others."""
        await self._disks.pin(ranges)

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""
        await self._disks.unpin(ranges)

    async def pins(self) -> list[KeyRange]:
        """What is pinned; nothing without a disk."""
        return [] if self._parts.disk is None else await self._disks.pins()

    async def verify(self, note: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store on the disks and drop the wrong ones."""
        return await self._disks.verify(note)

    async def disk_usage(self) -> list[DiskUsage]:
        """What each cache directory holds of which store."""
        return [] if self._parts.disk is None else await self._disks.usage()

    @property
    def _disks(self) -> TierSteering:
        if self._parts.disk is None:
            fix = "mount it with a --max-cache-size above 0"
            raise DiskUnusableError(f"this mount has no disk cache: {fix}")
        return self._parts.disk.steering

    async def _forget_evicted(self, cached: CachedObject) -> None:
        """Another mount may have evicted what this one believes to be on the disk."""
        held, disk = cached.disk, self._parts.disk
        if held is None or disk is None:
            return
        known = set(held.records)
        (present,) = await disk.local_blocks([cached.version])
        if disk.readable(held):
            for index in known - present:
                held.records.pop(index, None)

    async def _disk_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        if self._parts.disk is None:
            return [set() for _ in versions]
        return await self._parts.disk.local_blocks(versions)

    async def _warm_blocks(self, cached: CachedObject, indices: Sequence[int]) -> None:
        parts = self._parts
        absent = [index for index in indices if index not in cached.blocks]
        for run in parts.planner.plan_for_disk(cached, absent):
            parts.scheduler.submit(run)
        blocks = [cached.blocks[index] for index in indices]
        parts.scheduler.pump()
        for block in blocks:
            await block.wait_settled()
        if parts.writeback is None:
            return
        for block in blocks:
            # In memory for readers already, and perhaps never written: the disk was too slow then.
            kept = block.full and block.buffer is not None
            if kept and not block.pins and not cached.on_disk(block.index):
                parts.writeback.add(block)
        await parts.writeback.wait_written(blocks)


def _lengths(versions: Sequence[ObjectVersion], present: Sequence[set[int]]) -> list[int]:
    """Return how many bytes of each version its blocks have."""
    return [
        sum(map(version.block_length, blocks))
        for version, blocks in zip(versions, present, strict=True)
    ]
