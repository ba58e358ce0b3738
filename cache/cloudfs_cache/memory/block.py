"""Blocks in memory: the block and its states, the table of an object's blocks, and runs of blocks.

Owned by the trio loop. A block is in its object's table from the moment it is planned until it is
evicted or fails, so a second request for the same bytes always finds the first: single-flight by
construction. Only the methods here change a block's state or the table:

    PLANNED --supply--> FILLING --settle--> FULL --evict--> GONE
       |  ^---forfeit------'  |
       '--withdraw--> GONE    '--fail--> GONE      (PLANNED fails, too)

While it is FILLING, a worker thread writes bytes beyond `ready` and reports them through the loop,
so bytes below `ready` never change while the block lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

import trio

from cloudfs_cache.api import ObjectVersion, Origin
from cloudfs_cache.memory.pool import BlockBuffer
from cloudfs_cache.tiers.api import BlockMemory, Presence, TierEntry


class BlockState(Enum):
    """PLANNED: in a run, without a buffer. FILLING: it has a buffer and its fetch is not over, even
    if all bytes are there. FULL: it may be written, queued and evicted. GONE: out of the table."""

    PLANNED = "planned"
    FILLING = "filling"
    FULL = "full"
    GONE = "gone"


class Purpose(Enum):
    """Why a block was planned: a reader waits for it, one is expected to, or a warm-up wants it in
    the tiers below."""

    DEMAND = "demand"
    AHEAD = "ahead"
    WARMUP = "warmup"


class Block:
    """A slot in the block table. `ready` counts the valid bytes from the block's start.

    `source` is the tier that it is read from, None for the store. `ahead`: it was fetched for a
    read that has not come yet. `demanded`: a reader asked for it before it was full. `forced`: a
    warm-up wants it in the tiers below. `delivered` is the high-water mark of bytes that readers
    were given. `pins` counts the users that need the buffer to stay (writes to a tier). All of
    these are for reading; the methods change them.
    """

    __slots__ = (
        "_waiters",
        "ahead",
        "buffer",
        "delivered",
        "demanded",
        "failure",
        "forced",
        "index",
        "length",
        "owner",
        "pins",
        "ready",
        "run",
        "source",
        "state",
    )

    def __init__(
        self, owner: CachedObject, index: int, source: TierEntry | None, purpose: Purpose
    ) -> None:
        self.owner = owner
        self.index = index
        self.length = owner.version.block_length(index)
        self.source = source
        self.state = BlockState.PLANNED
        self.ahead = purpose is Purpose.AHEAD
        self.demanded = purpose is Purpose.DEMAND
        self.forced = purpose is Purpose.WARMUP
        self.buffer: BlockBuffer | None = None
        self.ready = 0
        self.delivered = 0
        self.pins = 0
        self.failure: BaseException | None = None
        self.run: Run | None = None
        self._waiters: list[tuple[int, trio.Event]] = []

    @property
    def complete(self) -> bool:
        """All bytes are there."""
        return self.ready == self.length

    @property
    def origin(self) -> Origin:
        """Where the bytes come from."""
        return Origin.STORE if self.source is None else self.source.origin

    def tiers_above_source(self) -> Iterator[TierEntry]:
        """Yield the entries of the tiers that the block has passed on its way here."""
        for entry in self.owner.entries:
            if entry is self.source:
                return
            yield entry

    def supply(self, buffer: BlockBuffer) -> None:
        """PLANNED -> FILLING: the bytes go into `buffer`."""
        assert self.state is BlockState.PLANNED
        self.buffer = buffer
        self.state = BlockState.FILLING

    def advance(self, ready: int) -> None:
        """Declare the first `ready` bytes valid and wake the readers they suffice for."""
        assert self.state is BlockState.FILLING
        self.ready = ready
        if self._waiters:
            self._wake(lambda needed: needed <= ready)

    def settle(self) -> None:
        """FILLING -> FULL: all bytes are there and the fetch is over."""
        assert self.state is BlockState.FILLING
        assert self.complete
        self.state = BlockState.FULL
        self.run = None
        self._wake(lambda _needed: True)

    def forfeit(self) -> BlockBuffer:
        """FILLING -> PLANNED: a stalled read keeps the buffer, which is returned, for itself."""
        assert self.state is BlockState.FILLING
        assert self.ready == 0
        self.state = BlockState.PLANNED
        return self._without_buffer()

    def redirect(self, source: TierEntry | None) -> None:
        """Read it from `source`, further down: what was asked does not have it."""
        assert self.state in {BlockState.PLANNED, BlockState.FILLING}
        self.source = source

    def withdraw(self) -> None:
        """PLANNED -> GONE: it was never fetched, and no reader waits for it."""
        assert self.state is BlockState.PLANNED
        self._leave()

    def fail(self, cause: BaseException) -> BlockBuffer | None:
        """PLANNED or FILLING -> GONE: tell every waiter that the rest of the block will not come.

        Returns the buffer, which is the caller's from now on.
        """
        assert self.state in {BlockState.PLANNED, BlockState.FILLING}
        self.failure = cause
        self._leave()
        self._wake(lambda _needed: True)
        return None if self.buffer is None else self._without_buffer()

    def evict(self) -> BlockBuffer:
        """FULL -> GONE: return the buffer, which is the caller's from now on."""
        assert self.state is BlockState.FULL
        assert not self.pins
        self._leave()
        return self._without_buffer()

    def demand(self) -> None:
        """Note that a reader asks for the block before it is full."""
        self.demanded = True

    def force(self) -> None:
        """Note that a warm-up wants the block in the tiers below, whatever that displaces."""
        self.forced = True

    def pin(self) -> None:
        """Keep the buffer until `unpin`."""
        self.pins += 1

    def unpin(self) -> None:
        """Undo one `pin`."""
        assert self.pins
        self.pins -= 1

    def deliver(self, start: int, stop: int) -> int:
        """Note that a reader is given the bytes [start, stop); return how many for the first time.

        The block was not fetched in vain then: it is not `ahead` any more.
        """
        self.ahead = False
        fresh = stop - max(start, self.delivered)
        if fresh <= 0:
            return 0
        self.delivered = stop
        return fresh

    def view(self, start: int, stop: int) -> memoryview:
        """Return the valid bytes [start, stop) of the block, without a copy.

        Holds only until the next checkpoint: after that the buffer may be evicted.
        """
        assert self.buffer is not None
        assert stop <= self.ready
        return self.buffer.view[start:stop]

    def memory(self) -> BlockMemory:
        """Return the buffer as a tier reads into it or writes from it."""
        assert self.buffer is not None
        return BlockMemory(self.index, self.length, self.buffer.view)

    async def wait_ready(self, needed: int) -> None:
        """Return once the first `needed` bytes are valid; raise the failure's cause otherwise."""
        while self.ready < needed:
            if self.failure is not None:
                raise self.failure
            await self._wait(needed)

    async def wait_full(self) -> None:
        """Return once the block is full or gone after that; raise the failure's cause."""
        while self.state in {BlockState.PLANNED, BlockState.FILLING}:
            await self._wait(self.length + 1)
        if self.failure is not None:
            raise self.failure

    def _leave(self) -> None:
        self.state = BlockState.GONE
        self.owner.remove(self)

    def _without_buffer(self) -> BlockBuffer:
        buffer, self.buffer = self.buffer, None
        assert buffer is not None
        return buffer

    async def _wait(self, needed: int) -> None:
        event = trio.Event()
        entry = (needed, event)
        self._waiters.append(entry)
        try:
            await event.wait()
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)

    def _wake(self, chosen: Callable[[int], bool]) -> None:
        waiting = []
        for entry in self._waiters:
            if chosen(entry[0]):
                entry[1].set()
            else:
                waiting.append(entry)
        self._waiters = waiting


class CachedObject:
    """The block table of one object version. `opens` counts the readers that have it open.

    `entries` are those of the tiers below memory that may keep it, nearest first.
    """

    __slots__ = ("_blocks", "entries", "fetch_blocks", "opens", "version")

    def __init__(
        self, version: ObjectVersion, entries: tuple[TierEntry, ...] = (), fetch_blocks: int = 1
    ) -> None:
        self.version = version
        self.entries = entries
        self.fetch_blocks = fetch_blocks
        self.opens = 0
        self._blocks: dict[int, Block] = {}

    def __contains__(self, index: object) -> bool:
        return index in self._blocks

    def __iter__(self) -> Iterator[Block]:
        return iter(list(self._blocks.values()))

    @property
    def in_use(self) -> bool:
        """Whether a reader has it open or memory has blocks of it."""
        return bool(self.opens or self._blocks)

    def get(self, index: int) -> Block | None:
        """Return block `index`, None when it is not in the table."""
        return self._blocks.get(index)

    def plan(self, index: int, source: TierEntry | None, purpose: Purpose) -> Block:
        """Enter block `index`, which must not be in the table, as PLANNED."""
        assert index not in self._blocks
        block = self._blocks[index] = Block(self, index, source, purpose)
        return block

    def remove(self, block: Block) -> None:
        """Take a block out of the table. For the block's own transitions to GONE."""
        assert block.state is BlockState.GONE
        del self._blocks[block.index]

    def source_of(self, index: int, *, below: TierEntry | None = None) -> TierEntry | None:
        """Return the nearest tier that has or may have block `index`, None for the store.

        With `below`, only tiers further down than that one count.
        """
        passed = below is None
        for entry in self.entries:
            if passed and entry.has(index) is not Presence.ABSENT and entry.readable:
                return entry
            passed = passed or entry is below
        return None

    def in_tier(self, index: int) -> bool:
        """Whether a tier below memory holds block `index` for certain."""
        return any(entry.has(index) is Presence.PRESENT for entry in self.entries)


class Run:
    """Adjacent blocks of one object from one source, fetched together.

    Every block's `run` is this one until it is FULL. A reader waits for a `demand` run; an `idle`
    one is for when no reader waits.
    """

    __slots__ = ("blocks", "demand", "idle", "owner", "source")

    def __init__(self, blocks: list[Block], *, demand: bool, idle: bool = False) -> None:
        self.owner = blocks[0].owner
        self.source = blocks[0].source
        self.blocks: list[Block] = []
        self.demand = demand
        self.idle = idle
        for block in blocks:
            self.append(block)

    @property
    def origin(self) -> Origin:
        """Where the bytes come from."""
        return Origin.STORE if self.source is None else self.source.origin

    def append(self, block: Block) -> None:
        """Add the next block, which is adjacent and has the same source."""
        assert block.source is self.source
        assert not self.blocks or self.blocks[-1].index + 1 == block.index
        self.blocks.append(block)
        block.run = self

    def split(self, at: int) -> Run | None:
        """Keep the first `at` blocks and return a run of the others, or None if there are none."""
        rest = self.blocks[at:]
        if not rest:
            return None
        del self.blocks[at:]
        return Run(rest, demand=self.demand, idle=self.idle)
