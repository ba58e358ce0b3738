"""Memory over local disks over the store: reads any bytes, fetches each block once.

Owned by the trio loop. `read_nowait` answers from memory without a checkpoint; `request` plans what
is missing and says nothing about when; `read` waits. Which blocks to fetch ahead is the caller's
policy; where they come from and in which order is decided below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeGuard

import trio

from cloudfs_cache.admin import CacheAdmin, CacheParts
from cloudfs_cache.api import (
    BLOCK_BYTES,
    DEFAULT_PLACEMENT,
    Buffer,
    CacheClosedError,
    CacheStatistics,
    FetchRange,
    ObjectVersion,
    Origin,
    Placement,
    PopulateStatistics,
    PrefetchStatistics,
    SourceStatistics,
    WaitsFor,
)
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS
from cloudfs_cache.fetch.fetcher import Fetcher
from cloudfs_cache.fetch.planner import Planner
from cloudfs_cache.fetch.populate import WRITERS, Populator
from cloudfs_cache.fetch.scheduler import FetchScheduler
from cloudfs_cache.memory.block import Block, CachedObject, Run
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.memory.registry import ObjectRegistry
from cloudfs_cache.tiers.api import Tier

RANGE_READ_BYTES_MAX: Final = 128 << 10
"""A random read up to this size is answered from the disk without reading the whole block."""

_DISK_SLOTS: Final = 6


class TieredCache:
    """The tiers of one mount. `serve` must be running for anything to be fetched."""

    def __init__(
        self,
        fetch: FetchRange,
        memory: MemoryCache,
        disk: Tier | None,
        *,
        max_downloads: int,
    ) -> None:
        self._memory = memory
        self._disk = disk
        self._populate = Populator(memory, disk) if disk is not None else None
        self._registry = ObjectRegistry()
        self._opening: dict[ObjectVersion, trio.Event] = {}
        self._nursery: trio.Nursery | None = None
        self._scheduler = FetchScheduler(
            memory,
            store_slots=max_downloads,
            disk_slots=_DISK_SLOTS,
            may_prefetch=self._may_prefetch,
            start=self._start,
        )
        self._planner = Planner(disk, memory.capacity_blocks)
        self._fetcher = Fetcher(fetch, memory, disk, self._populate, self._scheduler)
        parts = CacheParts(
            memory, disk, self._registry, self._planner, self._scheduler, self._populate
        )
        self.admin = CacheAdmin(parts, self._open, self.release, self.statistics)
        self._draining = False
        self._run_ended = trio.Event()
        self._used_ahead = 0
        self._delivered = {"memory": 0, Origin.DISK: 0, Origin.STORE: 0}

    @property
    def memory_blocks(self) -> int:
        """Size of the memory budget, in blocks."""
        return self._memory.capacity_blocks

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run fetches and disk writes until cancelled; then fail what is still waited for."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self._disk is not None:
                    await nursery.start(self._disk.serve)
                if self._populate is not None:
                    for _ in range(WRITERS):
                        nursery.start_soon(self._populate.write_forever, self._scheduler.pump)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def open(
        self, version: ObjectVersion, placement: Placement = DEFAULT_PLACEMENT
    ) -> CachedObject:
        """Return the block table of a version for a reader. Pair it with `release`."""
        cached = await self._open(version, placement)
        if self._disk is not None and cached.disk is not None:
            try:
                await self._disk.refresh(cached.disk)
            except BaseException:
                self.release(cached)
                raise
            if version.block_count <= EXTENT_BLOCKS:
                # The kernel may have all of a small file: then it is opened and never read.
                resident = 0 in cached.disk.records
                self._disk.accessed(cached.disk, 0, 0, resident=resident)
        return cached

    def release(self, cached: CachedObject) -> None:
        """Undo one `open`. What was fetched ahead for the last reader may go first."""
        cached.opens -= 1
        if cached.opens == 0:
            self._scheduler.withdraw(cached)
            for block in cached.blocks.values():
                self._memory.spend(block)
            self._scheduler.pump()

    def read_nowait(self, cached: CachedObject, offset: int, size: int) -> Buffer | None:
        """Return the bytes if memory has them all, else None. Never blocks, never fetches.

        The result may be a view that holds only until the next checkpoint. The range must lie
        within the object and not be empty.
        """
        if self._scheduler.queued:
            # What was read since the last pump may have made room. Not after taking a view: the
            # buffer under it could be handed to the next fetch.
            self._scheduler.pump()
        first, last = offset // BLOCK_BYTES, (offset + size - 1) // BLOCK_BYTES
        start, stop = offset - first * BLOCK_BYTES, offset + size - last * BLOCK_BYTES
        if first == last:
            block = cached.blocks.get(first)
            if block is None or block.ready < stop:
                return None
            return self._deliver(block, start, stop)
        blocks = [cached.blocks.get(index) for index in range(first, last + 1)]
        if not _all_ready(blocks, stop):
            return None
        return self._deliver_span(blocks, start, stop)

    def request(self, cached: CachedObject, demand: range, ahead: range, run_blocks: int) -> None:
        """Plan what is missing of both ranges of block indices, demand first.

        Store requests take at most `run_blocks` adjacent blocks. Does not wait.
        """
        for index in demand:
            block = cached.blocks.get(index)
            if block is not None:
                self._scheduler.promote(block)
        runs, waits = self._planner.plan(cached, demand, ahead, run_blocks)
        self._memory.misses += waits
        for run in runs:
            self._scheduler.submit(run)
        self._scheduler.pump()

    def reads_range(self, cached: CachedObject, offset: int, size: int) -> bool:
        """Whether `read_range` is worth a try: a small read of a block that only the disk has."""
        index = offset // BLOCK_BYTES
        return (
            size <= RANGE_READ_BYTES_MAX
            and cached.on_disk(index)
            and index not in cached.blocks
            and index == (offset + size - 1) // BLOCK_BYTES
        )

    async def read_range(self, cached: CachedObject, offset: int, size: int) -> Buffer | None:
        """Return bytes of one block from the disk, without reading the rest of it, or None."""
        index, start = divmod(offset, BLOCK_BYTES)
        if self._disk is None or cached.disk is None:
            return None
        data = await self._disk.read_range(cached.disk, index, start, start + size)
        if data is not None:
            self._delivered[Origin.DISK] += size
            self._disk.accessed(cached.disk, index, size, resident=True)
        return data

    async def read(self, cached: CachedObject, offset: int, size: int) -> Buffer:
        """Return the bytes [offset, offset + size), waiting for what is still on its way.

        Raises what the store raised when a block cannot be had. The result may be a view that
        holds only until the next checkpoint.
        """
        first, last = offset // BLOCK_BYTES, (offset + size - 1) // BLOCK_BYTES
        if first == last:
            start = offset - first * BLOCK_BYTES
            block = await self._ready_block(cached, first, start + size)
            return self._deliver(block, start, start + size)
        for index in range(first, last):
            await self._ready_block(cached, index, BLOCK_BYTES)
        await self._ready_block(cached, last, offset + size - last * BLOCK_BYTES)
        data = self.read_nowait(cached, offset, size)
        return data if data is not None else await self._read_piecewise(cached, offset, size)

    def waits_for(self, cached: CachedObject, offset: int, size: int) -> WaitsFor:
        """Tell what a reader of these bytes waits for, by the first block that is not there."""
        last = (offset + size - 1) // BLOCK_BYTES
        for index in range(offset // BLOCK_BYTES, last + 1):
            block = cached.blocks.get(index)
            if block is None:
                return WaitsFor.DISK if cached.on_disk(index) else WaitsFor.OTHER
            if block.ready < min(BLOCK_BYTES, offset + size - index * BLOCK_BYTES):
                return self._scheduler.waits_for(block)
        return WaitsFor.OTHER

    async def drain(self) -> None:
        """Return once the SSD tier has everything that is being fetched. For an orderly end.

        Nothing is fetched ahead any more from now on.
        """
        self._draining = True
        while self._scheduler.active:
            self._run_ended = trio.Event()
            await self._run_ended.wait()
        if self._populate is not None:
            await self._populate.wait_drained()

    async def aclose(self) -> None:
        """Let the disks go. `serve` must have ended."""
        if self._disk is not None:
            await self._disk.aclose()

    def statistics(self) -> CacheStatistics:
        """Return a snapshot."""
        populate = self._populate
        return CacheStatistics(
            memory=self._memory.statistics(),
            disks=self._disk.statistics() if self._disk is not None else (),
            prefetch=PrefetchStatistics(
                issued_bytes=self._planner.issued_ahead_bytes,
                used_bytes=self._used_ahead,
                wasted_bytes=self._memory.wasted_bytes,
                queued=self._scheduler.queued,
            ),
            sources=SourceStatistics(
                memory_bytes=self._delivered["memory"],
                disk_bytes=self._delivered[Origin.DISK],
                store_bytes=self._delivered[Origin.STORE],
            ),
            populate=populate.statistics() if populate is not None else PopulateStatistics(),
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
            held = None
            if self._disk is not None and placement.keep_on_disk:
                held = await self._disk.load(version, placement)
            self._registry.add(CachedObject(version, held, placement.fetch_blocks))
        finally:
            del self._opening[version]
            loaded.set()

    async def _ready_block(self, cached: CachedObject, index: int, needed: int) -> Block:
        """Return the block once `needed` bytes are valid, asking again if it was evicted."""
        while True:
            block = cached.blocks.get(index)
            if block is None or not block.demanded:
                self.request(cached, range(index, index + 1), range(0), 1)
                block = cached.blocks[index]
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

    def _deliver_span(self, blocks: Sequence[Block], start: int, stop: int) -> Buffer:
        """The bytes from `start` of the first block to `stop` of the last one, which are ready.

        One view when the buffers lie side by side, else a copy.
        """
        views = [self._deliver(blocks[0], start, BLOCK_BYTES)]
        views += [self._deliver(block, 0, BLOCK_BYTES) for block in blocks[1:-1]]
        views.append(self._deliver(blocks[-1], 0, stop))
        head, tail = blocks[0].buffer, blocks[-1].buffer
        assert head is not None
        assert tail is not None
        if len(blocks) == 2 and head.precedes(tail):
            return head.arena[head.offset + start : tail.offset + stop]
        return b"".join(views)

    def _deliver(self, block: Block, start: int, stop: int) -> memoryview:
        fresh = max(0, stop - max(start, block.delivered))
        # What a warm-up fetched was there when the reader came: no request was made for it.
        was_warmed_up = block.forced and not block.demanded
        self._delivered["memory" if was_warmed_up else block.origin] += fresh
        self._delivered["memory"] += stop - start - fresh
        if block.delivered:
            self._memory.hits += 1
        held = block.owner.disk
        if fresh and self._disk is not None and held is not None:
            self._disk.accessed(held, block.index, fresh, resident=block.origin is Origin.DISK)
        if block.ahead:
            block.ahead = False
            self._used_ahead += block.length
        block.delivered = max(block.delivered, stop)
        view = block.view(start, stop)
        self._memory.settle(block)
        return view

    def _may_prefetch(self) -> bool:
        keeps_up = self._populate is None or self._populate.may_prefetch
        return keeps_up and not self._draining

    def _start(self, run: Run) -> None:
        if self._nursery is None:
            self._fetcher.drop(run.blocks, CacheClosedError("the mount is shutting down"))
            self._scheduler.finished(run)
            return
        self._nursery.start_soon(self._execute, run)

    async def _execute(self, run: Run) -> None:
        try:
            await self._fetcher.fill(run)
        finally:
            self._scheduler.finished(run)
            self._scheduler.pump()
            self._run_ended.set()


def _all_ready(blocks: Sequence[Block | None], stop: int) -> TypeGuard[Sequence[Block]]:
    """All blocks are in memory up to their end, the last one up to byte `stop`."""
    *whole, last = blocks
    return (
        last is not None
        and last.ready >= stop
        and all(block is not None and block.full for block in whole)
    )
