"""The tiers together, over a source that counts: each byte right, each block fetched once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion, Origin
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.open import DiskSettings, open_disk_tier
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.memory.lru import MemoryCache
from tests.support.tiers import request
from tests.unit.cache.source import Source, content

NOTHING = range(0)


def version(key: str = "a", blocks: float = 4, etag: str = "1") -> ObjectVersion:
    return ObjectVersion("test://", key, etag, int(blocks * BLOCK_BYTES))


def open_tier(directory: Path, capacity: int = 1 << 30, eviction: str = "lru") -> DiskTier:
    settings = DiskSettings(capacity, 0, eviction=eviction, recompress=False, threads=2)
    return open_disk_tier(str(directory), "test://", settings)


@asynccontextmanager
async def serving(
    source: Source, disk: DiskTier | None = None, *, memory_blocks: int = 64, downloads: int = 8
) -> AsyncIterator[TieredCache]:
    memory = MemoryCache(memory_blocks * BLOCK_BYTES)
    cache = TieredCache(source.fetch, memory, [disk] if disk else [], max_downloads=downloads)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.serve)
        yield cache
        if disk is not None:
            await cache.drain()
        nursery.cancel_scope.cancel()
    await cache.aclose()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(20):
            await test()

    trio.run(bounded)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 1), (0, BLOCK_BYTES), (BLOCK_BYTES - 1, 2), (5, 3 * BLOCK_BYTES), (3 * BLOCK_BYTES, 77)],
)
def test_read_returns_the_bytes(offset: int, size: int) -> None:
    async def test() -> None:
        source, wanted = Source(), version()
        async with serving(source) as cache:
            cached = await cache.open(wanted)
            data = bytes(await cache.read(cached, offset, size))
            assert data == content(wanted, offset, offset + size)

    run(test)


def test_many_readers_of_one_block_make_one_request() -> None:
    async def test() -> None:
        source, wanted = Source(gate=trio.Event()), version(blocks=1)
        async with serving(source) as cache:
            cached = await cache.open(wanted)
            answers: list[bytes] = []

            async def reader(offset: int) -> None:
                answers.append(bytes(await cache.read(cached, offset, 100)))

            async with trio.open_nursery() as readers:
                for i in range(50):
                    readers.start_soon(reader, i * 100)
                await trio.testing.wait_all_tasks_blocked()
                assert source.gate is not None
                source.gate.set()
        assert len(source.requests) == 1
        assert sorted(answers) == sorted(content(wanted, i, i + 100) for i in range(0, 5000, 100))

    run(test)


def test_demand_and_ahead_share_one_request() -> None:
    async def test() -> None:
        source, wanted = Source(), version(blocks=8)
        async with serving(source) as cache:
            cached = await cache.open(wanted)
            request(cache, cached, range(0, 1), range(0, 8), 8)
            await cache.read(cached, 7 * BLOCK_BYTES, 10)
        assert source.requests == [("a", 0, 8 * BLOCK_BYTES)]

    run(test)


def test_first_bytes_are_answered_before_the_request_ends() -> None:
    async def test() -> None:
        source, wanted = Source(chunk_bytes=64 << 10), version(blocks=8)
        released = trio.Event()
        plain = source.fetch

        async def stalling(v: ObjectVersion, start: int, stop: int, sink: object) -> None:
            await plain(v, start, start + 200_000, sink)  # type: ignore[arg-type]
            await released.wait()
            await plain(v, start + 200_000, stop, sink)  # type: ignore[arg-type]

        memory = MemoryCache(64 * BLOCK_BYTES)
        cache = TieredCache(stalling, memory, [], max_downloads=4)
        async with trio.open_nursery() as nursery:
            await nursery.start(cache.serve)
            cached = await cache.open(wanted)
            request(cache, cached, range(0, 1), range(0, 8), 8)
            assert bytes(await cache.read(cached, 1000, 9000)) == content(wanted, 1000, 10_000)
            await cache.read(cached, 0, 200_000)
            assert cache.read_nowait(cached, 0, 200_000) is not None
            assert cache.read_nowait(cached, 0, 200_001) is None
            released.set()
            await cache.read(cached, 0, 300_000)
            nursery.cancel_scope.cancel()

    run(test)


def test_waiting_reader_goes_before_prefetch() -> None:
    async def test() -> None:
        source = Source(gate=trio.Event())
        big, small = version("big", 40), version("small", 1)
        async with serving(source, downloads=3) as cache:
            streamed, wanted = await cache.open(big), await cache.open(small)
            request(cache, streamed, NOTHING, range(40), 2)
            request(cache, wanted, range(1), NOTHING, 1)
            request(cache, streamed, range(30, 31), NOTHING, 1)
            await trio.testing.wait_all_tasks_blocked()
            assert source.gate is not None
            started = sorted((key, start // BLOCK_BYTES) for key, start, _ in source.requests)
            # One slot of three for prefetch, the two others kept for readers that wait.
            assert started == [("big", 0), ("big", 30), ("small", 0)]
            source.gate.set()
            assert bytes(await cache.read(wanted, 0, 10)) == content(small, 0, 10)

    run(test)


def test_memory_never_exceeds_its_budget_and_every_byte_is_right() -> None:
    async def test() -> None:
        source, wanted = Source(), version(blocks=200)
        async with serving(source, memory_blocks=64) as cache:
            cached = await cache.open(wanted)
            for index in range(200):
                ahead = range(index, min(200, index + 100))
                request(cache, cached, range(index, index + 1), ahead, 8)
                data = await cache.read(cached, index * BLOCK_BYTES, BLOCK_BYTES)
                assert data == content(wanted, index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
                assert cache.statistics().memory.used_bytes <= 64 * BLOCK_BYTES
        assert source.fetched_bytes() == wanted.size

    run(test)


def test_readers_of_two_blocks_do_not_starve_each_other() -> None:
    async def test() -> None:
        source, wanted = Source(), version(blocks=400)
        async with serving(source, memory_blocks=64) as cache:
            cached = await cache.open(wanted)

            async def straddle(index: int) -> None:
                offset = (index + 1) * BLOCK_BYTES - 50
                data = await cache.read(cached, offset, 100)
                assert bytes(data) == content(wanted, offset, offset + 100)

            async with trio.open_nursery() as readers:
                for index in range(0, 399, 2):
                    readers.start_soon(straddle, index)

    run(test)


def test_a_failed_fetch_fails_its_readers_and_is_asked_again() -> None:
    async def test() -> None:
        source, wanted = Source(), version(blocks=2)
        source.fault = lambda _v, _a, _b: (BLOCK_BYTES + 10, ConnectionError("reset"))
        async with serving(source) as cache:
            cached = await cache.open(wanted)
            request(cache, cached, range(0, 2), NOTHING, 2)
            with pytest.raises(ConnectionError):
                await cache.read(cached, BLOCK_BYTES + 100, 10)
            source.fault = None
            assert bytes(await cache.read(cached, 0, 10)) == content(wanted, 0, 10)
            stop = BLOCK_BYTES + 110
            data = bytes(await cache.read(cached, BLOCK_BYTES + 100, 10))
            assert data == content(wanted, BLOCK_BYTES + 100, stop)
        # The first block had come whole before the failure: only the second is fetched again.
        assert source.requests[1:] == [("a", BLOCK_BYTES, 2 * BLOCK_BYTES)]

    run(test)


def test_disk_tier_serves_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        wanted = version(blocks=9.3)
        first = Source()
        async with serving(first, open_tier(tmp_path)) as cache:
            cached = await cache.open(wanted)
            await cache.read(cached, 0, wanted.size)
        second = Source()
        async with serving(second, open_tier(tmp_path)) as cache:
            cached = await cache.open(wanted)
            assert await cache.admin.local_bytes([wanted]) == [wanted.size]
            assert bytes(await cache.read(cached, 0, wanted.size)) == content(
                wanted, 0, wanted.size
            )
            sources = cache.statistics().sources
            assert (sources.disk_bytes, sources.store_bytes) == (wanted.size, 0)
        assert second.requests == []

    run(test)


def test_another_version_of_the_key_is_another_object(tmp_path: Path) -> None:
    async def test() -> None:
        old, new = version(etag="old"), version(etag="new")
        async with serving(Source(), open_tier(tmp_path)) as cache:
            await cache.read(await cache.open(old), 0, old.size)
        async with serving(Source(), open_tier(tmp_path)) as cache:
            data = await cache.read(await cache.open(new), 0, new.size)
            assert bytes(data) == content(new, 0, new.size)

    run(test)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_block_is_a_miss(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        wanted = version(blocks=3)
        async with serving(Source(), open_tier(tmp_path)) as cache:
            await cache.read(await cache.open(wanted), 0, wanted.size)
        (data_path,) = tmp_path.rglob("*.raw")
        if damage == "flip":
            with data_path.open("r+b") as file:
                file.seek(BLOCK_BYTES + 500)
                byte = file.read(1)
                file.seek(BLOCK_BYTES + 500)
                file.write(bytes([byte[0] ^ 1]))
        elif damage == "truncate":
            os.truncate(data_path, BLOCK_BYTES + 4096)
        else:
            data_path.unlink()
        source = Source()
        async with serving(source, open_tier(tmp_path)) as cache:
            data = await cache.read(await cache.open(wanted), 0, wanted.size)
            assert bytes(data) == content(wanted, 0, wanted.size)
        fetched = {start // BLOCK_BYTES for _, start, _ in source.requests}
        assert fetched == {"flip": {1}, "truncate": {1, 2}, "remove": {0, 1, 2}}[damage]

    run(test)
    assert all("corrupt" in record.message for record in caplog.records)


def test_disk_capacity_holds_and_evicted_blocks_come_back(tmp_path: Path) -> None:
    async def test() -> None:
        source = Source()
        objects = [version(f"k{i}", 4) for i in range(12)]
        async with serving(source, open_tier(tmp_path, 20 * BLOCK_BYTES)) as cache:
            for wanted in objects:
                cached = await cache.open(wanted)
                await cache.read(cached, 0, wanted.size)
                cache.release(cached)
                await cache.drain()
                disk = cache.statistics().disks[0]
                assert disk.used_bytes <= 20 * BLOCK_BYTES
            assert disk.evictions == 7
            allocated = sum(p.stat().st_blocks * 512 for p in tmp_path.rglob("*.raw"))
            assert allocated <= 20 * BLOCK_BYTES
            cached = await cache.open(objects[0])
            data = await cache.read(cached, 0, cached.version.size)
            assert bytes(data) == content(objects[0], 0, cached.version.size)

    run(test)


def test_an_object_larger_than_the_disk_limit_keeps_some_extents(tmp_path: Path) -> None:
    async def test() -> None:
        source, wanted = Source(), version(blocks=200)
        async with serving(source, open_tier(tmp_path, 140 * BLOCK_BYTES)) as cache:
            cached = await cache.open(wanted)
            for index in range(200):
                await cache.read(cached, index * BLOCK_BYTES, BLOCK_BYTES)
                await cache.drain()
            assert cache.statistics().disks[0].used_bytes <= 140 * BLOCK_BYTES
            assert any(cached.in_tier(index) for index in range(200))
            for index in range(200):
                start = index * BLOCK_BYTES
                data = await cache.read(cached, start, 4096)
                assert bytes(data) == content(wanted, start, start + 4096)

    run(test)


def test_a_disk_that_errors_is_bypassed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        wanted = version(blocks=6)
        tier = open_tier(tmp_path)
        (objects,) = tmp_path.rglob("objects")
        objects.rmdir()
        objects.write_bytes(b"a file where the directory was")
        async with serving(Source(), tier) as cache:
            cached = await cache.open(wanted)
            for index in range(6):
                await cache.read(cached, index * BLOCK_BYTES, 100)
                await cache.drain()
            disk = cache.statistics().disks[0]
            assert disk.state == "bypassed"
            assert disk.errors >= 3
            assert disk.writes == 0

    run(test)
    assert [r.levelname for r in caplog.records if "cache directory" in r.message] == ["WARNING"]


def test_open_blocks_are_promoted_out_of_a_queued_prefetch() -> None:
    async def test() -> None:
        source = Source(gate=trio.Event())
        wanted = version(blocks=32)
        async with serving(source, downloads=2) as cache:
            cached = await cache.open(wanted)
            request(cache, cached, NOTHING, range(32), 8)
            request(cache, cached, range(20, 21), NOTHING, 1)
            await trio.testing.wait_all_tasks_blocked()
            assert {start // BLOCK_BYTES for _, start, _ in source.requests} == {0, 20}
            assert source.gate is not None
            source.gate.set()
            start = 20 * BLOCK_BYTES
            assert bytes(await cache.read(cached, start, 9)) == content(wanted, start, start + 9)
            assert cached.get(20).origin is Origin.STORE

    run(test)


def test_closing_the_last_handle_withdraws_queued_prefetch() -> None:
    async def test() -> None:
        source = Source(gate=trio.Event())
        async with serving(source, downloads=1) as cache:
            cached = await cache.open(version(blocks=32))
            request(cache, cached, NOTHING, range(32), 8)
            cache.release(cached)
            assert cache.statistics().prefetch.queued == 0
            assert {block.index for block in cached} == set(range(8))
            assert source.gate is not None
            source.gate.set()

    run(test)


@pytest.mark.parametrize(
    ("demand", "ahead"),
    [(NOTHING, range(8)), (range(2, 3), range(8)), (range(7, 8), range(8)), (range(8), NOTHING)],
)
def test_a_reader_is_served_when_memory_is_full_of_unread_read_ahead(
    demand: range, ahead: range
) -> None:
    async def test() -> None:
        hoarded, wanted = version("hoarded", 64), version("wanted", 8)
        async with serving(Source(), memory_blocks=64, downloads=8) as cache:
            hoard = await cache.open(hoarded)
            request(cache, hoard, NOTHING, range(64), 8)
            await trio.testing.wait_all_tasks_blocked(0.05)
            cached = await cache.open(wanted)
            request(cache, cached, demand, ahead, 8)
            for index in demand or (5, 0):
                start = index * BLOCK_BYTES
                data = await cache.read(cached, start, 100)
                assert bytes(data) == content(wanted, start, start + 100)

    run(test)
