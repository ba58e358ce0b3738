"""Reads of open files: feeds the read-ahead window and asks the cache. Owned by the trio loop."""

from __future__ import annotations

import time

from cloudfs.vfs.handles import FileHandle
from cloudfs_cache.api import BLOCK_BYTES, Buffer
from cloudfs_cache.cache import TieredCache

_AHEAD_FRACTION = 0.75
_ACTIVE_S = 5.0


class Reader:
    """Turns (handle, offset, size) into bytes. All streams share one read-ahead budget."""

    def __init__(self, cache: TieredCache) -> None:
        self._cache = cache
        self._budget = int(cache.memory_blocks * BLOCK_BYTES * _AHEAD_FRACTION)
        self._read_at: dict[FileHandle, float] = {}
        self._pruned_at = 0.0

    def read_nowait(self, handle: FileHandle, offset: int, size: int) -> Buffer | None:
        """Return the bytes if memory has them; else start getting them and return None.

        Call it once per request, then `read` if it returned None. Reads past the end of the file
        are short. The result may be a view that holds only until the next checkpoint.
        """
        size = min(size, handle.inode_size - offset)
        cached = handle.cached
        if size <= 0 or cached is None:
            return b""
        advice = handle.window.on_read(offset, size, self._share(handle))
        return self._cache.read_nowait(cached, offset, size, advice.ahead, advice.run_bytes)

    async def read(self, handle: FileHandle, offset: int, size: int) -> Buffer:
        """Wait for bytes that `read_nowait` did not have."""
        cached, size = handle.cached, min(size, handle.inode_size - offset)
        assert cached is not None
        return await self._cache.read(cached, offset, size)

    def closed(self, handle: FileHandle) -> None:
        """The handle was released: its share goes to the others."""
        self._read_at.pop(handle, None)

    def _share(self, handle: FileHandle) -> int:
        """Bytes one stream may have ahead: the budget over the files read in the last seconds."""
        now = time.monotonic()
        self._read_at[handle] = now
        if now - self._pruned_at > _ACTIVE_S:
            self._pruned_at = now
            self._read_at = {h: at for h, at in self._read_at.items() if now - at <= _ACTIVE_S}
        return self._budget // max(1, len(self._read_at))
