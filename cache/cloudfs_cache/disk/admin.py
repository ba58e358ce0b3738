"""Administrative operations of one cache directory: pin, evict, verify, usage.

Owned by the trio loop. Unlike reads these may take long, so each is made of steps that the disk
ends in time, and a disk that fails is an answer: `DiskUnusableError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from cloudfs_cache.api import (
    DiskStalledError,
    DiskUnusableError,
    DiskUsage,
    KeyRange,
    VerifyProgress,
    VerifyReport,
)
from cloudfs_cache.disk.index.rows import ExtentRow
from cloudfs_cache.disk.io.executor import DiskExecutor
from cloudfs_cache.disk.scrub import Scrubber
from cloudfs_cache.disk.store import DiskStore

_STEP_EXTENTS: Final = 64
_LIMIT_S: Final = 20.0

Result = TypeVar("Result")


class DiskAdmin:
    """Commands for one cache directory and one store."""

    def __init__(
        self,
        store: DiskStore,
        access: DiskExecutor,
        store_id: str,
        on_evicted: Callable[[Iterable[ExtentRow]], None],
    ) -> None:
        self._store = store
        self._executor = access
        self._store_id = store_id
        self._on_evicted = on_evicted

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later."""
        await self._do(partial(self._store.pins.add, self._store_id, ranges))

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""
        await self._do(partial(self._store.pins.remove, self._store_id, ranges))

    async def pins(self) -> list[KeyRange]:
        """Return what is pinned."""
        return await self._ask(partial(self._store.pins.of_store, self._store_id))

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is neither pinned nor being written; return the bytes that are free now."""
        freed = 0
        for keys in ranges:
            find = partial(self._store.queries.extent_ids_of, self._store_id, keys)
            ids = await self._ask(find)
            for at in range(0, len(ids), _STEP_EXTENTS):
                step = ids[at : at + _STEP_EXTENTS]
                evicted = await self._ask(partial(self._store.evict, step))
                self._on_evicted(evicted.extents)
                freed += evicted.freed_bytes
        return freed

    async def verify(self, note: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store and drop the corrupt ones; delete stray files."""
        verifier = Scrubber(self._store, self._store_id)
        await self._do(verifier.begin)
        while await self._ask(verifier.step):
            note(verifier.progress)
        return verifier.report

    async def usage(self) -> list[DiskUsage]:
        """Return what is kept of which store."""
        return await self._ask(partial(self._store.queries.usage, self._store.directory.path))

    async def _do(self, work: Callable[[], None]) -> None:
        def done() -> bool:
            work()
            return True

        await self._ask(done)

    async def _ask(self, work: Callable[[], Result]) -> Result:
        result = None
        try:
            # One that hangs is not waited for again: the probe finds out when it is back.
            if self._executor.health.readable:
                result = await self._executor.attempt(work, "answer a command", limit_s=_LIMIT_S)
        except DiskStalledError:
            pass
        if result is None:
            raise DiskUnusableError(
                f"cache directory {self._store.directory.path}: {self._executor.health.reason}"
            )
        return result
