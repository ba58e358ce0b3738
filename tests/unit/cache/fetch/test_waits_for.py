"""What a reader waits for, as people are told, and what is still on its way to the SSD."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from cloudfs_cache.api import BLOCK_BYTES, WaitsFor
from cloudfs_cache.memory.lru import MEMORY_LIMIT_MIN_BYTES
from tests.support.tiers import request
from tests.unit.cache.source import Source
from tests.unit.cache.test_cache import open_tier, run, serving, version


def test_an_answer_of_the_store_and_a_turn_for_one() -> None:
    async def test() -> None:
        source, wanted = Source(gate=trio.Event()), version(blocks=2)
        async with serving(source, downloads=1) as cache:
            cached = await cache.open(wanted)
            async with trio.open_nursery() as readers:
                for index in range(2):
                    readers.start_soon(cache.read, cached, index * BLOCK_BYTES, 10)
                await trio.testing.wait_all_tasks_blocked()
                assert cache.waits_for(cached, 0, 10) is WaitsFor.STORE
                assert cache.waits_for(cached, BLOCK_BYTES, 10) is WaitsFor.STORE
                assert source.gate is not None
                source.gate.set()
            assert cache.waits_for(cached, 0, 10) is WaitsFor.OTHER

    run(test)


def test_a_free_buffer() -> None:
    async def test() -> None:
        blocks = MEMORY_LIMIT_MIN_BYTES // BLOCK_BYTES
        source, wanted = Source(gate=trio.Event()), version(blocks=blocks + 1)
        async with serving(source, downloads=blocks * 2) as cache:
            cached = await cache.open(wanted)
            async with trio.open_nursery() as readers:
                for index in range(blocks + 1):
                    readers.start_soon(cache.read, cached, index * BLOCK_BYTES, 10)
                await trio.testing.wait_all_tasks_blocked()
                waits = [cache.waits_for(cached, n * BLOCK_BYTES, 10) for n in range(blocks + 1)]
                assert waits.count(WaitsFor.STORE) == blocks
                assert waits.count(WaitsFor.MEMORY) == 1
                assert source.gate is not None
                source.gate.set()

    run(test)


def test_the_disk(tmp_path: Path) -> None:
    async def test() -> None:
        wanted = version(blocks=4)
        async with serving(Source(), open_tier(tmp_path)) as cache:
            cached = await cache.open(wanted)
            for index in range(4):
                await cache.read(cached, index * BLOCK_BYTES, BLOCK_BYTES)
            waiting = cache.statistics().populate
            assert waiting.waiting_bytes == waiting.waiting_blocks * BLOCK_BYTES > 0
            await cache.drain()
            assert cache.statistics().populate.waiting_bytes == 0
        async with serving(Source(), open_tier(tmp_path)) as cache:
            cached = await cache.open(wanted)
            assert cache.waits_for(cached, 0, 10) is WaitsFor.DISK
            request(cache, cached, range(1), range(0), 1)
            assert cache.waits_for(cached, 0, 10) is WaitsFor.DISK
            await cache.read(cached, 0, 10)

    run(test)
