"""Cold extents are recoded in place: smaller, as right as before, and found by who knew them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.recompress import Recoder
from cloudfs_cache.disk.store import DiskStorage
from tests.support.tiers import (
    SETTINGS,
    audit,
    eventually,
    job,
    open_tier,
    opened_storage,
    read_all,
    serving,
    storage_of,
    stored,
    version,
)
from tests.unit.cache.disk.test_store import flip, read
from tests.unit.cache.source import Source, content

CAPACITY = 16 * BLOCK_BYTES


def noise(wanted: ObjectVersion) -> dict[int, bytes]:
    rng = random.Random(wanted.key)
    return {n: rng.randbytes(wanted.block_length(n)) for n in range(wanted.block_count)}


def codecs(storage: DiskStorage, wanted: ObjectVersion) -> set[Codec]:
    loaded = storage.index.load(bytes.fromhex(wanted.digest()))
    assert loaded is not None
    return {record.codec for record in loaded.records.values()}


def test_compressible_data_shrinks_on_the_disk_and_reads_right(tmp_path: Path) -> None:
    wanted = version(blocks=14.6)
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        storage.write(job(wanted))
        before = audit(tmp_path)
        done = Recoder(storage).step(0)
        assert len(done.records) == 15
        assert Codec.RAW not in codecs(storage, wanted)
        for index in range(15):
            start = index * BLOCK_BYTES
            expected = content(wanted, start, start + wanted.block_length(index))
            assert read(storage, wanted, index) == expected
        after = audit(tmp_path)
        assert after.used_bytes == before.used_bytes - done.saved_bytes
        assert after.allocated_bytes < before.allocated_bytes / 2
        assert not storage.survey.totals().announced_bytes
        # There is room now: nothing more to do.
        assert Recoder(storage).step(0).extent is None


def test_noise_is_left_alone_and_looked_at_once(tmp_path: Path) -> None:
    wanted = version(blocks=15)
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        storage.write(job(wanted, data=noise(wanted)))
        done = Recoder(storage).step(0)
        assert done.extent is not None
        assert (done.records, done.saved_bytes) == ({}, 0)
        assert codecs(storage, wanted) == {Codec.RAW}
        assert Recoder(storage).step(0).extent is None
    assert audit(tmp_path).used_bytes == 15 * BLOCK_BYTES


def test_nothing_is_recoded_while_there_is_room(tmp_path: Path) -> None:
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        storage.write(job(version(blocks=12)))
        assert Recoder(storage).step(0).extent is None


def test_a_block_that_is_wrong_is_not_made_right_by_recoding(tmp_path: Path) -> None:
    wanted = version(blocks=15)
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        storage.write(job(wanted))
        (file,) = tmp_path.rglob("*.raw")
        with file.open("r+b") as data:
            data.seek(4 * BLOCK_BYTES + 9)
            data.write(b"wrong")
        assert set(Recoder(storage).step(0).records) == set(range(15)) - {4}
        assert read(storage, wanted, 4) is None
        assert read(storage, wanted, 5) is not None


@pytest.mark.parametrize("at", [0, 1, 9, 60, 3000])
def test_a_flipped_byte_of_a_recoded_block_is_noticed(at: int, tmp_path: Path) -> None:
    """lz4 decodes most of such bytes to something of the right length."""
    wanted = version(blocks=15)
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        storage.write(job(wanted))
        Recoder(storage).step(0)
        (file,) = tmp_path.rglob("*.lz4")
        flip(file, 3 * BLOCK_BYTES + at)
        assert read(storage, wanted, 3) is None
        assert read(storage, wanted, 4) is not None


def test_no_room_to_recode_is_nothing_to_do(tmp_path: Path) -> None:
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=False) as filler:
        filler.write(job(version(blocks=16)))
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        assert Recoder(storage).step(0).extent is None
        assert storage.survey.totals().announced_bytes == 0


def test_a_recoded_block_that_is_written_raw_again_leaves_nothing_behind(tmp_path: Path) -> None:
    wanted = version(blocks=15)
    with opened_storage(tmp_path, capacity_bytes=CAPACITY, recode=True) as storage:
        storage.write(job(wanted))
        Recoder(storage).step(0)
        storage.write(job(wanted, 0, 4))
        assert codecs(storage, wanted) > {Codec.RAW}
    left = audit(tmp_path)
    assert left.used_bytes <= left.allocated_bytes <= left.used_bytes + 16_384


def test_a_mount_with_old_records_finds_the_new_places(tmp_path: Path) -> None:
    wanted = version(blocks=15)

    async def test() -> None:
        settings = {"capacity_bytes": CAPACITY, "recode": True}
        async with serving(Source(), open_tier(tmp_path, **settings)) as cache:
            await stored(cache, wanted)
        source = Source()
        # Its own recoding is off, so that it cannot be the one that recodes.
        knowing = open_tier(tmp_path, SETTINGS, capacity_bytes=CAPACITY)
        async with serving(source, knowing) as cache:
            held = await cache.open(wanted)
            assert {r.codec for r in held.disk.records.values()} == {Codec.RAW}
            with opened_storage(tmp_path, **settings) as other:
                Recoder(other).step(0)
            await read_all(cache, wanted)
            assert {r.codec for r in held.disk.records.values()} != {Codec.RAW}
            assert cache.statistics().disks[0].corrupt == 0
            assert storage_of(knowing).survey.totals().used_bytes < CAPACITY // 2
        assert source.requests == []

    trio.run(test)


def test_a_cache_recodes_by_itself_and_its_readers_follow(tmp_path: Path) -> None:
    wanted = version(blocks=15)

    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path, capacity_bytes=CAPACITY)) as cache:
            await stored(cache, wanted)
        source = Source()
        tier = open_tier(tmp_path, capacity_bytes=CAPACITY, recode=True)
        async with serving(source, tier) as cache:
            held = await cache.open(wanted)
            await eventually(lambda: cache.statistics().disks[0].recoded_bytes > 0, 20)
            assert {r.codec for r in held.disk.records.values()} != {Codec.RAW}
            await read_all(cache, wanted)
        assert source.requests == []

    trio.run(test)
