"""Contents of open files, over a real cache and a scripted store."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from cloudfs.vfs.content import Content, ObjectContents
from cloudfs_backends.errors import ObjectChangedError
from cloudfs_cache.api import (
    BLOCK_BYTES,
    DEFAULT_PLACEMENT,
    ChunkSink,
    ObjectVersion,
    Placement,
    WaitsFor,
)
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.memory.lru import MemoryCache
from tests.contract.in_trio import in_trio
from tests.support.memory_store import MemoryStore

DATA = random.Random(3).randbytes(9 * BLOCK_BYTES + 1234)
SIZE = len(DATA)


@dataclass
class Opened:
    store: MemoryStore
    cache: TieredCache
    contents: ObjectContents
    placed: list[str]

    async def open(self, key: str) -> Content:
        info = await self.store.head(key)
        version = ObjectVersion(self.store.identity, key, info.etag, info.size)
        return await self.contents.open(version)


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    store = MemoryStore()
    store.put("large", DATA)
    store.put("empty", b"")

    async def fetch(version: ObjectVersion, start: int, stop: int, sink: ChunkSink) -> None:
        await store.get_range(version.key, start, stop, etag=version.etag, sink=sink)

    placed: list[str] = []

    def placement_of(key: str) -> Placement:
        placed.append(key)
        return DEFAULT_PLACEMENT

    cache = TieredCache(fetch, MemoryCache(64 * BLOCK_BYTES), [], max_downloads=8)
    contents = ObjectContents(cache, read_ahead_bytes=64 << 20, placement_of=placement_of)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.serve)
        yield Opened(store, cache, contents, placed)
        nursery.cancel_scope.cancel()
    await cache.aclose()


async def read(content: Content, offset: int, size: int) -> bytes:
    """Read as a READ of the kernel does."""
    data = content.read_nowait(offset, size)
    return bytes(await content.read(offset, size) if data is None else data)


@in_trio
async def test_reads_are_those_of_the_object_and_short_at_its_end() -> None:
    async with opened() as mount:
        content = await mount.open("large")
        assert content.size == SIZE
        rng = random.Random(4)
        for _ in range(200):
            offset, size = rng.randrange(SIZE + 1000), rng.randrange(1, 2 * BLOCK_BYTES)
            assert await read(content, offset, size) == DATA[offset : offset + size]
        content.close()
        assert mount.placed == ["large"]


@in_trio
async def test_memory_answers_at_once_and_read_ahead_fetches_what_comes_next() -> None:
    async with opened() as mount:
        content = await mount.open("large")
        assert content.read_nowait(0, 1000) is None
        assert content.waits_for(0, 1000) is WaitsFor.STORE
        assert bytes(await content.read(0, 1000)) == DATA[:1000]
        assert content.read_nowait(500, 500) == DATA[500:1000]
        assert mount.cache.statistics().prefetch.issued_bytes > 0
        content.close()


@in_trio
async def test_an_empty_object_is_read_without_the_cache() -> None:
    async with opened() as mount:
        content = await mount.open("empty")
        assert (content.size, content.read_nowait(0, 4096)) == (0, b"")
        assert await content.read(0, 4096) == b""
        assert content.waits_for(0, 4096) is WaitsFor.OTHER
        content.close()
        assert mount.placed == []


@in_trio
async def test_an_overwritten_object_is_never_read_as_the_old_one() -> None:
    async with opened() as mount:
        content = await mount.open("large")
        mount.store.put("large", DATA[::-1])
        assert content.read_nowait(0, 100) is None
        with pytest.raises(ObjectChangedError):
            await content.read(0, 100)
        content.close()
