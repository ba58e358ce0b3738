"""Copies blocks that came from the store to the SSD tier, behind the readers.

Owned by the trio loop. A block waits here pinned, so the queue is bounded by the memory budget:
when it is half of it, prefetch pauses until the disk has caught up; past three quarters a block is
let go unwritten (counted), because a reader that waits must always find a buffer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import trio

from cloudfs_cache.blocks import Block, CachedObject
from cloudfs_cache.disk import DiskTier
from cloudfs_cache.memory import MemoryTier

log = logging.getLogger(__name__)

_BATCH_BLOCKS = 8
WRITERS = 2


class WriteBack:
    """A bounded queue of full blocks and the tasks that write them."""

    def __init__(self, memory: MemoryTier, disk: DiskTier) -> None:
        self._memory = memory
        self._disk = disk
        self._queue: deque[tuple[CachedObject, list[Block]]] = deque()
        self._pending = 0
        self._wanted = trio.Event()
        self._drained = trio.Event()
        self._pause_at = memory.capacity_blocks // 2
        self._drop_at = memory.capacity_blocks * 3 // 4

    @property
    def may_prefetch(self) -> bool:
        """The disk keeps up with what is fetched."""
        return self._pending < self._pause_at

    def add(self, block: Block) -> None:
        """Queue a full block; it stays pinned until it is written or dropped."""
        if self._pending >= self._drop_at or not self._disk.usable:
            self._disk.skipped_writes += 1
            return
        self._memory.pin(block)
        self._pending += 1
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
        while self._pending:
            self._drained = trio.Event()
            await self._drained.wait()

    async def write_forever(self, after_batch: Callable[[], None]) -> None:
        """Write batches as they come; call `after_batch` after each."""
        while True:
            while not self._queue:
                self._wanted = trio.Event()
                await self._wanted.wait()
            owner, blocks = self._queue.popleft()
            try:
                if owner.disk is not None:
                    await self._disk.write(owner.disk, blocks)
            except Exception:
                log.exception("bug while writing blocks of %r", owner.version.key)
            finally:
                self._pending -= len(blocks)
                for block in blocks:
                    self._memory.unpin(block)
            if not self._pending:
                self._drained.set()
            after_batch()
