"""Caches on real directories for tests, and an audit of what they leave on the disk."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from cloudfs_cache.api import BLOCK_BYTES, BlockSpan, Buffer, ObjectVersion
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS
from cloudfs_cache.disk.index.rows import allocated
from cloudfs_cache.disk.io.executor import Timeouts
from cloudfs_cache.disk.open import DiskSettings, open_disk_tier
from cloudfs_cache.disk.store import DiskStore, WriteJob
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.eviction.policy import AccessRecord
from cloudfs_cache.memory.block import CachedObject
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.api import Tier
from tests.unit.cache.source import Source, content

STORE = "test://"
SETTINGS = DiskSettings(1 << 30, 0, eviction="lru", recompress=False, threads=4)
SHORT_TIMEOUTS = Timeouts(read_s=0.5, write_s=1.0, retry_s=0.2)
_METADATA_BYTES = 64 << 10
"""What a file system may add to a file for the list of its checksum chunks."""


def version(key: str = "a", blocks: float = 4, etag: str = "1") -> ObjectVersion:
    return ObjectVersion(STORE, key, etag, int(blocks * BLOCK_BYTES))


def open_tier(directory: Path, settings: DiskSettings = SETTINGS, **changes: object) -> DiskTier:
    return open_disk_tier(str(directory), STORE, replace(settings, **changes))


def store_of(tier: DiskTier) -> DiskStore:
    """The blocking half of a tier, for tests that ask it directly."""
    return tier._store


@contextmanager
def opened_store(
    directory: Path, settings: DiskSettings = SETTINGS, **changes: object
) -> Iterator[DiskStore]:
    store = store_of(open_tier(directory, settings, **changes))
    try:
        yield store
    finally:
        store.close()


@asynccontextmanager
async def serving(
    source: Source, disk: Tier | None, *, memory_blocks: int = 64
) -> AsyncIterator[TieredCache]:
    """A cache that is drained at the end; what then hangs on a disk is left to itself."""
    memory = MemoryCache(memory_blocks * BLOCK_BYTES)
    cache = TieredCache(source.fetch, memory, [disk] if disk else [], max_downloads=8)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(cache.serve)
            yield cache
            await cache.drain()
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await cache.aclose()


def request(
    cache: TieredCache, cached: CachedObject, demand: range, ahead: range, run_blocks: int
) -> None:
    """Plan blocks as `read_nowait` does, without a read."""
    cache._plan(cached, demand, ahead, run_blocks * BLOCK_BYTES)


async def read_range(
    cache: TieredCache, cached: CachedObject, offset: int, size: int
) -> Buffer | None:
    """Read a part of a block as `read` does when only a tier has it."""
    return await cache._read_range(cached, BlockSpan.of(offset, size))


async def read_all(cache: TieredCache, wanted: ObjectVersion) -> None:
    """Read an object block by block; every byte must be right."""
    cached = await cache.open(wanted)
    try:
        for start in range(0, wanted.size, BLOCK_BYTES):
            stop = min(wanted.size, start + BLOCK_BYTES)
            data = await cache.read(cached, start, stop - start)
            assert bytes(data) == content(wanted, start, stop)
    finally:
        cache.release(cached)


async def stored(cache: TieredCache, wanted: ObjectVersion) -> None:
    """Read an object and wait for the disk to have it, without an end of prefetching."""
    await read_all(cache, wanted)
    # The last bytes are read before their run has ended, and only then the block is written.
    await eventually(lambda: not cache._scheduler.active, 10)
    await cache._populator.wait_drained()


async def eventually(reached: Callable[[], bool], limit_s: float) -> None:
    """Wait for what background work brings about and tells nobody."""
    with trio.fail_after(limit_s):
        while not reached():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.02)


def job(
    wanted: ObjectVersion,
    first: int = 0,
    count: int | None = None,
    *,
    data: Mapping[int, bytes] | None = None,
    clock: int = 0,
    forced: bool = False,
    pinned: bool = False,
) -> WriteJob:
    """The write of some blocks of a version, of its true bytes or of `data`."""
    count = wanted.block_count - first if count is None else count
    lengths = [wanted.block_length(index) for index in range(first, first + count)]
    buffers = []
    for index, length in enumerate(lengths, first):
        start = index * BLOCK_BYTES
        buffer = memoryview(bytearray(BLOCK_BYTES))
        buffer[:length] = (data or {}).get(index) or content(wanted, start, start + length)
        buffers.append(buffer)
    access = AccessRecord(clock, 0, 1, 0)
    numbers = {index // EXTENT_BLOCKS for index in range(first, first + count)}
    return WriteJob(
        version=wanted,
        digest=bytes.fromhex(wanted.digest()),
        first=first,
        buffers=buffers,
        lengths=lengths,
        accesses=dict.fromkeys(numbers, access),
        newcomer=access,
        pinned=pinned,
        forced=forced,
        clock=clock,
    )


@dataclass(frozen=True, slots=True)
class Audit:
    """What a cache directory holds, by its rows and by its files."""

    used_bytes: int
    blocks: int
    intents: int
    allocated_bytes: int
    files: int


def audit(directory: Path) -> Audit:
    """Check that counters, rows and files of a directory agree. Nobody may be changing it."""
    with closing(sqlite3.connect(directory / "index.sqlite")) as index:
        state = dict(index.execute("SELECT name, value FROM state").fetchall())
        extents = index.execute("SELECT object, number, bytes FROM extents").fetchall()
        blocks = index.execute("SELECT object, idx, stored FROM blocks").fetchall()
        digests = dict(index.execute("SELECT id, hex(digest) FROM objects").fetchall())
        (intents,) = index.execute("SELECT count(*) FROM intents").fetchone()
        (answer,) = index.execute("PRAGMA integrity_check").fetchone()
    assert answer == "ok"
    assert state["used"] == sum(size for _, _, size in extents)
    assert state["residents"] == sum(size > 0 for _, _, size in extents)
    assert state["ghosts"] == sum(size == 0 for _, _, size in extents)
    recounted: Counter[tuple[int, int]] = Counter()
    for number, index_, stored_bytes in blocks:
        recounted[number, index_ // EXTENT_BLOCKS] += allocated(stored_bytes)
    assert dict(recounted) == {(o, n): size for o, n, size in extents if size}
    files = [path for path in directory.glob("objects/*/*") if path.is_file()]
    used = sum(path.stat().st_blocks * 512 for path in files)
    if not intents:
        assert {p.stem for p in files} <= {digests[number].lower() for number, _ in recounted}
        assert used <= state["used"] + _METADATA_BYTES * len(files)
    return Audit(state["used"], len(blocks), intents, used, len(files))
