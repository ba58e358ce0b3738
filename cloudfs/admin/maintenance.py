"""Jobs on the SSD tier itself: verifying and evicting, which may take minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudfs.admin.ports import Cache
from cloudfs_cache import api
from cloudfs_cache.api import KeyRange, VerifyReport


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a verification is; `report` once it is done."""

    blocks_total: int
    blocks_done: int
    bytes_done: int
    report: VerifyReport | None


class Verify:
    """The work of reading every block of this store on the SSD and dropping the wrong ones."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._noted = api.VerifyProgress(0, 0, 0)
        self._report: VerifyReport | None = None

    async def run(self) -> None:
        """See `Work.run`."""
        self._report = await self._cache.verify(self._note)

    def progress(self) -> VerifyProgress:
        """See `Work.progress`."""
        noted = self._noted
        return VerifyProgress(noted.blocks_total, noted.blocks_done, noted.bytes_done, self._report)

    def _note(self, progress: api.VerifyProgress) -> None:
        self._noted = progress


@dataclass(frozen=True, slots=True)
class EvictProgress:
    """`freed_bytes` once it is done."""

    freed_bytes: int | None


class Evict:
    """The work of removing what is local of some ranges."""

    def __init__(self, cache: Cache, ranges: Sequence[KeyRange]) -> None:
        self._cache = cache
        self._ranges = ranges
        self._freed_bytes: int | None = None

    async def run(self) -> None:
        """See `Work.run`."""
        self._freed_bytes = await self._cache.evict(self._ranges)

    def progress(self) -> EvictProgress:
        """See `Work.progress`."""
        return EvictProgress(self._freed_bytes)
