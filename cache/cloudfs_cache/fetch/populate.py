"""Copies blocks that came from the store to the tier below, behind the readers.

Owned by the trio loop. A block waits here pinned, so the queue is bounded by the memory budget:
when it is half of it, prefetch pauses until the disk has caught up; past three quarters a block is
let go unwritten (counted), because a reader that waits must always find a buffer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import trio

from cloudfs_cache.api import PopulateStatistics
from cloudfs_cache.disk.format.records import DiskObject
from cloudfs_cache.memory.block import Block, CachedObject
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.api import Tier

log = logging.getLogger(__name__)

_BATCH_BLOCKS = 8
WRITERS = 2


class Populator:
    """A bounded queue of full blocks and the tasks that write them."""

    def __init__(self, memory: MemoryCache, disk: Tier) -> None:
        self._memory = memory
        self._disk = disk
        self._queue: deque[tuple[CachedObject, list[Block]]] = deque()
        self._pending = 0
        self._pending_bytes = 0
        self._wanted = trio.Event()
        self._written = trio.Event()
        self._pause_at = memory.capacity_blocks // 2
        self._drop_at = memory.capacity_blocks * 3 // 4

    @property
    def may_prefetch(self) -> bool:
        """The disk keeps up with what is fetched."""
        return self._pending < self._pause_at

    def statistics(self) -> PopulateStatistics:
        """Return a snapshot: what is queued and what is being written."""
        return PopulateStatistics(self._pending, self._pending_bytes)

    def add(self, block: Block) -> None:
        """Queue a full block; it stays pinned until it is written or dropped."""
        held = block.owner.disk
        if held is None:
            return
        # What is fetched for the disk only is never so much that readers are short of buffers.
        for_disk_only = block.forced and not block.demanded
        too_much = self._pending >= self._drop_at and not for_disk_only
        if too_much or not self._disk.writable(held):
            self._disk.skipped(held, 1)
            return
        self._memory.pin(block)
        self._pending += 1
        self._pending_bytes += block.length
        batch = self._queue[-1][1] if self._queue else None
        if (
            batch is not None
            and len(batch) < _BATCH_BLOCKS
            and batch[-1].owner is block.owner
            and batch[-1].index + 1 == block.index
        ):
            batch.append(block)
        else:
            self._queue.append((block.owner, [block]))
        self._wanted.set()

    async def wait_drained(self) -> None:
        """Return once every block that was added is written or let go."""
        await self._wait(lambda: self._pending == 0)

    async def wait_room(self) -> None:
        """Return once the disk keeps up, so that what is added is not dropped."""
        await self._wait(lambda: self.may_prefetch)

    async def wait_written(self, blocks: Sequence[Block]) -> None:
        """Return once these blocks are written or let go."""
        await self._wait(lambda: not any(block.pins for block in blocks))

    async def write_forever(self, after_batch: Callable[[], None]) -> None:
        """Write batches as they come; call `after_batch` when the buffers of one are free."""
        while True:
            while not self._queue:
                self._wanted = trio.Event()
                await self._wanted.wait()
            owner, blocks = self._queue.popleft()
            if owner.disk is not None:
                await self._write(owner.disk, blocks, after_batch)

    async def _write(
        self, held: DiskObject, blocks: list[Block], after_batch: Callable[[], None]
    ) -> None:
        done = False

        def let_go() -> None:
            # A thread that hangs on the disk may read the buffers long after it was given up.
            nonlocal done
            if not done:
                done = True
                self._let_go(blocks)
                after_batch()

        try:
            await self._disk.write(held, blocks, let_go)
        except Exception:
            log.exception("bug while writing blocks of %r", held.version.key)
            let_go()

    def _let_go(self, blocks: Sequence[Block]) -> None:
        self._pending -= len(blocks)
        for block in blocks:
            self._pending_bytes -= block.length
            self._memory.unpin(block)
        self._written.set()
        self._written = trio.Event()

    async def _wait(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self._written.wait()
