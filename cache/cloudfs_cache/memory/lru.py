"""The memory tier: which full blocks keep their buffer, and which gives its up first.

Owned by the trio loop. Blocks whose bytes have all been handed to the kernel go first, because the
mount's page cache holds them now; blocks read in part go next, least recently read first; blocks
fetched ahead and not read yet go last, and only for a reader that waits.
"""

from __future__ import annotations

from collections import OrderedDict

from cloudfs_cache.api import BLOCK_BYTES, MemoryStatistics
from cloudfs_cache.memory.block import Block
from cloudfs_cache.memory.pool import BlockBuffer, BufferPool

MEMORY_LIMIT_MIN_BYTES = 64 * BLOCK_BYTES
# Enough to answer files that are opened twice in a row; first touches of fresh memory are what a
# larger number would cost.
_SPENT_KEPT = 32


class MemoryCache:
    """Buffers and their recency. Blocks with `pins` are in no queue and cannot be evicted.

    With `staging`, another tier below keeps what was read: then blocks that were handed over are
    recycled before fresh memory is touched, and the limit is only used up by what is in flight.
    """

    def __init__(self, capacity_bytes: int, *, staging: bool = False) -> None:
        self._staging = staging
        self._pool = BufferPool(max(capacity_bytes, MEMORY_LIMIT_MIN_BYTES) // BLOCK_BYTES)
        self._reserve = max(4, self._pool.capacity // 8)
        self._spent: OrderedDict[Block, None] = OrderedDict()
        self._read: OrderedDict[Block, None] = OrderedDict()
        self._ahead: OrderedDict[Block, None] = OrderedDict()
        self.hits = 0
        self.misses = 0
        self.wasted_bytes = 0

    @property
    def capacity_blocks(self) -> int:
        """How many blocks fit in all."""
        return self._pool.capacity

    def take(self, *, demand: bool) -> BlockBuffer | None:
        """Return a buffer, evicting a block if need be; None when nothing may be evicted.

        A prefetch leaves a reserve for readers that wait, and never evicts what was fetched ahead.
        """
        if not demand and self._room() <= self._reserve:
            return None
        if self._staging and not self._pool.idle and len(self._spent) > _SPENT_KEPT:
            self._evict_first((self._spent,))
        elif self._pool.available == 0:
            queues = (self._spent, self._read, self._ahead) if demand else (self._spent, self._read)
            self._evict_first(queues)
        return self._pool.take()

    def give_back(self, buffer: BlockBuffer) -> None:
        """Return the buffer of a block that failed or was dropped."""
        self._pool.give_back(buffer)

    def settle(self, block: Block) -> None:
        """Queue a full block for eviction, by what was read of it.

        No-op while it is pinned or its run goes on: it is not written to the disk tier yet.
        """
        self._unqueue(block)
        if block.pins or block.run is not None or not block.full or block.buffer is None:
            return
        if block.delivered >= block.length or block.forced:
            self._spent[block] = None
        elif block.ahead:
            self._ahead[block] = None
        else:
            self._read[block] = None

    def pin(self, block: Block) -> None:
        """Keep the block's buffer until `unpin`."""
        block.pins += 1
        self._unqueue(block)

    def unpin(self, block: Block) -> None:
        """Undo one `pin`."""
        block.pins -= 1
        self.settle(block)

    def spend(self, block: Block) -> None:
        """Make the block one of the first to go: nobody is expected to read it."""
        if block in self._ahead or block in self._read:
            self._unqueue(block)
            self._spent[block] = None

    def discard(self, block: Block) -> None:
        """Take a queued block out of memory at once; one that is in use stays."""
        if block in self._spent or block in self._ahead or block in self._read:
            self._unqueue(block)
            self._drop(block)

    def statistics(self) -> MemoryStatistics:
        """Return a snapshot."""
        return MemoryStatistics(
            capacity_bytes=self._pool.capacity * BLOCK_BYTES,
            used_bytes=self._pool.used * BLOCK_BYTES,
            blocks=len(self._spent) + len(self._read) + len(self._ahead),
            hits=self.hits,
            misses=self.misses,
        )

    def _room(self) -> int:
        return self._pool.available + len(self._spent) + len(self._read)

    def _unqueue(self, block: Block) -> None:
        for queue in (self._spent, self._read, self._ahead):
            queue.pop(block, None)

    def _evict_first(self, queues: tuple[OrderedDict[Block, None], ...]) -> None:
        for queue in queues:
            if queue:
                block, _ = queue.popitem(last=False)
                self._drop(block)
                return

    def _drop(self, block: Block) -> None:
        if block.ahead:
            self.wasted_bytes += block.length
        del block.owner.blocks[block.index]
        assert block.buffer is not None
        self._pool.give_back(block.buffer)
        block.buffer = None
