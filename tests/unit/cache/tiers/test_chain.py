"""A chain of tiers: the nearest that has a block serves it, and those that it passed get it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import (
    BLOCK_BYTES,
    DiskStatistics,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Origin,
    Placement,
    VerifyProgress,
    VerifyReport,
)
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.api import BlockMemory, Presence, ReadResult, Tier, WriteCounts
from tests.support.tiers import open_tier, read_all, version
from tests.unit.cache.source import Source, content


class RemoteEntry:
    """An object version on a tier that does not know what it has before it is asked."""

    readable = writable = True
    empty = False

    def __init__(self, tier: RemoteTier, found: ObjectVersion) -> None:
        self.version = found
        self.origin = tier.origin
        self._tier = tier

    def has(self, index: int) -> Presence:
        return self._tier.presence(self.version, index)

    async def refresh(self) -> None: ...

    async def recheck(self) -> None: ...

    async def read(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[int], None]
    ) -> list[ReadResult]:
        await trio.lowlevel.checkpoint()
        results = []
        for block in blocks:
            self._tier.asked.append(block.index)
            data = self._tier.blocks.get((self.version, block.index))
            if data is not None:
                block.view[: block.length] = data
            results.append(ReadResult.ABSENT if data is None else ReadResult.SOUND)
        return results

    async def read_range(self, index: int, start: int, stop: int) -> bytes | None:
        return None

    async def write(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[], None], *, forced: bool
    ) -> None:
        for block in blocks:
            key = (self.version, block.index)
            self._tier.blocks[key] = bytes(block.view[: block.length])
        on_released()

    def write_counts(self) -> WriteCounts:
        return WriteCounts(accepting=True, rejected=0, evictions=0, errors=0)

    def opened(self) -> None: ...

    def accessed(self, index: int, size_bytes: int, *, resident: bool) -> None:
        if resident:
            self._tier.served_bytes += size_bytes

    def missed(self) -> None:
        self._tier.missed += 1

    def skipped(self, blocks: int) -> None: ...


class RemoteTier:
    """Blocks in a dictionary, behind the question whether they are there.

    Its origin is the store's, as the enumeration has no remote tier yet: it shares the lane.
    """

    origin = Origin.STORE

    def __init__(self, presence: Presence = Presence.MAYBE) -> None:
        self.blocks: dict[tuple[ObjectVersion, int], bytes] = {}
        self.asked: list[int] = []
        self.missed = self.served_bytes = 0
        self.admin = self
        self._presence = presence

    def presence(self, found: ObjectVersion, index: int) -> Presence:
        return Presence.PRESENT if (found, index) in self.blocks else self._presence

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()

    async def open(self, found: ObjectVersion, placement: Placement) -> RemoteEntry:
        return RemoteEntry(self, found)

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        return [{index for found, index in self.blocks if found == one} for one in versions]

    def statistics(self) -> tuple[DiskStatistics, ...]:
        return ()

    async def aclose(self) -> None: ...

    async def pin(self, ranges: Sequence[KeyRange]) -> None: ...

    async def unpin(self, ranges: Sequence[KeyRange]) -> None: ...

    async def pins(self) -> list[KeyRange]:
        return []

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        freed = sum(map(len, self.blocks.values()))
        self.blocks.clear()
        return freed

    async def verify(self, report: Callable[[VerifyProgress], None]) -> VerifyReport:
        return VerifyReport(len(self.blocks), 0, 0, 0, 0)

    async def usage(self) -> list[DiskUsage]:
        return []


@asynccontextmanager
async def serving(source: Source, tiers: Sequence[Tier]) -> AsyncIterator[TieredCache]:
    memory = MemoryCache(64 * BLOCK_BYTES)
    cache = TieredCache(source.fetch, memory, tiers, max_downloads=8)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.serve)
        yield cache
        await cache.drain()
        nursery.cancel_scope.cancel()
    await cache.aclose()


def test_a_block_that_may_be_there_comes_from_the_store_when_it_is_not(tmp_path: Path) -> None:
    wanted, remote, source = version(blocks=3.5), RemoteTier(), Source()

    async def test() -> None:
        async with serving(source, [open_tier(tmp_path), remote]) as cache:
            await read_all(cache, wanted)
            await cache.drain()
            assert source.fetched_bytes() == wanted.size
            assert sorted(remote.asked) == [0, 1, 2, 3]
            assert remote.missed == 4
            assert await cache.admin.disk_bytes([wanted]) == [wanted.size]

    trio.run(test)
    assert {index for _, index in remote.blocks} == {0, 1, 2, 3}


def test_a_block_of_a_lower_tier_is_copied_to_those_above_it(tmp_path: Path) -> None:
    wanted, remote, source = version(blocks=2), RemoteTier(), Source()
    for index in range(2):
        start = index * BLOCK_BYTES
        remote.blocks[wanted, index] = content(wanted, start, start + BLOCK_BYTES)

    async def test() -> None:
        async with serving(source, [open_tier(tmp_path), remote]) as cache:
            await read_all(cache, wanted)
        async with serving(source, [open_tier(tmp_path)]) as cache:
            await read_all(cache, wanted)
            assert cache.statistics().sources.disk_bytes == wanted.size

    trio.run(test)
    assert source.requests == []
    assert remote.served_bytes == wanted.size
    assert remote.missed == 0


@pytest.mark.parametrize("is_nearest", [True, False])
def test_the_nearest_tier_serves(is_nearest: bool) -> None:
    wanted, near, far = version(blocks=1), RemoteTier(Presence.ABSENT), RemoteTier()
    for tier in (near, far) if is_nearest else (far,):
        tier.blocks[wanted, 0] = content(wanted, 0, BLOCK_BYTES)

    async def test() -> None:
        async with serving(Source(), [near, far]) as cache:
            await read_all(cache, wanted)

    trio.run(test)
    assert (near.asked, far.asked) == (([0], []) if is_nearest else ([], [0]))
    assert near.blocks.keys() == far.blocks.keys()


def test_commands_reach_all_tiers(tmp_path: Path) -> None:
    wanted, remote = version(blocks=2), RemoteTier()

    async def test() -> None:
        async with serving(Source(), [open_tier(tmp_path), remote]) as cache:
            await read_all(cache, wanted)
            await cache.drain()
            freed = await cache.admin.evict([KeyRange("", subtree=True)])
            assert freed == 2 * wanted.size
            assert await cache.admin.disk_bytes([wanted]) == [0]

    trio.run(test)
