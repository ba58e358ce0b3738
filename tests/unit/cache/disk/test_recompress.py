"""Cold extents are recompressed in place: smaller, as right as before, and still found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.recompress import Recompressor
from cloudfs_cache.disk.store import DiskStore
from tests.support.tiers import (
    SETTINGS,
    audit,
    eventually,
    job,
    open_tier,
    opened_store,
    read_all,
    serving,
    store_of,
    stored,
    version,
)
from tests.unit.cache.disk.test_store import flip, read
from tests.unit.cache.source import Source, content

CAPACITY = 16 * BLOCK_BYTES


def noise(wanted: ObjectVersion) -> dict[int, bytes]:
    rng = random.Random(wanted.key)
    return {n: rng.randbytes(wanted.block_length(n)) for n in range(wanted.block_count)}


def codecs(store: DiskStore, wanted: ObjectVersion) -> set[Codec]:
    loaded = store.index.load(bytes.fromhex(wanted.digest()))
    assert loaded is not None
    return {record.codec for record in loaded.records.values()}


def test_compressible_data_shrinks_on_the_disk_and_reads_right(tmp_path: Path) -> None:
    wanted = version(blocks=14.6)
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        store.write(job(wanted))
        before = audit(tmp_path)
        done = Recompressor(store).step(0)
        assert len(done.records) == 15
        assert Codec.RAW not in codecs(store, wanted)
        for index in range(15):
            start = index * BLOCK_BYTES
            expected = content(wanted, start, start + wanted.block_length(index))
            assert read(store, wanted, index) == expected
        after = audit(tmp_path)
        assert after.used_bytes == before.used_bytes - done.saved_bytes
        assert after.allocated_bytes < before.allocated_bytes / 2
        assert not store.queries.totals().announced_bytes
        # There is room now: nothing more to do.
        assert Recompressor(store).step(0).extent is None


def test_noise_is_left_alone_and_looked_at_once(tmp_path: Path) -> None:
    wanted = version(blocks=15)
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        store.write(job(wanted, data=noise(wanted)))
        done = Recompressor(store).step(0)
        assert done.extent is not None
        assert (done.records, done.saved_bytes) == ({}, 0)
        assert codecs(store, wanted) == {Codec.RAW}
        assert Recompressor(store).step(0).extent is None
    assert audit(tmp_path).used_bytes == 15 * BLOCK_BYTES


def test_nothing_is_recompressed_while_there_is_room(tmp_path: Path) -> None:
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        store.write(job(version(blocks=12)))
        assert Recompressor(store).step(0).extent is None


def test_a_block_that_is_wrong_is_not_made_right_by_recompressing(tmp_path: Path) -> None:
    wanted = version(blocks=15)
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        store.write(job(wanted))
        (file,) = tmp_path.rglob("*.raw")
        with file.open("r+b") as data:
            data.seek(4 * BLOCK_BYTES + 9)
            data.write(b"wrong")
        assert set(Recompressor(store).step(0).records) == set(range(15)) - {4}
        assert read(store, wanted, 4) is None
        assert read(store, wanted, 5) is not None


@pytest.mark.parametrize("at", [0, 1, 9, 60, 3000])
def test_a_flipped_byte_of_a_recompressed_block_is_noticed(at: int, tmp_path: Path) -> None:
    """lz4 decodes most of such bytes to something of the right length."""
    wanted = version(blocks=15)
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        store.write(job(wanted))
        Recompressor(store).step(0)
        (file,) = tmp_path.rglob("*.lz4")
        flip(file, 3 * BLOCK_BYTES + at)
        assert read(store, wanted, 3) is None
        assert read(store, wanted, 4) is not None


def test_no_room_to_recode_is_nothing_to_do(tmp_path: Path) -> None:
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=False) as body:
        body.write(job(version(blocks=16)))
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        assert Recompressor(store).step(0).extent is None
        assert store.queries.totals().announced_bytes == 0


def test_a_recompressed_block_that_is_written_raw_again_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    wanted = version(blocks=15)
    with opened_store(tmp_path, capacity_bytes=CAPACITY, recompress=True) as store:
        store.write(job(wanted))
        Recompressor(store).step(0)
        store.write(job(wanted, 0, 4))
        assert codecs(store, wanted) > {Codec.RAW}
    left = audit(tmp_path)
    assert left.used_bytes <= left.allocated_bytes <= left.used_bytes + 16_384


def test_a_mount_with_old_records_finds_the_new_places(tmp_path: Path) -> None:
    wanted = version(blocks=15)

    async def test() -> None:
        settings = {"capacity_bytes": CAPACITY, "recompress": True}
        async with serving(Source(), open_tier(tmp_path, **settings)) as cache:
            await stored(cache, wanted)
        source = Source()
        # Its own recompression is off, so that it cannot be the one that recompresses.
        knowing = open_tier(tmp_path, SETTINGS, capacity_bytes=CAPACITY)
        async with serving(source, knowing) as cache:
            held = await cache.open(wanted)
            assert {r.codec for r in held.entries[0].object.records.values()} == {Codec.RAW}
            with opened_store(tmp_path, **settings) as other:
                Recompressor(other).step(0)
            await read_all(cache, wanted)
            assert {r.codec for r in held.entries[0].object.records.values()} != {Codec.RAW}
            assert cache.statistics().disks[0].corrupt == 0
            assert store_of(knowing).queries.totals().used_bytes < CAPACITY // 2
        assert source.requests == []

    trio.run(test)


def test_a_cache_recompresses_by_itself_and_its_readers_follow(tmp_path: Path) -> None:
    wanted = version(blocks=15)

    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path, capacity_bytes=CAPACITY)) as cache:
            await stored(cache, wanted)
        source = Source()
        tier = open_tier(tmp_path, capacity_bytes=CAPACITY, recompress=True)
        async with serving(source, tier) as cache:
            held = await cache.open(wanted)
            await eventually(lambda: cache.statistics().disks[0].recompressed_bytes > 0, 20)
            assert {r.codec for r in held.entries[0].object.records.values()} != {Codec.RAW}
            await read_all(cache, wanted)
        assert source.requests == []

    trio.run(test)
