"""The block cache of one mount: memory over a chain of tiers over the store.

Owned by the trio loop. Each block is fetched once, however many readers want it. What a read needs
and what to fetch ahead of it come in one call, `read_nowait`, so the order that keeps its views
valid is in here: planning and pumping may hand evictable buffers to other blocks: they come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeGuard

import trio

from cloudfs_cache.admin import CacheAdmin, CacheParts
from cloudfs_cache.api import (
    BLOCK_BYTES,
    DEFAULT_PLACEMENT,
    NO_BYTES,
    BlockSpan,
    Buffer,
    CacheClosedError,
    CacheStatistics,
    FetchRange,
    ObjectVersion,
    Origin,
    Placement,
    PrefetchStatistics,
    SourceStatistics,
    WaitsFor,
)
from cloudfs_cache.fetch.fetcher import Fetcher
from cloudfs_cache.fetch.planner import Planner
from cloudfs_cache.fetch.populate import Populator
from cloudfs_cache.fetch.scheduler import FetchScheduler
from cloudfs_cache.memory.block import Block, CachedObject, Run
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.memory.registry import ObjectRegistry
from cloudfs_cache.tiers.api import Tier

RANGE_READ_BYTES_MAX: Final = 128 << 10
"""A random read up to this size is answered from a tier without reading the whole block."""

_TIER_SLOTS: Final = 6


class TieredCache:
    """The cache of one mount; `tiers` are nearest first. `serve` must be running for anything to be
    fetched."""

    def __init__(
        self,
        fetch: FetchRange,
        memory: MemoryCache,
        tiers: Sequence[Tier],
        *,
        max_downloads: int,
    ) -> None:
        self._memory = memory
        self._tiers = tuple(tiers)
        self._registry = ObjectRegistry()
        self._opening: dict[ObjectVersion, trio.Event] = {}
        self._nursery: trio.Nursery | None = None
        self._scheduler = FetchScheduler(
            memory,
            dict.fromkeys((tier.origin for tier in tiers), _TIER_SLOTS)
            | {Origin.STORE: max_downloads},
            may_prefetch=self._may_prefetch,
            start=self._start,
        )
        pump = self._scheduler.pump
        self._planner = Planner(memory.capacity_blocks)
        self._populator = Populator(memory, pump)
        self._fetcher = Fetcher(fetch, memory, self._populator, pump)
        parts = CacheParts(
            memory, self._tiers, self._registry, self._planner, self._scheduler, self._populator
        )
        self.admin = CacheAdmin(parts, self._open, self.release, self.statistics)
        self._draining = False
        self._run_ended = trio.Event()
        self._hits = self._misses = 0
        self._used_ahead_bytes = 0
        self._memory_bytes = 0
        self._origin_bytes = dict.fromkeys(Origin, 0)

    @property
    def memory_blocks(self) -> int:
        """Size of the memory budget, in blocks."""
        return self._memory.capacity_blocks

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run fetches and tier writes until cancelled; then fail what is still waited for."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for tier in self._tiers:
                    await nursery.start(tier.serve)
                nursery.start_soon(self._populator.serve)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def open(
        self, version: ObjectVersion, placement: Placement = DEFAULT_PLACEMENT
    ) -> CachedObject:
        """Return the block table of a version for a reader. Pair it with `release`."""
        cached = await self._open(version, placement)
        try:
            for entry in cached.entries:
                await entry.refresh()
                entry.opened()
        except BaseException:
            self.release(cached)
            raise
        return cached

    def release(self, cached: CachedObject) -> None:
        """Undo one `open`. What was fetched ahead for the last reader may go first."""
        cached.opens -= 1
        if cached.opens == 0:
            self._scheduler.withdraw(cached)
            for block in cached:
                self._memory.demote(block)
            self._scheduler.pump()

    def read_nowait(
        self,
        cached: CachedObject,
        offset: int,
        size: int,
        ahead: range = NO_BYTES,
        run_bytes: int = BLOCK_BYTES,
    ) -> Buffer | None:
        """Return the bytes [offset, offset + size) if memory has them all, else None.

        What is missing of them is on its way then, and what is missing of the bytes `ahead` in any
        case, in store requests of about `run_bytes`. Never blocks. The result may be a view that
        holds only until the next checkpoint. The range must lie within the object and not be empty.
        """
        span = BlockSpan.of(offset, size)
        if ahead:
            self._plan(cached, span.indices, _blocks_of(ahead), run_bytes)
            return self._from_memory(cached, span)
        if self._scheduler.queued:
            # What was read since the last pump may have made room.
            self._scheduler.pump()
        data = self._from_memory(cached, span)
        if data is None and not _suits_range_read(cached, span, size):
            self._plan(cached, span.indices, NO_BYTES, run_bytes)
        return data

    async def read(self, cached: CachedObject, offset: int, size: int) -> Buffer:
        """Return the bytes [offset, offset + size), waiting for what is still on its way.

        Raises what the store raised when a block cannot be had. The result may be a view that
        holds only until the next checkpoint.
        """
        span = BlockSpan.of(offset, size)
        if _suits_range_read(cached, span, size):
            data = await self._read_range(cached, span)
            if data is not None:
                return data
        for index in range(span.first, span.last):
            await self._ready_block(cached, index, BLOCK_BYTES)
        block = await self._ready_block(cached, span.last, span.stop)
        if span.first == span.last:
            return self._deliver(block, span.start, span.stop)
        joined = self._from_memory(cached, span)
        return joined if joined is not None else await self._read_piecewise(cached, offset, size)

    def waits_for(self, cached: CachedObject, offset: int, size: int) -> WaitsFor:
        """Tell what a reader of these bytes waits for, by the first block that is not there."""
        span = BlockSpan.of(offset, size)
        for index in span.indices:
            block = cached.get(index)
            if block is None:
                source = cached.source_of(index)
                return WaitsFor.OTHER if source is None else WaitsFor(source.origin.value)
            if block.ready < (span.stop if index == span.last else BLOCK_BYTES):
                return self._scheduler.waits_for(block)
        return WaitsFor.OTHER

    async def drain(self) -> None:
        """Return once the tiers have everything that is being fetched. For an orderly end.

        Nothing is fetched ahead any more from now on.
        """
        self._draining = True
        while self._scheduler.active:
            self._run_ended = trio.Event()
            await self._run_ended.wait()
        await self._populator.wait_drained()

    async def aclose(self) -> None:
        """Close the tiers. `serve` must have ended."""
        for tier in self._tiers:
            await tier.aclose()

    def statistics(self) -> CacheStatistics:
        """Return a snapshot."""
        return CacheStatistics(
            memory=self._memory.statistics(hits=self._hits, misses=self._misses),
            disks=tuple(record for tier in self._tiers for record in tier.statistics()),
            prefetch=PrefetchStatistics(
                issued_bytes=self._planner.issued_ahead_bytes,
                used_bytes=self._used_ahead_bytes,
                wasted_bytes=self._memory.wasted_bytes,
                queued=self._scheduler.queued,
            ),
            sources=SourceStatistics(
                memory_bytes=self._memory_bytes,
                disk_bytes=self._origin_bytes[Origin.DISK],
                store_bytes=self._origin_bytes[Origin.STORE],
            ),
            populate=self._populator.statistics(),
        )

    async def _open(self, version: ObjectVersion, placement: Placement) -> CachedObject:
        while (cached := self._registry.get(version)) is None:
            loading = self._opening.get(version)
            if loading is not None:
                await loading.wait()
            else:
                await self._load(version, placement)
        cached.opens += 1
        return cached

    async def _load(self, version: ObjectVersion, placement: Placement) -> None:
        loaded = self._opening[version] = trio.Event()
        try:
            tiers = self._tiers if placement.keep_on_disk else ()
            entries = tuple([await tier.open(version, placement) for tier in tiers])
            self._registry.add(CachedObject(version, entries, placement.fetch_blocks))
        finally:
            del self._opening[version]
            loaded.set()

    def _plan(self, cached: CachedObject, demand: range, ahead: range, run_bytes: int) -> None:
        """Plan what is missing of both ranges of block indices, demand first, and start it."""
        for index in demand:
            block = cached.get(index)
            if block is not None:
                self._scheduler.promote(block)
        run_blocks = max(1, run_bytes // BLOCK_BYTES)
        runs, misses = self._planner.plan(cached, demand, ahead, run_blocks)
        self._misses += misses
        for run in runs:
            self._scheduler.submit(run)
        self._scheduler.pump()

    def _from_memory(self, cached: CachedObject, span: BlockSpan) -> Buffer | None:
        """Return the bytes if memory has them all, as a view where one can span them."""
        if span.first == span.last:
            block = cached.get(span.first)
            if block is None or block.ready < span.stop:
                return None
            return self._deliver(block, span.start, span.stop)
        blocks = [cached.get(index) for index in span.indices]
        if not _all_ready(blocks, span.stop):
            return None
        views = [self._deliver(blocks[0], span.start, BLOCK_BYTES)]
        views += [self._deliver(block, 0, BLOCK_BYTES) for block in blocks[1:-1]]
        views.append(self._deliver(blocks[-1], 0, span.stop))
        head, tail = blocks[0].buffer, blocks[-1].buffer
        assert head is not None
        assert tail is not None
        if len(blocks) == 2 and head.precedes(tail):
            return head.arena[head.offset + span.start : tail.offset + span.stop]
        return b"".join(views)

    async def _read_range(self, cached: CachedObject, span: BlockSpan) -> Buffer | None:
        """Return bytes of one block from a tier, without reading the rest of it, or None."""
        source = cached.source_of(span.first)
        if source is None:
            return None
        data = await source.read_range(span.first, span.start, span.stop)
        if data is not None:
            self._origin_bytes[source.origin] += len(data)
            source.accessed(span.first, len(data), resident=True)
        return data

    async def _ready_block(self, cached: CachedObject, index: int, needed: int) -> Block:
        """Return the block once `needed` bytes are valid, asking again if it was evicted."""
        while True:
            block = cached.get(index)
            if block is None or not block.demanded:
                self._plan(cached, range(index, index + 1), NO_BYTES, BLOCK_BYTES)
                block = cached.get(index)
                if block is None:  # it could not be started, and failed at once
                    raise CacheClosedError("the mount is shutting down")
            await block.wait_ready(needed)
            if block.buffer is not None:
                return block

    async def _read_piecewise(self, cached: CachedObject, offset: int, size: int) -> Buffer:
        """Copy block by block, when memory is too scarce for them to be there at once.

        Holding the first block back while waiting for the next could leave all readers waiting for
        buffers that other readers hold.
        """
        joined = bytearray()
        while len(joined) < size:
            index, start = divmod(offset + len(joined), BLOCK_BYTES)
            stop = min(BLOCK_BYTES, start + size - len(joined))
            block = await self._ready_block(cached, index, stop)
            joined += self._deliver(block, start, stop)
        return joined

    def _deliver(self, block: Block, start: int, stop: int) -> memoryview:
        """Return a view of a reader's bytes, and account for them."""
        if block.delivered:
            self._hits += 1
        if block.ahead:
            self._used_ahead_bytes += block.length
        fresh = block.deliver(start, stop)
        self._memory_bytes += stop - start - fresh
        if fresh:
            # What a warm-up fetched was there when the reader came: no request was made for it.
            if block.forced and not block.demanded:
                self._memory_bytes += fresh
            else:
                self._origin_bytes[block.origin] += fresh
            for entry in block.tiers_above_source():
                entry.accessed(block.index, fresh, resident=False)
            if block.source is not None:
                block.source.accessed(block.index, fresh, resident=True)
        view = block.view(start, stop)
        self._memory.requeue(block)
        return view

    def _may_prefetch(self) -> bool:
        return self._populator.may_prefetch and not self._draining

    def _start(self, run: Run) -> None:
        if self._nursery is None:
            self._fetcher.fail(run.blocks, CacheClosedError("the mount is shutting down"))
            self._scheduler.finished(run)
            return
        self._nursery.start_soon(self._execute, run)

    async def _execute(self, run: Run) -> None:
        try:
            for rest in await self._fetcher.fill(run):
                self._scheduler.submit(rest)
        finally:
            self._scheduler.finished(run)
            self._scheduler.pump()
            self._run_ended.set()


def _blocks_of(window: range) -> range:
    """The indices of the blocks that a range of bytes touches."""
    return range(window.start // BLOCK_BYTES, -(-window.stop // BLOCK_BYTES))


def _suits_range_read(cached: CachedObject, span: BlockSpan, size: int) -> bool:
    """Whether it is a small read of one block that only a tier below memory has."""
    return (
        size <= RANGE_READ_BYTES_MAX
        and span.first == span.last
        and span.first not in cached
        and cached.in_tier(span.first)
    )


def _all_ready(blocks: Sequence[Block | None], stop: int) -> TypeGuard[Sequence[Block]]:
    """All blocks are in memory up to their end, the last one up to byte `stop`."""
    *whole, last = blocks
    return (
        last is not None
        and last.ready >= stop
        and all(block is not None and block.complete for block in whole)
    )
