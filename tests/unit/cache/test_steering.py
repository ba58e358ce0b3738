"""Commands for the cache of a mount: warm up, look, pin, evict."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES, DiskUnusableError, KeyRange, Placement
from cloudfs_cache.memory import MemoryTier
from cloudfs_cache.tiered import TieredCache
from tests.support.tiers import audit, open_tier, read_all, serving, stored, version
from tests.unit.cache.source import Source

A = [KeyRange("a", subtree=True)]


def test_warming_puts_what_is_missing_on_the_disk_once(tmp_path: Path) -> None:
    wanted = version("a/x", 70)

    async def test() -> None:
        source = Source()
        async with serving(source, open_tier(tmp_path)) as cache:
            noted: list[int] = []
            await cache.steering.warm(wanted, note=noted.append)
            assert sum(noted) == wanted.size
            assert await cache.steering.local_bytes([wanted, version("b")]) == [wanted.size, 0]
            before = source.fetched_bytes()
            await cache.steering.warm(wanted, note=noted.append)
            await read_all(cache, wanted)
            assert (source.fetched_bytes(), sum(noted)) == (before, wanted.size)
            assert before == wanted.size
            memory = cache.statistics().memory
            assert memory.used_bytes == memory.blocks * BLOCK_BYTES
        assert audit(tmp_path).blocks == 70

    trio.run(test)


def test_warming_raises_what_the_store_raised_and_goes_on_later(tmp_path: Path) -> None:
    wanted = version("a/x", 40)

    async def test() -> None:
        source = Source()
        source.fault = lambda _v, start, _stop: (
            (0, ConnectionError("reset")) if start >= 30 * BLOCK_BYTES else None
        )
        async with serving(source, open_tier(tmp_path)) as cache:
            with pytest.raises(ConnectionError):
                await cache.steering.warm(wanted)
            source.fault = None
            await cache.steering.warm(wanted)
            assert await cache.steering.local_bytes([wanted]) == [wanted.size]

    trio.run(test)


def test_warming_what_does_not_fit_ends(tmp_path: Path) -> None:
    async def test() -> None:
        tier = open_tier(tmp_path, capacity_bytes=8 * BLOCK_BYTES)
        async with serving(Source(), tier) as cache:
            await cache.steering.pin(A)
            for number in range(4):
                await cache.steering.warm(version(f"a/{number}", 3))
            on_disk = await cache._disk.local_blocks([version(f"a/{n}", 3) for n in range(4)])
            assert sum(map(len, on_disk)) <= 8
            assert len(on_disk[0]) == 3
            assert cache.statistics().disks[0].rejected > 0

    trio.run(test)


def test_pins_and_evictions_of_a_range(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            objects = [version(key, 2) for key in ("a/x", "a/y", "b")]
            for wanted in objects:
                await stored(cache, wanted)
            await cache.steering.pin([KeyRange("a/y", subtree=False)])
            assert await cache.steering.evict(A) == 2 * BLOCK_BYTES
            on_disk = await cache._disk.local_blocks(objects)
            assert [len(blocks) for blocks in on_disk] == [0, 2, 2]
            held = await cache.open(objects[0])
            assert not held.on_disk(0)
            assert cache.statistics().disks[0].evictions == 1
            await read_all(cache, objects[0])
        # Pins outlive the mount.
        async with serving(Source(), open_tier(tmp_path)) as cache:
            assert await cache.steering.pins() == [KeyRange("a/y", subtree=False)]

    trio.run(test)


def test_what_is_not_to_be_kept_is_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            cached = await cache.open(version(), Placement(keep_on_disk=False))
            await cache.read(cached, 0, 3 * BLOCK_BYTES)
            await cache.drain()
            assert cache.statistics().disks[0].used_bytes == 0

    trio.run(test)


def test_without_a_disk_commands_say_so() -> None:
    async def test() -> None:
        cache = TieredCache(Source().fetch, MemoryTier(0), None, max_downloads=1)
        with pytest.raises(DiskUnusableError, match="no disk cache: mount it with"):
            await cache.steering.pin(A)
        assert await cache.steering.local_bytes([version()]) == [0]

    trio.run(test)
