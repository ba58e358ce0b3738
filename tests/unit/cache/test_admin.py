"""Commands for the cache of a mount: warm up, look, pin, evict."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from cloudfs_cache.api import (
    BLOCK_BYTES,
    DiskStatistics,
    DiskUnusableError,
    KeyRange,
    ObjectVersion,
    Placement,
)
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.index.rows import Intent
from cloudfs_cache.disk.io import files
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.memory.lru import MemoryCache
from tests.support.tiers import (
    audit,
    eventually,
    job,
    open_tier,
    opened_store,
    read_all,
    request,
    serving,
    store_of,
    stored,
    version,
)
from tests.unit.cache.source import Source

A = [KeyRange("a", subtree=True)]


@contextmanager
def taking_no_writes(tier: DiskTier) -> Iterator[None]:
    """A disk that can only be read for a while."""
    tier._executor.health.failed(errno.EROFS, "read-only")
    try:
        yield
    finally:
        tier._executor.recovered()


async def read_unwritten(cache: TieredCache, tier: DiskTier, wanted: ObjectVersion) -> None:
    """Read an object that is then in memory and not on the disk."""
    with taking_no_writes(tier):
        await read_all(cache, wanted)
        # The last bytes are read before their run has ended, and only then the block is given up.
        await eventually(lambda: not cache._scheduler.active, 10)


@contextmanager
def holding_writes(*, failing: int = 0) -> Iterator[Callable[[], None]]:
    """Writes wait until the function is called, or the context ends; then the first ones fail."""
    go_on, numbers = threading.Event(), itertools.count()
    genuine = files.write_blocks

    def late(*arguments: object) -> None:
        number = next(numbers)
        assert go_on.wait(10)
        if number < failing:
            raise OSError(errno.EIO, "bad")
        genuine(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "write_blocks", late)
        try:
            yield go_on.set
        finally:
            go_on.set()


def announce(tier: DiskTier, wanted: ObjectVersion) -> Intent:
    """What another mount does first when it writes all blocks of a version."""
    whole, digest = range(wanted.block_count), bytes.fromhex(wanted.digest())
    index = store_of(tier).index
    intent = index.reserve(wanted, digest, whole, wanted.size, pinned=False, fits=lambda _now: True)
    assert isinstance(intent, Intent)
    return intent


def empty_memory(cache: TieredCache) -> None:
    """What other readers bring about who need the buffers."""
    for cached in cache._registry:
        for block in cached:
            cache._memory.discard(block)


@asynccontextmanager
async def memory_short(cache: TieredCache) -> AsyncIterator[None]:
    """Memory keeps nothing that nobody uses."""

    async def keep_empty() -> None:
        while True:
            empty_memory(cache)
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_empty)
        yield
        nursery.cancel_scope.cancel()


def disk_of(cache: TieredCache) -> DiskStatistics:
    (disk,) = cache.statistics().disks
    return disk


def test_warming_puts_what_is_missing_on_the_disk_once(tmp_path: Path) -> None:
    wanted = version("a/x", 70)

    async def test() -> None:
        source = Source()
        async with serving(source, open_tier(tmp_path)) as cache:
            noted: list[int] = []
            await cache.admin.warm(wanted, report=noted.append)
            assert sum(noted) == wanted.size
            assert await cache.admin.local_bytes([wanted, version("b")]) == [wanted.size, 0]
            before = source.fetched_bytes()
            await cache.admin.warm(wanted, report=noted.append)
            await read_all(cache, wanted)
            assert (source.fetched_bytes(), sum(noted)) == (before, wanted.size)
            assert before == wanted.size
            sources = cache.statistics().sources
            local_bytes = sources.memory_bytes + sources.disk_bytes
            assert (sources.store_bytes, local_bytes) == (0, wanted.size)
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
                await cache.admin.warm(wanted)
            source.fault = None
            await cache.admin.warm(wanted)
            assert await cache.admin.local_bytes([wanted]) == [wanted.size]

    trio.run(test)


def test_warming_what_does_not_fit_ends(tmp_path: Path) -> None:
    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path, capacity_bytes=8 * BLOCK_BYTES)
        async with serving(source, tier) as cache:
            await cache.admin.pin(A)
            async with memory_short(cache):
                for number in range(4):
                    await cache.admin.warm(version(f"a/{number}", 3))
            on_disk = await cache._tiers[0].local_blocks([version(f"a/{n}", 3) for n in range(4)])
            assert sum(map(len, on_disk)) <= 8
            assert len(on_disk[0]) == 3
            assert disk_of(cache).rejected > 0
        assert source.fetched_bytes() == 4 * 3 * BLOCK_BYTES, "what has no room is fetched once"

    trio.run(test)


def test_what_has_made_room_meanwhile_is_not_fetched_again(tmp_path: Path) -> None:
    wanted = version("a/x", 16)

    async def test() -> None:
        gate = trio.Event()
        source = Source(gate=gate)
        async with serving(source, open_tier(tmp_path)) as cache:
            cached = await cache.open(wanted)
            request(cache, cached, range(8, 16), range(0), 8)
            await eventually(lambda: source.active > 0, 10)
            source.gate = None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cache.admin.warm, wanted)
                await eventually(lambda: all(map(cached.in_tier, range(8))), 10)
                await cache.admin.evict(A)
                gate.set()
            cache.release(cached)
            assert [cached.in_tier(index) for index in range(16)] == [False] * 8 + [True] * 8
        assert source.fetched_bytes() == wanted.size

    trio.run(test)


def test_warming_onto_a_disk_that_takes_nothing_fetches_nothing_twice(tmp_path: Path) -> None:
    wanted = version("a/x", 40)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path)
        async with serving(source, tier) as cache:
            with taking_no_writes(tier):
                async with memory_short(cache):
                    await cache.admin.warm(wanted)
        assert source.fetched_bytes() == wanted.size

    trio.run(test)


def test_warming_onto_a_disk_that_fails_fetches_nothing_twice(tmp_path: Path) -> None:
    wanted = version("a/x", 5)

    async def test() -> None:
        source = Source()
        async with serving(source, open_tier(tmp_path)) as cache:
            with holding_writes(failing=100) as go_on:
                go_on()
                async with memory_short(cache):
                    await cache.admin.warm(wanted)
            assert disk_of(cache).errors > 0
        assert source.fetched_bytes() == wanted.size

    trio.run(test)


def test_what_memory_has_is_written_before_its_buffers_are_needed(tmp_path: Path) -> None:
    wanted = version("a/x", 40)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path)
        async with serving(source, tier) as cache:
            await read_unwritten(cache, tier, wanted)
            cached = await cache.open(wanted)
            for index in range(8, 40):
                cache._memory.discard(cached.get(index))
            cache.release(cached)
            source.gate = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cache.admin.warm, wanted)
                await eventually(lambda: source.active > 0, 10)
                empty_memory(cache)
                source.gate.set()
            assert await cache.admin.disk_bytes([wanted]) == [wanted.size]
        assert source.fetched_bytes() == wanted.size + 32 * BLOCK_BYTES

    trio.run(test)


def test_warming_what_memory_has_leaves_buffers_for_readers(tmp_path: Path) -> None:
    hoarded = [version(f"a/{number}", 15) for number in range(4)]

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path)
        async with serving(source, tier, memory_blocks=64) as cache:
            for wanted in hoarded:
                await read_unwritten(cache, tier, wanted)
            skipped = disk_of(cache).skipped
            with holding_writes() as go_on, trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    for wanted in hoarded:
                        nursery.start_soon(cache.admin.warm, wanted)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                    await read_all(cache, version("b", 8))
                    go_on()
            on_disk = await cache.admin.disk_bytes(hoarded)
            assert on_disk == [wanted.size for wanted in hoarded]
            assert disk_of(cache).skipped == skipped

    trio.run(test)


def test_warming_what_readers_fetch_leaves_buffers_for_others(tmp_path: Path) -> None:
    shared = [version(f"a/{number}", 16) for number in range(4)]

    async def test() -> None:
        source, tier = Source(gate=trio.Event()), open_tier(tmp_path)
        async with serving(source, tier, memory_blocks=64) as cache:
            for wanted in shared:
                request(cache, await cache.open(wanted), range(16), range(0), 8)
            with holding_writes() as go_on, trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    for wanted in shared:
                        nursery.start_soon(cache.admin.warm, wanted)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                    assert source.gate is not None
                    source.gate.set()
                    await eventually(lambda: not cache._scheduler.active, 10)
                    await read_all(cache, version("b", 8))
                    go_on()
            on_disk = await cache.admin.disk_bytes(shared)
            assert on_disk == [wanted.size for wanted in shared]

    trio.run(test)


def test_warming_what_memory_has_makes_room_whatever_has_to_go(tmp_path: Path) -> None:
    old, new = version("a/old", 6), version("a/new", 6)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path, capacity_bytes=8 * BLOCK_BYTES)
        async with serving(source, tier) as cache:
            await read_unwritten(cache, tier, old)
            await stored(cache, new)
            await cache.admin.warm(old)
            assert await cache.admin.disk_bytes([old]) == [old.size]
            assert disk_of(cache).rejected == 0
        assert source.fetched_bytes() == old.size + new.size

    trio.run(test)


def test_what_comes_for_a_reader_meanwhile_makes_room_too(tmp_path: Path) -> None:
    old, new = version("a/old", 6), version("a/new", 6)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path, capacity_bytes=8 * BLOCK_BYTES)
        async with serving(source, tier) as cache:
            await read_unwritten(cache, tier, old)
            empty_memory(cache)
            await stored(cache, new)
            source.gate = trio.Event()
            cached = await cache.open(old)
            request(cache, cached, range(0), range(6), 6)
            await eventually(lambda: source.active > 0, 10)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cache.admin.warm, old)
                await trio.testing.wait_all_tasks_blocked(0.05)
                source.gate.set()
            cache.release(cached)
            assert await cache.admin.disk_bytes([old]) == [old.size]
        assert source.fetched_bytes() == 2 * old.size + new.size

    trio.run(test)


def test_blocks_that_somebody_else_is_at_are_brought_again(tmp_path: Path) -> None:
    wanted = version("a/x", 5)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path)
        async with serving(source, tier) as cache:
            intent = announce(tier, wanted)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cache.admin.warm, wanted)
                await eventually(lambda: disk_of(cache).skipped >= 5, 10)
                # Once from memory, which has them still, and once from the store.
                await eventually(lambda: disk_of(cache).skipped >= 10, 10)
                assert source.fetched_bytes() == wanted.size
                empty_memory(cache)
                store_of(tier).finish(intent)
            assert await cache.admin.disk_bytes([wanted]) == [wanted.size]
        assert source.fetched_bytes() == 2 * wanted.size

    trio.run(test)


def test_blocks_that_somebody_else_has_written_are_not_fetched_again(tmp_path: Path) -> None:
    wanted = version("a/x", 5)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path)
        with opened_store(tmp_path) as other:
            async with serving(source, tier) as cache:
                intent = announce(tier, wanted)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cache.admin.warm, wanted)
                    await eventually(lambda: disk_of(cache).skipped >= 5, 10)
                    store_of(tier).finish(intent)
                    other.write(job(wanted))
                    empty_memory(cache)
                assert await cache.admin.disk_bytes([wanted]) == [wanted.size]
        assert source.fetched_bytes() == wanted.size

    trio.run(test)


def test_blocks_of_a_write_that_fails_are_brought_again(tmp_path: Path) -> None:
    wanted = version("a/x", 5)

    async def test() -> None:
        source, tier = Source(), open_tier(tmp_path)
        async with serving(source, tier) as cache:
            with holding_writes(failing=1) as go_on:
                await read_all(cache, wanted)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cache.admin.warm, wanted)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                    go_on()
            assert disk_of(cache).errors > 0
            assert await cache.admin.disk_bytes([wanted]) == [wanted.size]
        assert source.fetched_bytes() == wanted.size

    trio.run(test)


def test_what_a_disk_has_that_did_not_answer_at_first_is_not_fetched_again(tmp_path: Path) -> None:
    wanted = version("a/x", 5)

    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            await stored(cache, wanted)
        source, tier = Source(), open_tier(tmp_path)
        async with serving(source, tier) as cache:
            tier._executor.health.stalled("no answer")
            cached = await cache.open(wanted)
            tier._executor.recovered()
            await cache.admin.warm(wanted)
            assert cached.in_tier(4)
            cache.release(cached)
        assert source.requests == []

    trio.run(test)


def test_pins_and_evictions_of_a_range(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            objects = [version(key, 2) for key in ("a/x", "a/y", "b")]
            for wanted in objects:
                await stored(cache, wanted)
            await cache.admin.pin([KeyRange("a/y", subtree=False)])
            assert await cache.admin.evict(A) == 2 * BLOCK_BYTES
            on_disk = await cache._tiers[0].local_blocks(objects)
            assert [len(blocks) for blocks in on_disk] == [0, 2, 2]
            held = await cache.open(objects[0])
            assert not held.in_tier(0)
            assert cache.statistics().disks[0].evictions == 1
            await read_all(cache, objects[0])
        # Pins outlive the mount.
        async with serving(Source(), open_tier(tmp_path)) as cache:
            assert await cache.admin.pins() == [KeyRange("a/y", subtree=False)]

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
        cache = TieredCache(Source().fetch, MemoryCache(0), [], max_downloads=1)
        with pytest.raises(DiskUnusableError, match="no disk cache: mount it with"):
            await cache.admin.pin(A)
        assert await cache.admin.local_bytes([version()]) == [0]

    trio.run(test)
