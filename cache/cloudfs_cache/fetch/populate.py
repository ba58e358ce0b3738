"""Population of the tiers: copies blocks that came from further down into the tiers they passed.

Owned by the trio loop, behind the readers. These blocks are clean: one that is not written is
fetched again some day. A block waits here pinned, so the queue is bounded by the memory budget:
when it is half of it, prefetch pauses until the tiers have caught up; past three quarters a block
is dropped unwritten (counted), because a reader that waits must always find a buffer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio

from cloudfs_cache.api import PopulateStatistics
from cloudfs_cache.memory.block import Block
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.api import TierEntry

log = logging.getLogger(__name__)

_BATCH_BLOCKS: Final = 8
_WRITERS: Final = 2


class Populator:
    """A bounded queue of full blocks and the tasks that write them. `on_room` is called when the
    buffers of a batch are free again."""

    def __init__(self, memory: MemoryCache, on_room: Callable[[], None]) -> None:
        self._memory = memory
        self._on_room = on_room
        self._queue: deque[tuple[TierEntry, list[Block]]] = deque()
        self._pending = 0
        self._pending_bytes = 0
        self._queued = trio.Event()
        self._written = trio.Event()
        self._pause_at = memory.capacity_blocks // 2
        self._drop_at = memory.capacity_blocks * 3 // 4

    @property
    def may_prefetch(self) -> bool:
        """Whether the tiers keep up with what is fetched."""
        return self._pending < self._pause_at

    def statistics(self) -> PopulateStatistics:
        """Return a snapshot: what is queued and what is being written."""
        return PopulateStatistics(self._pending, self._pending_bytes)

    def add(self, block: Block) -> None:
        """Queue a full block for the tiers above its source; it stays pinned until it is written or
        dropped."""
        for entry in block.tiers_above_source():
            self._add(block, entry)

    async def wait_drained(self) -> None:
        """Return once every block that was added is written or dropped."""
        await self._wait(lambda: self._pending == 0)

    async def wait_room(self) -> None:
        """Return once the tiers keep up, so that what is added is not dropped."""
        await self._wait(lambda: self.may_prefetch)

    async def wait_written(self, blocks: Sequence[Block]) -> None:
        """Return once these blocks are written or dropped."""
        await self._wait(lambda: not any(block.pins for block in blocks))

    async def serve(self) -> None:
        """Write batches as they come, until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(_WRITERS):
                nursery.start_soon(self._write_forever)

    def _add(self, block: Block, entry: TierEntry) -> None:
        # What is fetched for the tiers only is never so much that readers are short of buffers.
        for_tiers_only = block.forced and not block.demanded
        too_much = self._pending >= self._drop_at and not for_tiers_only
        if too_much or not entry.writable:
            entry.skipped(1)
            return
        self._memory.pin(block)
        self._pending += 1
        self._pending_bytes += block.length
        last_entry, batch = self._queue[-1] if self._queue else (None, [])
        if (
            last_entry is entry
            and len(batch) < _BATCH_BLOCKS
            and batch[-1].index + 1 == block.index
        ):
            batch.append(block)
        else:
            self._queue.append((entry, [block]))
        self._queued.set()

    async def _write_forever(self) -> None:
        while True:
            while not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
            entry, blocks = self._queue.popleft()
            await self._write(entry, blocks)

    async def _write(self, entry: TierEntry, blocks: list[Block]) -> None:
        is_released = False

        def released() -> None:
            # A thread that hangs on a disk may read the buffers long after its time is over.
            nonlocal is_released
            if not is_released:
                is_released = True
                self._unpin(blocks)
                self._on_room()

        forced = any(block.forced for block in blocks)
        try:
            await entry.write([block.memory() for block in blocks], released, forced=forced)
        except Exception:
            log.exception("bug while writing blocks of %r", entry.version.key)
            released()

    def _unpin(self, blocks: Sequence[Block]) -> None:
        self._pending -= len(blocks)
        for block in blocks:
            self._pending_bytes -= block.length
            self._memory.unpin(block)
        self._written.set()
        self._written = trio.Event()

    async def _wait(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self._written.wait()
