"""The evict job: removes from the SSD tier what is not pinned of some key ranges."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs.admin.messages import EvictProgress
from cloudfs.admin.ports import Cache
from cloudfs_cache.api import KeyRange


class Evict:
    """A job's work, which may take minutes."""

    def __init__(self, cache: Cache, ranges: Sequence[KeyRange]) -> None:
        self._cache = cache
        self._ranges = ranges
        self._progress = EvictProgress()

    async def run(self) -> None:
        """Evict everything."""
        self._progress = EvictProgress(await self._cache.evict(self._ranges))

    def progress(self) -> EvictProgress:
        """Return the bytes that were freed, once it has ended."""
        return self._progress
