"""A block, the object version it belongs to, and the run that fetches it: three records that refer
to each other.

Owned by the trio loop. A block is planned, filling, full, or failed; it stands in its object's
table from the moment it is planned until it is evicted or fails, so a second request for the same
bytes always finds the first: single-flight by construction. The worker thread that fills a buffer
only writes bytes beyond `ready` and reports them through the loop, so bytes below `ready` never
change while the block lives.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from cloudfs_cache.api import ObjectVersion, Origin
from cloudfs_cache.disk.format.records import DiskObject
from cloudfs_cache.memory.pool import BlockBuffer


class Block:
    """A slot in the block table. `ready` counts the valid bytes from the block's start.

    `pins` counts the users that need the buffer to stay (disk writes); `ahead` is true from a
    prefetch until the first read; `wanted` says that a reader has asked for it before it was
    full; `forced` that a warm-up wants it on the tier below; `delivered` is the high-water mark
    of bytes handed to readers. `run` is the fetch that will fill the block, until it is full or
    failed.
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
        "origin",
        "owner",
        "pins",
        "ready",
        "run",
    )

    def __init__(self, owner: CachedObject, index: int, length: int, *, ahead: bool) -> None:
        self.owner = owner
        self.index = index
        self.length = length
        self.ahead = ahead
        self.demanded = not ahead
        self.buffer: BlockBuffer | None = None
        self.ready = 0
        self.delivered = 0
        self.pins = 0
        self.forced = False
        self.origin = Origin.STORE
        self.failure: BaseException | None = None
        self.run: Run | None = None
        self._waiters: list[tuple[int, trio.Event]] = []

    @property
    def full(self) -> bool:
        """All bytes are there."""
        return self.ready == self.length

    def advance(self, ready: int) -> None:
        """Declare the first `ready` bytes valid and wake the readers they suffice for."""
        self.ready = ready
        if self._waiters:
            self._wake(lambda needed: needed <= ready)

    def fail(self, cause: BaseException) -> None:
        """Tell every waiter that the rest of the block will not come."""
        self.failure = cause
        self._wake(lambda _needed: True)

    async def wait_ready(self, needed: int) -> None:
        """Return once the first `needed` bytes are valid; raise the failure's cause otherwise."""
        while self.ready < needed:
            if self.failure is not None:
                raise self.failure
            await self._wait(needed)

    def end_run(self) -> None:
        """The block is full and its fetch is over: it may be written, queued and evicted now."""
        self.run = None
        self._wake(lambda _needed: True)

    async def wait_settled(self) -> None:
        """Return once the block is full and its fetch is over; raise the failure's cause."""
        while self.run is not None or not self.full:
            if self.failure is not None:
                raise self.failure
            await self._wait(self.length + 1)

    def view(self, start: int, stop: int) -> memoryview:
        """The valid bytes [start, stop) of the block, without a copy.

        Holds only until the next checkpoint: after that the buffer may be evicted.
        """
        assert self.buffer is not None
        assert stop <= self.ready
        return self.buffer.view[start:stop]

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
    """What the tiers hold of one object version. `opens` counts the handles that read it.

    `disk` is None without a tier below, or when the object is not to be kept there.
    """

    __slots__ = ("blocks", "disk", "fetch_blocks", "opens", "version")

    def __init__(
        self, version: ObjectVersion, disk: DiskObject | None, fetch_blocks: int = 1
    ) -> None:
        self.version = version
        self.disk = disk
        self.fetch_blocks = fetch_blocks
        self.blocks: dict[int, Block] = {}
        self.opens = 0

    def plan(self, index: int, *, ahead: bool) -> Block:
        """Enter block `index`, which must not be in the table, as planned."""
        block = Block(self, index, self.version.block_length(index), ahead=ahead)
        self.blocks[index] = block
        return block

    def on_disk(self, index: int) -> bool:
        """The SSD tier holds block `index`."""
        return self.disk is not None and index in self.disk.records


class Run:
    """Adjacent blocks of one object from one origin. Every block's `run` is this one.

    A reader waits for a `demand` run; an `idle` one is for when nobody wants anything.
    """

    __slots__ = ("blocks", "demand", "idle", "origin", "owner")

    def __init__(
        self,
        owner: CachedObject,
        blocks: list[Block],
        origin: Origin,
        *,
        demand: bool,
        idle: bool = False,
    ) -> None:
        self.owner = owner
        self.blocks = blocks
        self.origin = origin
        self.demand = demand
        self.idle = idle
        for block in blocks:
            block.run = self

    def split(self, at: int) -> Run | None:
        """Keep the first `at` blocks and return a run of the others, or None if there are none."""
        rest = self.blocks[at:]
        if not rest:
            return None
        self.blocks = self.blocks[:at]
        return Run(self.owner, rest, self.origin, demand=self.demand, idle=self.idle)
