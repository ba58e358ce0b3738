"""One disk as a tier: hangs cost a wait and no buffer, failures are told and got over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.io import files
from cloudfs_cache.disk.tier import DiskTier
from tests.support.tiers import (
    SHORT_TIMEOUTS,
    audit,
    eventually,
    open_tier,
    read_all,
    read_range,
    serving,
    store_of,
    stored,
    version,
)
from tests.unit.cache.source import Source, content


@contextmanager
def hanging(call: str) -> Iterator[None]:
    """A call of disk_io that does not return before the end of the context."""
    go_on = threading.Event()
    genuine = getattr(files, call)

    def late(*arguments: object) -> object:
        assert go_on.wait(30)
        return genuine(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, call, late)
        try:
            yield
        finally:
            go_on.set()


async def nothing_lost(cache: TieredCache, tier: DiskTier) -> None:
    """Every buffer that is out belongs to a block in memory."""
    await tier._executor.wait_idle()
    await cache.drain()
    memory = cache.statistics().memory
    assert memory.used_bytes == memory.blocks * BLOCK_BYTES


@pytest.mark.parametrize("call", ["read_blocks", "write_blocks"])
def test_a_call_that_hangs_costs_no_buffer(
    call: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            await stored(cache, version("old", 9))
        tier = open_tier(tmp_path, timeouts=SHORT_TIMEOUTS)
        async with serving(Source(), tier) as cache:
            with trio.fail_after(20):
                with hanging(call):
                    await read_all(cache, version("old", 9))
                    await read_all(cache, version("new", 9))
                    # Not its state: a probe may have found the disk well before this is asked.
                    await eventually(lambda: tier.statistics()[0].stalls > 0, 10)
                    assert cache.statistics().memory.used_bytes > 0
                await nothing_lost(cache, tier)
                await eventually(lambda: tier.statistics()[0].state == "ok", 10)
                assert tier.statistics()[0].reason == ""

    trio.run(test)
    assert audit(tmp_path).intents == 0
    assert [r.levelname for r in caplog.records if "no answer within" in r.getMessage()] == [
        "WARNING"
    ]


def test_a_small_read_takes_a_piece_and_a_wrong_one_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = version(blocks=2)

    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            await stored(cache, wanted)
        (file,) = tmp_path.rglob("*.raw")
        with file.open("r+b") as data:
            data.seek(BLOCK_BYTES + 70_000)
            data.write(b"wrong")
        source = Source()
        async with serving(source, open_tier(tmp_path)) as cache:
            cached = await cache.open(wanted)
            for offset in (0, BLOCK_BYTES + 4096, BLOCK_BYTES + 140_000):
                assert cache.read_nowait(cached, offset, 4096) is None
                data = await cache.read(cached, offset, 4096)
                assert data == content(wanted, offset, offset + 4096)
                assert list(cached) == []
            assert await read_range(cache, cached, BLOCK_BYTES + 70_000, 10) is None
            assert (source.requests, cache.statistics().disks[0].corrupt) == ([], 0)
            data = await cache.read(cached, BLOCK_BYTES + 70_000, 10)
            assert data == content(wanted, BLOCK_BYTES + 70_000, BLOCK_BYTES + 70_010)
            assert cache.statistics().disks[0].corrupt == 1
            await cache.drain()
            assert await read_range(cache, cached, BLOCK_BYTES + 70_000, 10) is not None

    trio.run(test)
    assert "is missing or corrupt: fetched again" in caplog.text


def test_two_mounts_see_what_the_other_has_written_and_evicted(tmp_path: Path) -> None:
    wanted = version(blocks=3)

    async def test() -> None:
        one, other = Source(), Source()
        async with (
            serving(one, open_tier(tmp_path)) as first,
            serving(other, open_tier(tmp_path)) as second,
        ):
            await stored(first, wanted)
            await read_all(second, wanted)
            assert other.requests == []
            store = store_of(first._tiers[0])
            extents = store.evictor.sample()
            store.evict([c.key.extent_id for c in extents])
            cached = await second.open(wanted)
            for block in cached:
                second._memory.discard(block)
            await read_all(second, wanted)
            assert other.fetched_bytes() == wanted.size
            assert second.statistics().disks[0].corrupt == 0

    trio.run(test)
    assert audit(tmp_path).intents == 0
