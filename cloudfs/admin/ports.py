"""Ports of the admin operations: what they need of the cache and of the metadata of a mount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cloudfs_cache.api import (
    CacheStatistics,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Placement,
    VerifyProgress,
    VerifyReport,
)

VERSIONS_MAX: Final = 1000
"""Most versions in one call of `Cache.local_bytes`."""


class Cache(Protocol):
    """The cache of the mount. Called from the trio loop only.

    What needs a disk raises `DiskUnusableError` when there is none that answers.
    """

    async def local_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """Return how many bytes of each version a read would not fetch."""

    async def disk_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """Return how many bytes of each version the SSD tier holds."""

    async def warm(
        self, version: ObjectVersion, placement: Placement, on_bytes: Callable[[int], None]
    ) -> None:
        """Fetch the missing blocks into the SSD tier, below every reader's priority.

        `on_bytes` is called with the number of bytes as they come, on the loop. Raises the
        store's errors. May be cancelled: blocks that have come stay.
        """

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks in these ranges, present and future, from being evicted."""

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo the pins of these ranges and of all that lie within them."""

    async def pins(self) -> list[KeyRange]:
        """Return the pinned ranges."""

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Remove local blocks that are not pinned, and return the bytes freed on the SSDs."""

    async def verify(self, on_progress: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block on the SSD and drop the corrupt ones."""

    async def disk_usage(self) -> list[DiskUsage]:
        """Return the content of each cache directory, by store."""

    def statistics(self) -> CacheStatistics:
        """Return a snapshot."""


class Names(Protocol):
    """The metadata of the mount: names, sizes and listings."""

    async def invalidate(self, ranges: Sequence[KeyRange]) -> int:
        """Invalidate all metadata in these ranges that was requested before now.

        Returns the number of names of them that the kernel had cached.
        """
