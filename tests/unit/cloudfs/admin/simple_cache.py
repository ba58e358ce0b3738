"""A cache of whole blocks in a dict: the protocol of `cloudfs.admin.ports` in its plainest form.

It really fetches from the store and really forgets what does not fit, so that what admin says
can be compared with what is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from cloudfs_backends.api import ObjectStore
from cloudfs_cache.api import (
    BLOCK_BYTES,
    CacheStatistics,
    DiskStatistics,
    DiskUnusableError,
    DiskUsage,
    KeyRange,
    MemoryStatistics,
    ObjectVersion,
    Placement,
    PrefetchStatistics,
    SourceStatistics,
    VerifyProgress,
    VerifyReport,
)

DIRECTORY = "/ssd"


class SimpleCache:
    """Keeps at most `capacity_bytes`: what comes when it is full is fetched and refused."""

    def __init__(self, store: ObjectStore, capacity_bytes: int = 1 << 40) -> None:
        self._store = store
        self._capacity_bytes = capacity_bytes
        self._blocks: defaultdict[ObjectVersion, dict[int, bytes]] = defaultdict(dict)
        self._pins: dict[KeyRange, None] = {}
        self.placements: dict[str, Placement] = {}
        self.state = "ok"
        self.is_off = False
        self.corrupt: set[str] = set()

    @property
    def used_bytes(self) -> int:
        return sum(len(block) for blocks in self._blocks.values() for block in blocks.values())

    def content(self, key: str) -> bytes:
        """What is local of the only version of `key`."""
        (blocks,) = [blocks for version, blocks in self._blocks.items() if version.key == key]
        return b"".join(blocks[index] for index in sorted(blocks))

    async def local_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        assert 0 < len(versions) <= 1000
        return [sum(map(len, self._blocks.get(version, {}).values())) for version in versions]

    async def disk_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        return await self.local_bytes(versions)

    async def warm(
        self, version: ObjectVersion, placement: Placement, on_bytes: Callable[[int], None]
    ) -> None:
        self.placements[version.key] = placement
        blocks = self._blocks[version]
        for index in range(version.block_count):
            if index in blocks:
                continue
            body = bytearray()
            start = index * BLOCK_BYTES
            stop = start + version.block_length(index)
            await self._store.get_range(
                version.key, start, stop, etag=version.etag, sink=body.extend
            )
            if self.used_bytes + len(body) <= self._capacity_bytes:
                blocks[index] = bytes(body)
            on_bytes(len(body))

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        self._pins.update(dict.fromkeys(ranges))

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        for pin in list(self._pins):
            if any(pin.key in range_ for range_ in ranges):
                del self._pins[pin]

    async def pins(self) -> list[KeyRange]:
        self._require_disk()
        return list(self._pins)

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        before = self.used_bytes
        for version in list(self._blocks):
            is_pinned = any(version.key in pin for pin in self._pins)
            if not is_pinned and any(version.key in range_ for range_ in ranges):
                del self._blocks[version]
        return before - self.used_bytes

    async def verify(self, on_progress: Callable[[VerifyProgress], None]) -> VerifyReport:
        self._require_disk()
        total = sum(map(len, self._blocks.values()))
        size, corrupt, done = self.used_bytes, 0, 0
        for version, blocks in self._blocks.items():
            for index in list(blocks):
                done += 1
                if version.key in self.corrupt:
                    corrupt += 1
                    del blocks[index]
                on_progress(VerifyProgress(total, done, done * BLOCK_BYTES))
        return VerifyReport(blocks=total, bytes=size, corrupt=corrupt, missing=0, orphans=0)

    async def disk_usage(self) -> list[DiskUsage]:
        self._require_disk()
        blocks = sum(map(len, self._blocks.values()))
        used = self.used_bytes
        return [DiskUsage(DIRECTORY, self._store.url, len(self._blocks), blocks, used, 0, 0, 0)]

    def _require_disk(self) -> None:
        if self.is_off or self.state == "bypassed":
            raise DiskUnusableError(f"cache directory {DIRECTORY}: it does not answer")

    def statistics(self) -> CacheStatistics:
        disk = DiskStatistics(
            directory=DIRECTORY,
            state=self.state,
            reason="" if self.state == "ok" else "it is broken",
            capacity_bytes=self._capacity_bytes,
            used_bytes=self.used_bytes,
            free_bytes=1 << 40,
            hits=0,
            misses=0,
            writes=0,
            evictions=0,
            rejected=0,
            skipped=0,
            errors=0,
            stalls=0,
            corrupt=0,
            recompressed_bytes=0,
            threads_busy=0,
            threads_waiting=0,
        )
        return CacheStatistics(
            MemoryStatistics(0, 0, 0, 0, 0),
            () if self.is_off else (disk,),
            PrefetchStatistics(0, 0, 0, 0),
            SourceStatistics(0, 0, 0),
        )


class SimpleNames:
    """Remembers what it was told to forget."""

    def __init__(self) -> None:
        self.invalidated: list[KeyRange] = []

    async def invalidate(self, ranges: Sequence[KeyRange]) -> int:
        self.invalidated += ranges
        return 3
