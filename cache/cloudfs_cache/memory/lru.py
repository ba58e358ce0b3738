"""The memory cache: which full blocks keep their buffer, and which lose it first.

Owned by the trio loop. Blocks whose bytes have all been handed to the kernel go first, because the
mount's page cache holds them now; blocks read in part go next, least recently read first; blocks
fetched ahead and not read yet go last, and only for a reader that waits.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from cloudfs_cache.api import BLOCK_BYTES, MemoryStatistics
from cloudfs_cache.memory.block import Block, BlockState
from cloudfs_cache.memory.pool import BlockBuffer, BufferPool

MEMORY_LIMIT_MIN_BYTES: Final = 64 * BLOCK_BYTES
# Enough to answer files that are opened twice in a row; first touches of fresh memory are what a
# larger number would cost.
_CONSUMED_KEPT: Final = 32


class MemoryCache:
    """Buffers and their recency. Blocks with `pins` are in no queue and cannot be evicted.

    With `staging`, a tier below keeps what was read: then blocks that were handed over are recycled
    before fresh memory is touched, and the limit is only used up by what is in flight.
    """

    def __init__(self, capacity_bytes: int, *, staging: bool = False) -> None:
        self._staging = staging
        self._pool = BufferPool(max(capacity_bytes, MEMORY_LIMIT_MIN_BYTES) // BLOCK_BYTES)
        self._reserve = max(4, self._pool.capacity // 8)
        self._consumed: OrderedDict[Block, None] = OrderedDict()
        self._read: OrderedDict[Block, None] = OrderedDict()
        self._ahead: OrderedDict[Block, None] = OrderedDict()
        self._wasted_bytes = 0

    @property
    def capacity_blocks(self) -> int:
        """How many blocks fit in all."""
        return self._pool.capacity

    @property
    def wasted_bytes(self) -> int:
        """Bytes that were fetched ahead and evicted before a reader wanted them."""
        return self._wasted_bytes

    def take(self, *, demand: bool) -> BlockBuffer | None:
        """Return a buffer, evicting a block if need be; None when nothing may be evicted.

        A prefetch leaves a reserve for readers that wait, and never evicts what was fetched ahead.
        """
        if not demand and self._obtainable() <= self._reserve:
            return None
        if self._staging and not self._pool.idle and len(self._consumed) > _CONSUMED_KEPT:
            self._evict_first((self._consumed,))
        elif self._pool.available == 0:
            queues = (self._consumed, self._read)
            self._evict_first((*queues, self._ahead) if demand else queues)
        return self._pool.take()

    def give_back(self, buffer: BlockBuffer) -> None:
        """Return the buffer of a block that failed, or that a stalled read has released."""
        self._pool.give_back(buffer)

    def requeue(self, block: Block) -> None:
        """Queue a FULL block for eviction by what was read of it; no-op for any other."""
        self._unqueue(block)
        if block.state is not BlockState.FULL or block.pins:
            return
        if block.delivered >= block.length or block.forced:
            self._consumed[block] = None
        elif block.ahead:
            self._ahead[block] = None
        else:
            self._read[block] = None

    def pin(self, block: Block) -> None:
        """Keep the block's buffer until `unpin`."""
        block.pin()
        self._unqueue(block)

    def unpin(self, block: Block) -> None:
        """Undo one `pin`."""
        block.unpin()
        self.requeue(block)

    def demote(self, block: Block) -> None:
        """Make a queued block one of the first to go: no reader is expected."""
        if block in self._ahead or block in self._read:
            self._unqueue(block)
            self._consumed[block] = None

    def discard(self, block: Block) -> None:
        """Evict a queued block at once; one that is in use stays."""
        if block in self._consumed or block in self._ahead or block in self._read:
            self._unqueue(block)
            self._evict(block)

    def statistics(self, *, hits: int, misses: int) -> MemoryStatistics:
        """Return a snapshot, with what the cache has counted of reads."""
        return MemoryStatistics(
            capacity_bytes=self._pool.capacity * BLOCK_BYTES,
            used_bytes=self._pool.used * BLOCK_BYTES,
            blocks=len(self._consumed) + len(self._read) + len(self._ahead),
            hits=hits,
            misses=misses,
        )

    def _obtainable(self) -> int:
        """How many buffers a prefetch could get."""
        return self._pool.available + len(self._consumed) + len(self._read)

    def _unqueue(self, block: Block) -> None:
        for queue in (self._consumed, self._read, self._ahead):
            queue.pop(block, None)

    def _evict_first(self, queues: tuple[OrderedDict[Block, None], ...]) -> None:
        for queue in queues:
            if queue:
                block, _ = queue.popitem(last=False)
                self._evict(block)
                return

    def _evict(self, block: Block) -> None:
        if block.ahead:
            self._wasted_bytes += block.length
        self._pool.give_back(block.evict())
