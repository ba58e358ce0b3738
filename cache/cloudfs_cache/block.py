"""One block of one object version in memory: planned, filling, full, or failed.

Owned by the trio loop. The worker thread that fills the buffer only writes bytes beyond `ready`
and reports them through the loop, so bytes below `ready` never change while the block lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from cloudfs_cache.api import Origin

if TYPE_CHECKING:
    from cloudfs_cache.objects import CachedObject
    from cloudfs_cache.runs import Run


class Block:
    """A slot in the block table. `ready` counts the valid bytes from the block's start.

    `pins` counts the users that need the buffer to stay (disk writes); `ahead` is true from a
    prefetch until the first read; `delivered` is the high-water mark of bytes handed to readers.
    `run` is the fetch that will fill the block, until it is full or failed.
    """

    __slots__ = (
        "_waiters",
        "ahead",
        "buffer",
        "delivered",
        "failure",
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
        self.buffer: memoryview | None = None
        self.ready = 0
        self.delivered = 0
        self.pins = 0
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
            event = trio.Event()
            entry = (needed, event)
            self._waiters.append(entry)
            try:
                await event.wait()
            finally:
                if entry in self._waiters:
                    self._waiters.remove(entry)

    def view(self, start: int, stop: int) -> memoryview:
        """The valid bytes [start, stop) of the block, without a copy.

        Holds only until the next checkpoint: after that the buffer may be evicted.
        """
        assert self.buffer is not None
        assert stop <= self.ready
        return self.buffer[start:stop]

    def _wake(self, chosen: Callable[[int], bool]) -> None:
        waiting = []
        for entry in self._waiters:
            if chosen(entry[0]):
                entry[1].set()
            else:
                waiting.append(entry)
        self._waiters = waiting
