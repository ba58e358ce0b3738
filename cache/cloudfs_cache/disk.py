"""The SSD tier: which blocks are on the local disk, and the way in and out.

Owned by the trio loop; the disk itself is touched only by worker threads of its own limiter. An
error of the disk never reaches a reader: it is counted, logged once per bypass, and the block is a
miss. After several errors in a row the disk is left alone for a while (see health.py).
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

import trio

from cloudfs_cache import directory, disk_io
from cloudfs_cache.api import CacheSetupError, DiskStatistics, ObjectVersion
from cloudfs_cache.blocks import Block
from cloudfs_cache.disk_object import EXTENT_BLOCKS, DiskObject, object_paths
from cloudfs_cache.eviction import EvictionPolicy, LeastRecentlyUsed
from cloudfs_cache.health import DiskHealth
from cloudfs_cache.space import Space, derive_limits

log = logging.getLogger(__name__)

Extent = tuple[str, int]
_Result = TypeVar("_Result")


class DiskTier:
    """Blocks on one local disk, in one locked slot of a cache directory."""

    def __init__(
        self,
        slot: directory.Slot,
        space: Space,
        found: Sequence[directory.FoundExtent],
        *,
        threads: int,
    ) -> None:
        self._slot = slot
        self._space = space
        self._limiter = trio.CapacityLimiter(threads)
        self._health = DiskHealth()
        self._policy: EvictionPolicy[Extent] = LeastRecentlyUsed()
        self._extents: dict[Extent, int] = {}
        self._extent_count: dict[str, int] = {}
        self._loaded: weakref.WeakValueDictionary[str, DiskObject] = weakref.WeakValueDictionary()
        self._hits = self._misses = self._evictions = self._corrupt = 0
        self.skipped_writes = 0
        for extent in found:
            self._count((extent.digest, extent.number), extent.size_bytes)

    @property
    def usable(self) -> bool:
        """The disk is not being bypassed."""
        return self._health.usable(time.monotonic())

    async def load(self, version: ObjectVersion) -> DiskObject:
        """Return what the disk holds of a version, reading its index when it is not in memory."""
        disk_object = DiskObject(self._slot.objects, version)
        known = self._loaded.get(disk_object.digest)
        if known is not None:
            return known
        self._loaded[disk_object.digest] = disk_object
        if disk_object.digest in self._extent_count and self.usable:
            async with disk_object.lock:
                load = partial(disk_io.load_index, disk_object.index_path, version)
                loaded = await self._guard(load, "read the index of", version)
                disk_object.checksums.update(loaded or {})
        return disk_object

    async def read(self, held: DiskObject, blocks: Sequence[Block]) -> list[bool]:
        """Fill the buffers of adjacent blocks; say which of them now hold sound bytes."""
        first = blocks[0].index
        buffers = [block.buffer.view for block in blocks if block.buffer is not None]
        lengths = [block.length for block in blocks]
        read = partial(disk_io.read_blocks, held.data_path, first, buffers, lengths)
        found = await self._guard(read, "read", held.version) if self.usable else None
        sound = [
            checksum is not None and held.checksums.get(index) == checksum
            for index, checksum in enumerate(found or [None] * len(blocks), first)
        ]
        for index, good in enumerate(sound, first):
            self._note_read(held, index, good=good, answered=found is not None)
        return sound

    async def write(self, held: DiskObject, blocks: Sequence[Block]) -> None:
        """Store adjacent full blocks, evicting others when space is short."""
        size = sum(disk_io.aligned(block.length) for block in blocks)
        if not self.usable or not await self._make_room(size):
            self.skipped_writes += len(blocks)
            return
        self._space.reserve(size)
        first = blocks[0].index
        write = partial(
            disk_io.write_blocks,
            held,
            first,
            [block.buffer.view for block in blocks if block.buffer is not None],
            [block.length for block in blocks],
        )
        async with held.lock:
            checksums = await self._guard(write, "write", held.version)
        if checksums is None:
            self._space.release(size)
            self.skipped_writes += len(blocks)
            return
        for block, checksum in zip(blocks, checksums, strict=True):
            self._note_written(held, block, checksum)

    def statistics(self) -> DiskStatistics:
        """Return a snapshot."""
        return DiskStatistics(
            directory=self._slot.directory,
            state=self._health.state(time.monotonic()),
            capacity_bytes=self._space.limits.capacity_bytes,
            used_bytes=self._space.used_bytes,
            free_bytes=self._space.free_bytes(),
            objects=len(self._extent_count),
            hits=self._hits,
            misses=self._misses,
            evictions=self._evictions,
            errors=self._health.errors,
            corrupt=self._corrupt,
            skipped_writes=self.skipped_writes,
        )

    def note_miss(self) -> None:
        """Count a block that had to come from the store."""
        self._misses += 1

    def close(self) -> None:
        """Release the slot. Nothing may be read or written afterwards."""
        os.close(self._slot.lock_fd)

    async def _guard(
        self, work: Callable[[], _Result], verb: str, version: ObjectVersion
    ) -> _Result | None:
        """Run blocking disk work; on an error count it, log the first of a row, return None."""
        try:
            result = await trio.to_thread.run_sync(work, limiter=self._limiter)
        except OSError as error:
            self._note_error(error, verb, version)
            return None
        self._health.succeeded()
        return result

    def _note_error(self, error: OSError, verb: str, version: ObjectVersion) -> None:
        starts_bypass = self._health.failed(time.monotonic())
        if starts_bypass or self._health.errors == 1:
            log.warning(
                "cache disk: cannot %s %r in %s: %s%s",
                verb,
                version.key,
                self._slot.directory,
                error.strerror,
                "; reads go to the bucket until it recovers" if starts_bypass else "",
            )

    def _note_read(self, held: DiskObject, index: int, *, good: bool, answered: bool) -> None:
        if good:
            self._hits += 1
            extent = (held.digest, index // EXTENT_BLOCKS)
            if extent in self._extents:
                self._policy.used(extent)
        elif answered and index in held.checksums:
            # Still recorded after the read, so it was not evicted meanwhile: the disk is wrong.
            self._corrupt += 1
            del held.checksums[index]
            log.warning(
                "cache disk: block %d of %r is missing or corrupt: fetched again",
                index,
                held.version.key,
            )

    def _note_written(self, held: DiskObject, block: Block, checksum: int) -> None:
        size = disk_io.aligned(block.length)
        if block.index in held.checksums:
            self._space.release(size)
        held.checksums[block.index] = checksum
        extent = (held.digest, block.index // EXTENT_BLOCKS)
        self._count(extent, size)

    def _count(self, extent: Extent, size: int) -> None:
        if extent not in self._extents:
            self._extent_count[extent[0]] = self._extent_count.get(extent[0], 0) + 1
        self._extents[extent] = self._extents.get(extent, 0) + size
        self._policy.used(extent)

    async def _make_room(self, wanted_bytes: int) -> bool:
        """Evict until `wanted_bytes` fit. False when nothing is left to evict."""
        while self._space.excess(wanted_bytes) > 0:
            victim = self._policy.victim()
            if victim is None:
                return False
            await self._evict(victim)
        return True

    async def _evict(self, extent: Extent) -> None:
        digest, number = extent
        self._policy.forget(extent)
        held = self._loaded.get(digest)
        async with held.lock if held is not None else nullcontext():
            # Counted under the lock: a write that was under way may have added to the extent.
            self._policy.forget(extent)
            size = self._extents.pop(extent, None)
            if size is None:
                return  # evicted by the other writer meanwhile
            self._extent_count[digest] -= 1
            whole = self._extent_count[digest] == 0
            if whole:
                del self._extent_count[digest]
            self._evictions += 1
            log.debug("cache disk: evict extent %d of %s, %d bytes", number, digest, size)
            await self._erase(digest, number, held, whole=whole)
        self._space.release(size)

    async def _erase(
        self, digest: str, number: int, held: DiskObject | None, *, whole: bool
    ) -> None:
        data_path, index_path = object_paths(self._slot.objects, digest)
        indices = range(number * EXTENT_BLOCKS, (number + 1) * EXTENT_BLOCKS)
        if held is not None:
            for index in indices:
                held.checksums.pop(index, None)
        if whole:
            work = partial(disk_io.remove_object, data_path, index_path)
        else:
            work = partial(disk_io.punch_blocks, data_path, index_path, indices)
        try:
            await trio.to_thread.run_sync(work, limiter=self._limiter)
        except OSError as error:
            self._health.failed(time.monotonic())
            log.warning("cache disk: cannot evict from %s: %s", self._slot.directory, error)


def open_disk_tier(
    cache_directory: str,
    store_url: str,
    *,
    capacity_bytes: int | None,
    min_free_bytes: int | None,
    threads: int = 8,
) -> DiskTier:
    """Claim a slot, see what it holds, and return the tier. Blocks: call it in a worker thread.

    Raises CacheSetupError when the directory cannot be used or the disk is full already.
    """
    slot = directory.claim_slot(cache_directory, store_url)
    found = directory.scan(slot)
    used = sum(extent.size_bytes for extent in found)
    limits = derive_limits(slot.directory, capacity_bytes, min_free_bytes, used)
    space = Space(slot.directory, limits, used)
    if not found and space.excess(EXTENT_BLOCKS) > 0:
        os.close(slot.lock_fd)
        raise CacheSetupError(
            f"cache directory {cache_directory} is on a full disk: {space.free_bytes() >> 20} MiB "
            f"free, {limits.min_free_bytes >> 20} MiB must stay free: free some space, lower "
            "--min-free-space or give another --cache-dir"
        )
    return DiskTier(slot, space, found, threads=threads)
