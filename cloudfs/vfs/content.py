"""File content: where the bytes of an open file come from.

Owned by the trio loop. An open file keeps its content from open to release, whatever happens to its
name meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from cloudfs.prefetch.budget import ReadAheadBudget
from cloudfs.prefetch.readahead import ReadAheadWindow
from cloudfs_cache.api import BLOCK_BYTES, Buffer, ObjectVersion, Placement, WaitsFor
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.memory.block import CachedObject

_AHEAD_FRACTION: Final = 0.75


class Content(Protocol):
    """The bytes of one open file. Ranges are clamped at its end: reads past it are short."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    def read_nowait(self, offset: int, size: int) -> Buffer | None:
        """Return the bytes if they are in memory; else start getting them and return None.

        Call it once per request, then `read` if it returned None. The result may be a view that
        holds only until the next checkpoint.
        """

    async def read(self, offset: int, size: int) -> Buffer:
        """Wait for bytes that `read_nowait` did not have. Raises the store's errors."""

    def waits_for(self, offset: int, size: int) -> WaitsFor:
        """Return what a `read` that has not returned waits for."""

    def close(self) -> None:
        """Release what the content holds. Called once, after the last read."""


class EmptyContent:
    """No bytes: an object of size 0, which the cache never sees."""

    size: Final = 0

    def read_nowait(self, offset: int, size: int) -> Buffer | None:
        """Return no bytes."""
        return b""

    async def read(self, offset: int, size: int) -> Buffer:
        """Return no bytes."""
        return b""

    def waits_for(self, offset: int, size: int) -> WaitsFor:
        """Return OTHER: there is nothing to wait for."""
        return WaitsFor.OTHER

    def close(self) -> None:
        """Release nothing."""


class ObjectContent:
    """One version of an object, read through the cache with read-ahead."""

    __slots__ = ("_budget", "_cache", "_cached", "_window", "size")

    def __init__(
        self,
        cache: TieredCache,
        cached: CachedObject,
        window: ReadAheadWindow,
        budget: ReadAheadBudget,
    ) -> None:
        self.size = cached.version.size
        self._cache = cache
        self._cached = cached
        self._window = window
        self._budget = budget

    def read_nowait(self, offset: int, size: int) -> Buffer | None:
        """Return the bytes if memory has them; else start fetching them and return None."""
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        advice = self._window.on_read(offset, size, self._budget.share(self))
        ahead, run_bytes = advice.ahead, advice.run_bytes
        return self._cache.read_nowait(self._cached, offset, size, ahead, run_bytes)

    async def read(self, offset: int, size: int) -> Buffer:
        """Wait for bytes that `read_nowait` did not have."""
        size = min(size, self.size - offset)
        return await self._cache.read(self._cached, offset, size)

    def waits_for(self, offset: int, size: int) -> WaitsFor:
        """Return what a `read` that has not returned waits for."""
        size = min(size, self.size - offset)
        return WaitsFor.OTHER if size <= 0 else self._cache.waits_for(self._cached, offset, size)

    def close(self) -> None:
        """Release the object, and give its share of the read-ahead to others."""
        self._budget.leave(self)
        self._cache.release(self._cached)


class ObjectContents:
    """Opens versions of objects, which share one read-ahead budget.

    `read_ahead_bytes` bounds the window of one stream; `placement_of` gives how the object of a key
    is to be cached.
    """

    def __init__(
        self,
        cache: TieredCache,
        *,
        read_ahead_bytes: int,
        placement_of: Callable[[str], Placement],
    ) -> None:
        self._cache = cache
        self._read_ahead_bytes = read_ahead_bytes
        self._placement_of = placement_of
        ahead_bytes = int(cache.memory_blocks * BLOCK_BYTES * _AHEAD_FRACTION)
        self._budget = ReadAheadBudget(ahead_bytes, time.monotonic)

    async def open(self, version: ObjectVersion) -> Content:
        """Return the content of a version, which the caller closes. May wait for a disk."""
        if version.size == 0:
            return EmptyContent()
        cached = await self._cache.open(version, self._placement_of(version.key))
        window = ReadAheadWindow(version.size, self._read_ahead_bytes)
        return ObjectContent(self._cache, cached, window, self._budget)
