"""The SSD tier on disks that fill up, fail, hang and die: reads are right and never blocked."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES, DiskStatistics, ObjectVersion
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.tier import DiskTier
from tests.support import disks
from tests.support.tiers import (
    SHORT_TIMEOUTS,
    audit,
    eventually,
    open_tier,
    read_all,
    serving,
    stored,
    version,
)
from tests.unit.cache.source import Source

MIB = 1 << 20
PATIENCE_S = 30.0
"""Longer than any test waits; without limits, a read from a stalled disk would wait for ever."""

pytestmark = pytest.mark.slow


@contextmanager
def small_disk(kind: str, path: Path, size_bytes: int = 64 * MIB) -> Iterator[disks.Disk]:
    """A disk with a folder `cache` on it."""
    made: AbstractContextManager[disks.Disk]
    if kind == "tmpfs":
        disks.need(disks.why_no_tmpfs())
        made = disks.small_tmpfs(path, size_bytes)
    else:
        disks.need(disks.why_no_loop_disk(kind))
        made = disks.loop_disk(path, size_bytes, kind)
    with made as disk:
        yield disk


def objects(count: int, blocks: int = 4) -> list[ObjectVersion]:
    return [version(f"k{number}", blocks) for number in range(count)]


def state_of(cache: TieredCache) -> DiskStatistics:
    (disk,) = cache.statistics().disks
    return disk


async def until(cache: TieredCache, reached: Callable[[DiskStatistics], bool]) -> None:
    """Wait for a state that background work must reach."""
    await eventually(lambda: reached(state_of(cache)), PATIENCE_S)


@asynccontextmanager
async def mounted(disk: disks.Disk, **changes: object) -> AsyncIterator[TieredCache]:
    """A cache on the disk with little patience."""
    settings = {"capacity_bytes": 1 << 30, "timeouts": SHORT_TIMEOUTS, **changes}
    tier = await trio.to_thread.run_sync(lambda: open_tier(disk.path / "cache", **settings))
    with trio.fail_after(2 * PATIENCE_S):
        async with serving(Source(), tier) as cache:
            yield cache


async def idle(cache: TieredCache) -> None:
    """Wait for the threads that hung."""
    tier = cache._tiers[0]
    assert isinstance(tier, DiskTier)
    await tier._executor.wait_idle()


async def readable(cache: TieredCache, *wanted: ObjectVersion) -> None:
    """Read every byte of these objects, in time."""
    with trio.fail_after(PATIENCE_S):
        for one in wanted:
            await read_all(cache, one)


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """More than fits is written, with nothing kept free."""

    async def test(disk: disks.Disk) -> None:
        async with mounted(disk) as cache:
            for wanted in objects(24):
                await readable(cache, wanted)
                await stored(cache, wanted)
            await readable(cache, *objects(24))
            assert state_of(cache).state in {"ok", "read-only"}
            assert state_of(cache).used_bytes > 32 * MIB

    with small_disk(kind, tmp_path / "disk") as disk:
        trio.run(test, disk)
        assert audit(disk.path / "cache").intents == 0
        trio.run(test, disk)
    caplog.clear()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_another_process_fills_the_disk(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(disk: disks.Disk) -> None:
        async with mounted(disk) as cache:
            await stored(cache, version("before", 8))
            filling = await trio.to_thread.run_sync(disk.fill, 0)
            for wanted in objects(6):
                await readable(cache, wanted)
            await readable(cache, version("before", 8))
            with filling.open("r+b") as file:
                file.truncate(0)
            await until(cache, lambda now: now.state == "ok")
            await stored(cache, version("after"))
            assert await cache.admin.local_bytes([version("after")]) == [4 * MIB]

    with small_disk(kind, tmp_path / "disk") as disk:
        trio.run(test, disk)
    caplog.clear()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_the_free_space_floor_is_kept_and_restored(kind: str, tmp_path: Path) -> None:
    floor = 16 * MIB

    async def test(disk: disks.Disk) -> None:
        async with mounted(disk, min_free_bytes=floor) as cache:
            for wanted in objects(16):
                await readable(cache, wanted)
                await stored(cache, wanted)
                assert disk.free_bytes() >= floor
            await trio.to_thread.run_sync(disk.fill, floor // 2)
            await eventually(lambda: disk.free_bytes() >= floor, PATIENCE_S)
            await readable(cache, *objects(16))
            assert disk.free_bytes() >= floor
            assert state_of(cache).errors == 0

    with small_disk(kind, tmp_path / "disk") as disk:
        trio.run(test, disk)


def test_two_mounts_keep_the_floor_together(tmp_path: Path) -> None:
    floor = 24 * MIB

    async def test(disk: disks.Disk) -> None:
        lowest = disk.free_bytes()
        async with (
            mounted(disk, min_free_bytes=floor) as one,
            mounted(disk, min_free_bytes=floor) as other,
            trio.open_nursery() as nursery,
        ):

            async def watch() -> None:
                nonlocal lowest
                while True:
                    lowest = min(lowest, disk.free_bytes())
                    await trio.sleep(0.001)

            nursery.start_soon(watch)
            async with trio.open_nursery() as readers:
                for cache, name in ((one, "a"), (other, "b")):
                    for part in range(2):
                        wanted = [version(f"{name}{part}{n}", 8) for n in range(8)]
                        readers.start_soon(readable, cache, *wanted)
            nursery.cancel_scope.cancel()
        assert lowest >= floor

    with small_disk("ext4", tmp_path / "disk", 96 * MIB) as disk:
        trio.run(test, disk)
        assert audit(disk.path / "cache").intents == 0


def test_a_disk_that_falls_read_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disks.need(disks.why_no_loop_disk())

    async def test(disk: disks.LoopDisk) -> None:
        async with mounted(disk) as cache:
            await stored(cache, version("before"))
            disk.fall_read_only()
            await readable(cache, version("new"))
            await until(cache, lambda now: now.state == "read-only")
            assert state_of(cache).reason
            await readable(cache, version("before"), *objects(3))

    async def repaired(disk: disks.LoopDisk) -> None:
        async with mounted(disk) as cache:
            await readable(cache, version("before"))
            await stored(cache, version("after"))
            assert state_of(cache).state == "ok"
            assert await cache.admin.local_bytes([version("after")]) == [4 * MIB]

    with disks.loop_disk(tmp_path / "disk", 64 * MIB) as disk:
        trio.run(test, disk)
        disk.power_on()
        trio.run(repaired, disk)
    caplog.clear()


@asynccontextmanager
async def hanging(stop: Callable[[], None], resume: Callable[[], None]) -> AsyncIterator[None]:
    """A disk that hangs within. It must go on before the cache is closed."""
    await trio.to_thread.run_sync(stop)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(resume)


async def survives_a_stall(
    disk: disks.Disk, stop: Callable[[], None], resume: Callable[[], None]
) -> None:
    """Reads of what is on the disk, of what is not, and of both at once; then it works again."""
    known, new = objects(6), [version(f"new{n}", 3) for n in range(6)]
    async with mounted(disk) as cache:
        for wanted in known:
            await stored(cache, wanted)
    async with mounted(disk) as cache:
        await readable(cache, known[0])
        async with hanging(stop, resume):
            with trio.fail_after(PATIENCE_S):
                async with trio.open_nursery() as readers:
                    for wanted in (*known, *new):
                        readers.start_soon(read_all, cache, wanted)
            await until(cache, lambda now: now.state == "bypassed")
            assert state_of(cache).stalls >= 1
            assert state_of(cache).reason
            await readable(cache, *objects(9))
        await until(cache, lambda now: now.state == "ok")
        await stored(cache, version("after"))
        assert await cache.admin.local_bytes([version("after")]) == [4 * MIB]
        await cache.drain()
        await idle(cache)
        memory = cache.statistics().memory
        assert memory.used_bytes == memory.blocks * BLOCK_BYTES


def test_a_stalled_file_system(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disks.need(disks.why_no_stalling_disk())
    with disks.stalling_disk(tmp_path / "disk", tmp_path / "backing") as disk:
        trio.run(survives_a_stall, disk, disk.stall, disk.resume)
        assert audit(disk.path / "cache").intents == 0
    caplog.clear()


def test_a_stalled_device(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disks.need(disks.why_no_faulty_loop_disk())
    with disks.faulty_loop_disk(tmp_path / "disk", 96 * MIB) as disk:
        trio.run(survives_a_stall, disk, disk.media.stall, disk.media.resume)
        assert audit(disk.path / "cache").intents == 0
    caplog.clear()


def test_a_frozen_file_system(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Reads of it go on, and all writes hang."""
    disks.need(disks.why_no_loop_disk())
    with disks.loop_disk(tmp_path / "disk", 96 * MIB) as disk:
        trio.run(survives_a_stall, disk, disk.freeze, disk.thaw)
        assert audit(disk.path / "cache").intents == 0
    caplog.clear()


@pytest.mark.parametrize("what", ["reads", "writes", "both"])
def test_a_device_that_fails(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disks.need(disks.why_no_stalling_disk())

    async def test(disk: disks.StallingDisk) -> None:
        async with mounted(disk) as cache:
            for wanted in objects(6):
                await stored(cache, wanted)
        async with mounted(disk) as cache:
            if what in {"reads", "both"}:
                disk.break_reads(errno.EIO)
            if what in {"writes", "both"}:
                disk.break_writes(errno.EIO)
            await readable(cache, *objects(6), *[version(f"new{n}") for n in range(6)])
            await until(cache, lambda now: now.errors > 0 and now.state == "bypassed")
            assert state_of(cache).reason
            await readable(cache, *objects(8))
            disk.repair()
            await until(cache, lambda now: now.state == "ok")
            await stored(cache, version("after"))
            assert await cache.admin.local_bytes([version("after")]) == [4 * MIB]

    with disks.stalling_disk(tmp_path / "disk", tmp_path / "backing") as disk:
        trio.run(test, disk)
        trio.run(all_right, disk)
    caplog.clear()


async def all_right(disk: disks.Disk) -> None:
    """Check that a later mount finds nothing wrong."""
    async with mounted(disk) as cache:
        await cache.admin.verify(lambda _progress: None)
        await readable(cache, *objects(8))
        assert state_of(cache).corrupt == 0
        report = await cache.admin.verify(lambda _progress: None)
        assert (report.corrupt, report.missing, report.orphans) == (0, 0, 0)


def test_a_disk_that_dies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disks.need(disks.why_no_stalling_disk())

    async def test(disk: disks.StallingDisk) -> None:
        async with mounted(disk) as cache:
            for wanted in objects(4):
                await stored(cache, wanted)
            await trio.to_thread.run_sync(disk.die)
            await readable(cache, *objects(8))
            await until(cache, lambda now: now.state == "bypassed")
            assert state_of(cache).reason

    with disks.stalling_disk(tmp_path / "disk", tmp_path / "backing") as disk:
        trio.run(test, disk)
    caplog.clear()


def test_wrong_bytes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files are truncated and overwritten under a mount whose index lists them."""

    async def test(disk: disks.Disk) -> None:
        async with mounted(disk) as cache:
            for wanted in objects(6):
                await stored(cache, wanted)
        async with mounted(disk) as cache:
            for wanted in objects(6):
                await cache.open(wanted)
            for number, file in enumerate(sorted(disk.path.rglob("*.raw"))):
                with file.open("r+b") as data:
                    data.truncate((number % 3) * MIB)
                    data.truncate(4 * MIB)
                    data.seek((number % 4) * MIB + 99)
                    data.write(b"garbage")
            await readable(cache, *objects(6))
            assert state_of(cache).corrupt > 6
            assert state_of(cache).state == "ok"
            await cache.drain()
            assert await cache.admin.local_bytes(objects(6)) == [4 * MIB] * 6

    with small_disk("ext4", tmp_path / "disk") as disk:
        trio.run(test, disk)
        assert audit(disk.path / "cache").intents == 0
        trio.run(all_right, disk)
    caplog.clear()


def test_half_of_the_device_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disks.need(disks.why_no_loop_disk())

    async def test(disk: disks.LoopDisk) -> None:
        async with mounted(disk) as cache:
            for wanted in objects(12):
                await stored(cache, wanted)
        async with mounted(disk) as cache:
            os.truncate(tmp_path / "disk.image", 24 * MIB)
            await readable(cache, *objects(14))
            assert state_of(cache).errors + state_of(cache).corrupt > 0

    with disks.loop_disk(tmp_path / "disk", 96 * MIB) as disk:
        trio.run(test, disk)
    caplog.clear()


def test_power_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Data and index lose what was not on the disk yet."""
    disks.need(disks.why_no_loop_disk())

    async def lost(disk: disks.LoopDisk) -> None:
        async with mounted(disk) as cache:
            await stored(cache, version("before"))
            disk.cut_power()
            await readable(cache, *objects(6))
            await until(cache, lambda now: now.state == "bypassed")

    with disks.loop_disk(tmp_path / "disk", 64 * MIB) as disk:
        for _ in range(3):
            trio.run(lost, disk)
            disk.power_on()
            trio.run(all_right, disk)
    caplog.clear()
