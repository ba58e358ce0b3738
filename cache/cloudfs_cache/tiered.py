"""Memory over local SSD over the store: reads any bytes, fetches each block once.

Owned by the trio loop. `read_nowait` answers from memory without a checkpoint; `request` plans what
is missing and says nothing about when; `read` waits. Fetches belong to the cache and not to the
reader that caused them, so a reader that goes away harms nobody. Which blocks to fetch ahead is the
caller's policy; where they come from and in which order is decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TypeGuard

import trio

from cloudfs_cache.api import (
    BLOCK_BYTES,
    Buffer,
    CacheClosedError,
    CacheStatistics,
    DiskStatistics,
    FetchRange,
    ObjectVersion,
    Origin,
    PrefetchStatistics,
    SourceStatistics,
)
from cloudfs_cache.blocks import Block, CachedObject, Run
from cloudfs_cache.disk import DiskTier
from cloudfs_cache.filler import RunFiller
from cloudfs_cache.memory import MemoryTier
from cloudfs_cache.objects import ObjectRegistry
from cloudfs_cache.scheduler import FetchScheduler
from cloudfs_cache.writeback import WRITERS, WriteBack

log = logging.getLogger(__name__)

_DISK_SLOTS = 6
_DISK_RUN_BLOCKS = 4
_NO_DISK = DiskStatistics(None, "off", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class TieredCache:
    """The tiers of one mount. `serve` must be running for anything to be fetched."""

    def __init__(
        self,
        fetch: FetchRange,
        memory: MemoryTier,
        disk: DiskTier | None,
        *,
        max_downloads: int,
    ) -> None:
        self._fetch = fetch
        self._memory = memory
        self._disk = disk
        self._writeback = WriteBack(memory, disk) if disk is not None else None
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
        self._draining = False
        self._run_ended = trio.Event()
        self._issued_ahead = 0
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
                if self._writeback is not None:
                    for _ in range(WRITERS):
                        nursery.start_soon(self._writeback.write_forever, self._scheduler.pump)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def open(self, version: ObjectVersion) -> CachedObject:
        """Return the block table of a version and count an open. Pair it with `release`."""
        while (cached := self._registry.get(version)) is None:
            loading = self._opening.get(version)
            if loading is not None:
                await loading.wait()
            else:
                await self._load(version)
        cached.opens += 1
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
        missing = [(i, False) for i in demand if i not in cached.blocks]
        waits = {i for i, _ in missing}
        missing += [(i, True) for i in ahead if i not in cached.blocks and i not in waits]
        self._memory.misses += len(waits)
        for run in self._group(cached, sorted(missing), run_blocks):
            self._scheduler.submit(run)
        self._scheduler.pump()

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

    async def drain(self) -> None:
        """Return once the SSD tier has everything that is being fetched. For an orderly end.

        Nothing is fetched ahead any more from now on.
        """
        self._draining = True
        while self._scheduler.active:
            self._run_ended = trio.Event()
            await self._run_ended.wait()
        if self._writeback is not None:
            await self._writeback.wait_drained()

    def statistics(self) -> CacheStatistics:
        """Return a snapshot."""
        return CacheStatistics(
            memory=self._memory.statistics(),
            disk=self._disk.statistics() if self._disk is not None else _NO_DISK,
            prefetch=PrefetchStatistics(
                issued_bytes=self._issued_ahead,
                used_bytes=self._used_ahead,
                wasted_bytes=self._memory.wasted_bytes,
                queued=self._scheduler.queued,
            ),
            sources=SourceStatistics(
                memory_bytes=self._delivered["memory"],
                disk_bytes=self._delivered[Origin.DISK],
                store_bytes=self._delivered[Origin.STORE],
            ),
        )

    async def _load(self, version: ObjectVersion) -> None:
        loaded = self._opening[version] = trio.Event()
        try:
            disk_object = await self._disk.load(version) if self._disk is not None else None
            self._registry.add(CachedObject(version, disk_object))
        finally:
            del self._opening[version]
            loaded.set()

    async def _ready_block(self, cached: CachedObject, index: int, needed: int) -> Block:
        """Return the block once `needed` bytes are valid, asking again if it was evicted."""
        while True:
            block = cached.blocks.get(index)
            if block is None or not block.wanted:
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
        self._delivered[block.origin] += fresh
        self._delivered["memory"] += stop - start - fresh
        if block.delivered:
            self._memory.hits += 1
        if block.ahead:
            block.ahead = False
            self._used_ahead += block.length
        block.delivered = max(block.delivered, stop)
        view = block.view(start, stop)
        self._memory.settle(block)
        return view

    def _group(
        self, cached: CachedObject, missing: Iterable[tuple[int, bool]], run_blocks: int
    ) -> Iterable[Run]:
        """Plan the blocks and group adjacent ones of one origin into runs."""
        usable = self._disk is not None and self._disk.usable
        pending: list[Block] = []
        origin = Origin.STORE
        for index, ahead in missing:
            source = Origin.DISK if usable and cached.on_disk(index) else Origin.STORE
            limit = run_blocks if origin is Origin.STORE else _DISK_RUN_BLOCKS
            joins = pending and source is origin and pending[-1].index + 1 == index
            if pending and (not joins or len(pending) >= limit):
                yield self._run(cached, pending, origin)
                pending = []
            origin = source
            pending.append(cached.plan(index, ahead=ahead))
            pending[-1].origin = source
        if pending:
            yield self._run(cached, pending, origin)

    def _run(self, cached: CachedObject, blocks: list[Block], origin: Origin) -> Run:
        self._issued_ahead += sum(block.length for block in blocks if block.ahead)
        return Run(cached, blocks, origin, demand=any(not block.ahead for block in blocks))

    def _may_prefetch(self) -> bool:
        keeps_up = self._writeback is None or self._writeback.may_prefetch
        return keeps_up and not self._draining

    def _start(self, run: Run) -> None:
        if self._nursery is None:
            self._drop(run.blocks, CacheClosedError("the mount is shutting down"))
            self._scheduler.finished(run)
            return
        self._nursery.start_soon(self._execute, run)

    async def _execute(self, run: Run) -> None:
        first, count = run.blocks[0].index, len(run.blocks)
        why = "a reader" if run.demand else "read-ahead"
        log.debug(
            "blocks %d+%d of %r from %s for %s",
            first, count, run.owner.version.key, run.origin.value, why,
        )  # fmt: skip
        try:
            if run.origin is Origin.DISK:
                await self._fetch_from_disk(run)
            else:
                await self._fetch_from_store(run)
        except trio.Cancelled:
            # The worker thread may still write into the buffers: they are not given back.
            for block in run.blocks:
                block.fail(CacheClosedError("the mount is shutting down"))
            raise
        except Exception as error:
            log.exception("bug while fetching %r", run.owner.version.key)
            self._drop([block for block in run.blocks if block.run is run], error)
        finally:
            self._scheduler.finished(run)
            self._scheduler.pump()
            self._run_ended.set()

    async def _fetch_from_disk(self, run: Run) -> None:
        assert self._disk is not None
        assert run.owner.disk is not None
        sound = await self._disk.read(run.owner.disk, run.blocks)
        for block, good in zip(run.blocks, sound, strict=True):
            if good:
                block.run = None
                block.advance(block.length)
                self._memory.settle(block)
            else:
                block.origin = Origin.STORE
                self._scheduler.submit(Run(run.owner, [block], Origin.STORE, demand=True))

    async def _fetch_from_store(self, run: Run) -> None:
        version = run.owner.version
        start = run.blocks[0].index * BLOCK_BYTES
        stop = run.blocks[-1].index * BLOCK_BYTES + run.blocks[-1].length
        filler = RunFiller(run.blocks)
        try:
            await self._fetch(version, start, stop, filler.sink)
        except trio.Cancelled:
            filler.abandoned = True
            raise
        except Exception as error:
            filler.finish()
            self._keep_what_came(run)
            self._drop([block for block in run.blocks if not block.full], error)
            return
        filler.finish()
        self._keep_what_came(run)

    def _keep_what_came(self, run: Run) -> None:
        for block in run.blocks:
            if block.full:
                block.run = None
                if self._disk is not None:
                    self._disk.note_miss()
                if self._writeback is not None:
                    self._writeback.add(block)
                self._memory.settle(block)

    def _drop(self, blocks: Iterable[Block], cause: BaseException) -> None:
        """Take blocks that will not be filled out of the table and tell their readers why."""
        for block in blocks:
            del block.owner.blocks[block.index]
            block.fail(cause)
            if block.buffer is not None:
                self._memory.give_back(block.buffer)
                block.buffer = None


def _all_ready(blocks: Sequence[Block | None], stop: int) -> TypeGuard[Sequence[Block]]:
    """All blocks are in memory up to their end, the last one up to byte `stop`."""
    *whole, last = blocks
    return (
        last is not None
        and last.ready >= stop
        and all(block is not None and block.full for block in whole)
    )
