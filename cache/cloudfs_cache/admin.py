"""Administrative operations of a mount's cache: warm up, usage, pin, evict, verify.

Owned by the trio loop. A warm-up uses the same tables and queues as readers do, behind them.
Everything that needs a tier raises DiskUnusableError when there is none that answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

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
from cloudfs_cache.fetch.planner import Planner
from cloudfs_cache.fetch.populate import Populator
from cloudfs_cache.fetch.scheduler import FetchScheduler
from cloudfs_cache.memory.block import Block, BlockState, CachedObject
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.memory.registry import ObjectRegistry
from cloudfs_cache.tiers.api import Tier, TierAdmin, WriteCounts
from cloudfs_cache.tiers.sharded import JoinedAdmin

_WARM_BLOCKS: Final = 32
_AGAIN_AFTER_S: Final = (0.1, 1.0)
"""How long to wait before blocks that are not in their tier are brought again. Perhaps they are
being changed there (another mount writes them, or they are evicted or recompressed): that takes as
long as a write, and no event tells when it is over."""


@dataclass(frozen=True, slots=True)
class CacheParts:
    """The parts of a TieredCache that its administration works with."""

    memory: MemoryCache
    tiers: Sequence[Tier]
    registry: ObjectRegistry
    planner: Planner
    scheduler: FetchScheduler
    populator: Populator


class CacheAdmin:
    """Administrative operations of one mount's cache. `hold` and `release` open and close an object
    without counting a reader."""

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
        report: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        """Put what is missing of a version into the tiers, when no reader wants anything.

        `report` is given the bytes of every few blocks that arrived. Returns when they are written
        or the medium has refused them, more than once unless it wants room or takes no writes.
        Raises what the store raised. May be cancelled: what has come stays.
        """
        cached = await self._hold(version, placement)
        try:
            for entry in cached.entries:
                await entry.recheck()
            missing = [i for i in range(version.block_count) if not cached.in_tier(i)]
            for at in range(0, len(missing), _WARM_BLOCKS):
                chunk = missing[at : at + _WARM_BLOCKS]
                await self._warm_blocks(cached, chunk)
                report(sum(map(version.block_length, chunk)))
        finally:
            self._release(cached)

    async def local_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """Return how much of each version a read would not fetch from the store, in bytes."""
        present = await self._tier_blocks(versions)
        for version, blocks in zip(versions, present, strict=True):
            cached = self._parts.registry.peek(version)
            if cached is not None:
                blocks.update(block.index for block in cached if block.complete)
        return _lengths(versions, present)

    async def disk_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """Return how much of each version the tiers hold, in bytes: it stays without memory."""
        return _lengths(versions, await self._tier_blocks(versions))

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is not pinned of these keys from all tiers; return bytes freed on disks.

        Blocks that are being read or written stay in memory.
        """
        for cached in self._parts.registry:
            if any(cached.version.key in keys for keys in ranges):
                for block in cached:
                    self._parts.memory.discard(block)
        return await self._tier_admin.evict(ranges)

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later, in this mount and others."""
        await self._tier_admin.pin(ranges)

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""
        await self._tier_admin.unpin(ranges)

    async def pins(self) -> list[KeyRange]:
        """Return what is pinned; nothing without a tier."""
        return await self._tier_admin.pins() if self._parts.tiers else []

    async def verify(self, report: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store in the tiers and drop the corrupt ones."""
        return await self._tier_admin.verify(report)

    async def disk_usage(self) -> list[DiskUsage]:
        """Return what each cache directory holds of which store."""
        return await self._tier_admin.usage() if self._parts.tiers else []

    @property
    def _tier_admin(self) -> TierAdmin:
        if not self._parts.tiers:
            fix = "mount it with a --max-cache-size above 0"
            raise DiskUnusableError(f"this mount has no disk cache: {fix}")
        return JoinedAdmin([tier.admin for tier in self._parts.tiers])

    async def _tier_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        present: list[set[int]] = [set() for _ in versions]
        for tier in self._parts.tiers:
            for blocks, found in zip(present, await tier.local_blocks(versions), strict=True):
                blocks.update(found)
        return present

    async def _warm_blocks(self, cached: CachedObject, indices: Sequence[int]) -> None:
        """Put blocks into the tiers; what none has taken is brought again a few times."""
        before = _write_counts(cached)
        await self._bring(cached, indices)
        for pause_s in _AGAIN_AFTER_S:
            if not _worth_another_try(cached, indices, before):
                return
            await trio.sleep(pause_s)
            (present,) = await self._tier_blocks([cached.version])
            left = _worth_another_try(cached, indices, before)
            await self._bring(cached, [index for index in left if index not in present])

    async def _bring(self, cached: CachedObject, indices: Sequence[int]) -> None:
        """Offer these blocks to the tiers, fetching those that memory has not; return when they are
        written or dropped."""
        parts = self._parts
        # First, because memory may need their buffers for what is fetched.
        queued = await self._write_out(cached, indices)
        absent = [i for i in indices if i not in cached and i not in queued]
        for run in parts.planner.plan_warmup(cached, absent):
            parts.scheduler.submit(run)
        found = [queued.get(i) or cached.get(i) for i in indices]
        blocks = [block for block in found if block is not None]
        parts.scheduler.pump()
        for block in blocks:
            await block.wait_full()
        await parts.populator.wait_written(blocks)

    async def _write_out(self, cached: CachedObject, indices: Sequence[int]) -> dict[int, Block]:
        """Queue those blocks that memory has and no task writes, and return them.

        They came for readers, when the medium took no writes or was too slow. Some may be evicted
        while it catches up: they are absent then.
        """
        queued: dict[int, Block] = {}
        if not cached.entries:
            return queued
        for index in indices:
            await self._parts.populator.wait_room()
            block = cached.get(index)
            if block is None:
                continue
            # Also one that is still on its way for a reader: room is made, whatever has to go.
            block.force()
            if block.state is BlockState.FULL and not block.pins and not cached.in_tier(index):
                self._parts.populator.add(block)
                queued[index] = block
        return queued


def _write_counts(cached: CachedObject) -> WriteCounts | None:
    """What the nearest tier of an object does with writes; None without one."""
    return cached.entries[0].write_counts() if cached.entries else None


def _worth_another_try(
    cached: CachedObject, indices: Sequence[int], before: WriteCounts | None
) -> list[int]:
    """Return which of these blocks no tier has, and one may yet take."""
    now = _write_counts(cached)
    if before is None or now is None or not now.accepting or now.rejected > before.rejected:
        return []
    left = [index for index in indices if not cached.in_tier(index)]
    if now.evictions > before.evictions or now.errors > before.errors:
        # Displaced since they were written, perhaps, or to be lost again: not worth another fetch.
        left = [index for index in left if index in cached]
    return left


def _lengths(versions: Sequence[ObjectVersion], present: Sequence[set[int]]) -> list[int]:
    """Return how many bytes of each version its blocks have."""
    return [
        sum(map(version.block_length, blocks))
        for version, blocks in zip(versions, present, strict=True)
    ]
