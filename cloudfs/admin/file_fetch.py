"""The rate-limited fetch of one file into the SSD tier, for warm-ups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from cloudfs.admin.ports import Cache
from cloudfs.admin.rate_limit import TokenBucket
from cloudfs.units import MIB
from cloudfs_cache.api import ObjectVersion, Placement

_PREPAID_BYTES_MAX: Final = 32 * MIB
"""About as much as the cache fetches of a file before it reports bytes."""


class RateLimitedFetch:
    """Fetches the missing blocks of a file, no faster than the bucket allows.

    The cache does not slow down, so a large file is stopped and resumed. `on_fetched` is called
    with the number of bytes as they come from the store.
    """

    def __init__(
        self,
        cache: Cache,
        bucket: TokenBucket,
        version: ObjectVersion,
        local_bytes: int,
        on_fetched: Callable[[int], None],
    ) -> None:
        self._cache = cache
        self._bucket = bucket
        self._version = version
        self._missing = version.size - local_bytes
        self._on_fetched = on_fetched
        self._prepaid = 0
        self._scope = trio.CancelScope()

    async def run(self, placement: Placement) -> int:
        """Fetch everything; return the bytes that were fetched for a reader meanwhile.

        Raises the errors of `Cache.warm`.
        """
        was_stopped = False
        while not await self._fetch(placement, resumed=was_stopped):
            was_stopped = True
        if was_stopped:
            self._count(self._missing)
        return self._missing

    async def _fetch(self, placement: Placement, *, resumed: bool) -> bool:
        """Fetch until the file is complete, or False, the bucket is overdrawn."""
        await self._bucket.wait()
        # Paid in advance, so that the other files do not all begin on the same tokens.
        due = min(self._missing, _PREPAID_BYTES_MAX)
        self._bucket.take(due - self._prepaid)
        self._prepaid = due
        if resumed:
            # Bytes in flight when the fetch was stopped have come uncounted.
            (local,) = await self._cache.disk_bytes([self._version])
            self._count(local - (self._version.size - self._missing))
        with trio.CancelScope() as self._scope:
            try:
                await self._cache.warm(self._version, placement, self._on_bytes)
            except BaseException:
                self._bucket.take(-self._prepaid)
                self._prepaid = 0
                raise
        return not self._scope.cancelled_caught

    def _on_bytes(self, count: int) -> None:
        self._count(count)
        if self._bucket.is_overdrawn and self._missing:
            self._scope.cancel()

    def _count(self, count: int) -> None:
        count = max(0, min(count, self._missing))
        self._missing -= count
        paid = min(count, self._prepaid)
        self._prepaid -= paid
        self._bucket.take(count - paid)
        self._on_fetched(count)
