"""Several disks as one tier: who lives where, what moves, and what is lost with a disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES, DEFAULT_PLACEMENT, DiskUnusableError, KeyRange
from cloudfs_cache.disk.entry import DiskEntry
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.tiers.api import TierEntry
from cloudfs_cache.tiers.sharded import ShardedTier
from tests.support.tiers import SHORT_TIMEOUTS, open_tier, read_all, serving, stored, version
from tests.unit.cache.source import Source

EVERYTHING = [KeyRange("", subtree=True)]


@asynccontextmanager
async def tiers(*directories: Path, blocks: tuple[int, ...] = ()) -> AsyncIterator[list[DiskTier]]:
    sizes = blocks or (1000,) * len(directories)
    opened = [
        open_tier(path, capacity_bytes=size * BLOCK_BYTES, timeouts=SHORT_TIMEOUTS)
        for path, size in zip(directories, sizes, strict=True)
    ]
    try:
        yield opened
    finally:
        for tier in opened:
            await tier.aclose()


def directory_of(entry: TierEntry) -> str:
    assert isinstance(entry, DiskEntry)
    return entry._parts.store.directory.path


async def homes(spread: ShardedTier, count: int) -> list[int]:
    directories = [record.directory for record in spread.statistics()]
    found = []
    for number in range(count):
        entry = await spread.open(version(f"k{number}"), DEFAULT_PLACEMENT)
        found.append(directories.index(directory_of(entry)))
    return found


def test_objects_are_spread_by_size(tmp_path: Path) -> None:
    async def test() -> None:
        paths = [tmp_path / name for name in "abc"]
        async with tiers(*paths, blocks=(100, 300, 600)) as disks:
            share = Counter(await homes(ShardedTier(disks), 1000))
            assert share[0] == pytest.approx(100, abs=40)
            assert share[1] == pytest.approx(300, abs=60)
            assert share[2] == pytest.approx(600, abs=60)

    trio.run(test)


def test_long_paths_that_differ_only_at_the_end_share_evenly(tmp_path: Path) -> None:
    async def test() -> None:
        below = tmp_path / ("long" * 20)
        async with tiers(below / "a", below / "b") as disks:
            share = Counter(await homes(ShardedTier(disks), 300))
            assert min(share[0], share[1]) > 100

    trio.run(test)


def test_a_disk_more_takes_its_share_and_moves_nothing_else(tmp_path: Path) -> None:
    async def test() -> None:
        paths = [tmp_path / name for name in "abc"]
        async with tiers(*paths) as disks:
            before = await homes(ShardedTier(disks[:2]), 400)
            after = await homes(ShardedTier(disks), 400)
            moved = [new for old, new in zip(before, after, strict=True) if old != new]
            assert set(moved) == {2}
            assert len(moved) == pytest.approx(133, abs=40)
            # The order in which they are given does not matter.
            turned = await homes(ShardedTier(disks[::-1]), 400)
            assert [2 - disk for disk in turned] == after

    trio.run(test)


def test_an_object_away_from_home_is_found_and_stays(tmp_path: Path) -> None:
    objects = [version(f"k{number}", 2) for number in range(8)]

    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path / "a")) as cache:
            for wanted in objects:
                await stored(cache, wanted)
        source = Source()
        spread = ShardedTier([open_tier(tmp_path / "a"), open_tier(tmp_path / "b")])
        async with serving(source, spread) as cache:
            for wanted in objects:
                await read_all(cache, wanted)
            assert await cache.admin.local_bytes(objects) == [2 * BLOCK_BYTES] * 8
            # New ones go where they belong.
            for number in range(8):
                await stored(cache, version(f"new{number}", 2))
            assert cache.statistics().disks[1].used_bytes > 0
        assert {key for key, _, _ in source.requests} == {f"new{number}" for number in range(8)}

    trio.run(test)


def test_losing_a_disk_loses_its_share(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    objects = [version(f"k{number}", 2) for number in range(12)]

    async def test() -> None:
        paths = [tmp_path / "a", tmp_path / "b"]
        async with serving(Source(), ShardedTier([open_tier(path) for path in paths])) as cache:
            for wanted in objects:
                await stored(cache, wanted)
        source = Source()
        spread = ShardedTier([open_tier(path, timeouts=SHORT_TIMEOUTS) for path in paths])
        async with serving(source, spread) as cache:
            opened = [await cache.open(wanted) for wanted in objects]
            lost = {
                cached.version.key
                for cached in opened
                if directory_of(cached.entries[0]) == str(tmp_path / "a")
            }
            (tmp_path / "a" / "objects").rename(tmp_path / "gone")
            (tmp_path / "a" / "objects").touch()
            for wanted in objects:
                await read_all(cache, wanted)
            assert {key for key, _, _ in source.requests} == lost
            assert 0 < len(lost) < len(objects)
            assert [disk.state for disk in cache.statistics().disks][1] == "ok"
            (tmp_path / "a" / "objects").unlink()
            (tmp_path / "gone").rename(tmp_path / "a" / "objects")

    trio.run(test)
    caplog.clear()


def test_commands_reach_all_disks_and_one_that_fails_stops_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = [version(f"d/k{number}", 2) for number in range(12)]

    async def test() -> None:
        opened = [open_tier(tmp_path / name, timeouts=SHORT_TIMEOUTS) for name in "ab"]
        async with serving(Source(), ShardedTier(opened)) as cache:
            for wanted in objects:
                await stored(cache, wanted)
            admin = cache.admin
            await admin.pin([KeyRange("d", subtree=True)])
            assert await admin.pins() == [KeyRange("d", subtree=True)]
            assert await admin.evict(EVERYTHING) == 0
            seen: list[int] = []
            report = await admin.verify(lambda progress: seen.append(progress.blocks_done))
            assert (report.blocks, report.bytes) == (24, 24 * BLOCK_BYTES)
            assert seen == sorted(seen)
            usage = await admin.disk_usage()
            assert sum(one.pinned_bytes for one in usage) == 24 * BLOCK_BYTES
            assert {one.directory for one in usage} == {str(tmp_path / name) for name in "ab"}
            await admin.unpin(EVERYTHING)
            with opened[0]._store._database.change() as change:
                change.execute("ALTER TABLE objects RENAME TO hidden")
            with pytest.raises(DiskUnusableError, match=str(tmp_path / "a")):
                await admin.evict(EVERYTHING)
            with opened[0]._store._database.change() as change:
                change.execute("ALTER TABLE hidden RENAME TO objects")
            left = await admin.disk_usage()
            assert {one.directory for one in left} == {str(tmp_path / "a")}

    trio.run(test)
    caplog.clear()
