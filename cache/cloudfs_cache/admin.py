"""What people ask of the cache of a mount: warm up, look, pin, evict, verify.

Owned by the trio loop. It uses the same tables and queues as readers do, behind them. Everything
that needs a disk raises DiskUnusableError when there is none that answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from cloudfs_cache.api import (
    DEFAULT_PLACEMENT,
    CacheStatistics,
    DiskStatistics,
    DiskUnusableError,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Placement,
    VerifyProgress,
    VerifyReport,
)
from cloudfs_cache.disk.format.records import DiskObject
from cloudfs_cache.fetch.planner import Planner
from cloudfs_cache.fetch.populate import Populator
from cloudfs_cache.fetch.scheduler import FetchScheduler
from cloudfs_cache.memory.block import Block, CachedObject
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.memory.registry import ObjectRegistry
from cloudfs_cache.tiers.api import Tier, TierAdmin

_WARM_BLOCKS: Final = 32
_AGAIN_AFTER_S: Final = (0.1, 1.0)
"""How long to wait before blocks that are not on the disk are brought again. Perhaps somebody else
is at them (another mount writes them, or they are evicted or recompressed): that takes as long as a
write, and nobody tells when it is over."""


@dataclass(frozen=True, slots=True)
class CacheParts:
    """The parts of a TieredCache that admin works with."""

    memory: MemoryCache
    disk: Tier | None
    registry: ObjectRegistry
    planner: Planner
    scheduler: FetchScheduler
    populate: Populator | None


class CacheAdmin:
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
        the disk has refused them, more than once unless it wants room or takes no writes. Raises
        what the store raised. May be cancelled: what has come stays.
        """
        cached = await self._hold(version, placement)
        try:
            await self._look_again(cached)
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
    def _disks(self) -> TierAdmin:
        if self._parts.disk is None:
            fix = "mount it with a --max-cache-size above 0"
            raise DiskUnusableError(f"this mount has no disk cache: {fix}")
        return self._parts.disk.admin

    async def _look_again(self, cached: CachedObject) -> None:
        """Learn what the disk has: other mounts write and evict, and what this one knows may be of
        a time when the disk did not answer."""
        held, disk = cached.disk, self._parts.disk
        if held is None or disk is None:
            return
        await disk.refresh(held)
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
        """Put blocks on the disk; what it has not taken is brought again, a few times."""
        disk, held = self._parts.disk, cached.disk
        if disk is None or held is None:
            await self._bring(cached, indices)
            return
        before = _statistics(disk, held)
        await self._bring(cached, indices)
        for pause_s in _AGAIN_AFTER_S:
            if not _worth_another_try(cached, indices, before, _statistics(disk, held)):
                return
            await trio.sleep(pause_s)
            (present,) = await disk.local_blocks([cached.version])
            left = _worth_another_try(cached, indices, before, _statistics(disk, held))
            await self._bring(cached, [index for index in left if index not in present])

    async def _bring(self, cached: CachedObject, indices: Sequence[int]) -> None:
        """Give these blocks to the disk, fetching those that memory has not; return when they are
        written or let go."""
        parts = self._parts
        # First, because memory may need their buffers for what is fetched.
        queued = await self._write_out(cached, indices)
        absent = [i for i in indices if i not in cached.blocks and i not in queued]
        for run in parts.planner.plan_warmup(cached, absent):
            parts.scheduler.submit(run)
        blocks = [queued[i] if i in queued else cached.blocks[i] for i in indices]
        parts.scheduler.pump()
        for block in blocks:
            await block.wait_settled()
        if parts.populate is not None:
            await parts.populate.wait_written(blocks)

    async def _write_out(self, cached: CachedObject, indices: Sequence[int]) -> dict[int, Block]:
        """Queue those blocks that memory has and nobody writes, and return them.

        They came for readers, when the disk took no writes or was too slow. Some may be evicted
        while the disk catches up: they are absent then.
        """
        queued: dict[int, Block] = {}
        populate = self._parts.populate
        if populate is None:
            return queued
        for index in indices:
            await populate.wait_room()
            block = cached.blocks.get(index)
            if block is None:
                continue
            # Also one that is still on its way for a reader: room is made, whatever has to go.
            block.forced = True
            if _is_unwritten(block):
                populate.add(block)
                queued[index] = block
        return queued


def _statistics(disk: Tier, held: DiskObject) -> DiskStatistics:
    """How the disk of an object does."""
    return disk.statistics()[held.disk]


def _worth_another_try(
    cached: CachedObject, indices: Sequence[int], before: DiskStatistics, now: DiskStatistics
) -> list[int]:
    """Return which of these blocks the disk has not, and may yet take."""
    if now.state != "ok" or now.rejected > before.rejected:
        return []
    left = [index for index in indices if not cached.on_disk(index)]
    if now.evictions > before.evictions or now.errors > before.errors:
        # Displaced since they were written, perhaps, or to be lost again: not worth another fetch.
        left = [index for index in left if index in cached.blocks]
    return left


def _is_unwritten(block: Block) -> bool:
    """Memory has all of a block, the disk has not, and it is not being written."""
    settled = block.full and block.run is None and block.buffer is not None
    return settled and not block.pins and not block.owner.on_disk(block.index)


def _lengths(versions: Sequence[ObjectVersion], present: Sequence[set[int]]) -> list[int]:
    """Return how many bytes of each version its blocks have."""
    return [
        sum(map(version.block_length, blocks))
        for version, blocks in zip(versions, present, strict=True)
    ]
