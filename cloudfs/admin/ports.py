"""What admin needs of the other parts of a mount, and nothing more of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cloudfs_cache.api import (
    CacheStatistics,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Placement,
    VerifyProgress,
    VerifyReport,
)

VERSIONS_MAX = 1000
"""Most versions that `Cache.local_bytes` is asked for at once."""


class Cache(Protocol):
    """The cache of the mount. Called from the trio loop only.

    What needs a disk raises `DiskUnusableError` when there is none that answers.
    """

    async def local_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """Return how many bytes of each version a read would not fetch."""

    async def disk_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """Return how many bytes of each version the SSD tier holds."""

    async def warm(
        self, version: ObjectVersion, placement: Placement, note: Callable[[int], None]
    ) -> None:
        """Fetch what is missing into the SSD tier, below every reader's priority.

        `note` hears of bytes as they come, on the loop. Raises the store's errors. May be
        cancelled: what has come stays.
        """

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep what is in these ranges, and what will come, from being evicted."""

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo the pins of these ranges and of all that lie within them."""

    async def pins(self) -> list[KeyRange]:
        """Return the pinned ranges."""

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Remove what is local and not pinned, and return the bytes freed on the SSDs."""

    async def verify(self, note: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block on the SSD and drop the wrong ones."""

    async def disk_usage(self) -> list[DiskUsage]:
        """Return what each cache directory holds, for each store."""

    def statistics(self) -> CacheStatistics:
        """Return a snapshot."""


class Names(Protocol):
    """What the mount believes of names, sizes and listings."""

    async def invalidate(self, ranges: Sequence[KeyRange]) -> int:
        """Believe nothing that is known by now in these ranges.

        Returns how many names the kernel remembered of them.
        """
