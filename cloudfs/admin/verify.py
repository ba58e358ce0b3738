"""The verify job: reads every block of this store on the SSDs and drops the corrupt ones."""

from __future__ import annotations

from cloudfs.admin.messages import VerificationProgress
from cloudfs.admin.ports import Cache
from cloudfs_cache.api import VerifyProgress, VerifyReport


class Verify:
    """A job's work, which may take hours."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._done = VerifyProgress(0, 0, 0)
        self._report: VerifyReport | None = None

    async def run(self) -> None:
        """Verify everything."""
        self._report = await self._cache.verify(self._on_progress)

    def progress(self) -> VerificationProgress:
        """Return the blocks read so far, and the report once it has ended."""
        done = self._done
        return VerificationProgress(
            done.blocks_total, done.blocks_done, done.bytes_done, self._report
        )

    def _on_progress(self, progress: VerifyProgress) -> None:
        self._done = progress
