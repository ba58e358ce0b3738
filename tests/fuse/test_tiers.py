"""The SSD tier below a real mount: several disks, bad disks, a killed daemon, small reads."""

from __future__ import annotations

import mmap
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudfs_cache.disk.io.health import DiskState
from tests.fuse.cached import (
    MIB,
    cached,
    check_all,
    crash,
    data_files,
    occupied,
    put_files,
    steer,
    steer_json,
)
from tests.support import disks
from tests.support.mounting import Mounted, wait_until

MountFunction = Callable[..., Mounted]


# Disks come before `mount` in the signature of a test: then all its mounts end before the disk
# goes, also when the test fails.


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[disks.StallingDisk]:
    """A disk that stalls and dies on command."""
    disks.need(disks.why_no_stalling_disk())
    with disks.stalling_disk(tmp_path / "disk", tmp_path / "backing") as disk:
        yield disk


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[disks.Disk]:
    """A disk of 96 MiB."""
    is_tmpfs = request.param == "tmpfs"
    disks.need(disks.why_no_tmpfs() if is_tmpfs else disks.why_no_loop_disk())
    made = disks.small_tmpfs if is_tmpfs else disks.loop_disk
    with made(tmp_path / "disk", 96 * MIB) as disk:
        yield disk


# --- several cache directories


def several(tmp_path: Path, *sizes: str) -> list[str]:
    """Return the flags for cache directories of these sizes beside the first one, `ssd0`."""
    flags = []
    for number, size in enumerate(sizes, start=1):
        flags += ["--cache-dir", f"{tmp_path}/ssd{number}:{size}"]
    return flags


@pytest.mark.slow
def test_objects_are_spread_by_the_sizes(
    folder: Path, mount: MountFunction, tmp_path: Path
) -> None:
    contents = put_files(folder, {f"{number:03}": 200_000 + number for number in range(120)})
    total = sum(map(len, contents.values()))
    options = ["--max-cache-size", "64MiB", *several(tmp_path, "192MiB")]
    first = mount(f"file://{folder}", *options, cache_dir=tmp_path / "ssd0")
    steer("warmup", first.path)
    small, large = (len(data_files(tmp_path / name)) for name in ("ssd0", "ssd1"))
    assert small + large == 120
    assert 12 <= small <= 50, "a quarter of them"
    shown = steer("cache", "info", first.path)
    assert f"{tmp_path}/ssd0" in shown
    assert f"{tmp_path}/ssd1" in shown
    assert {name: disk["capacity_bytes"] for name, disk in first.status()["disks"].items()} == {
        f"{tmp_path}/ssd0": 64 * MIB,
        f"{tmp_path}/ssd1": 192 * MIB,
    }
    first.stop()
    second = mount(f"file://{folder}", *options, cache_dir=tmp_path / "ssd0")
    assert cached(second.path) == (total, total)
    check_all(second, contents)
    assert second.gets() == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["removed", "unreadable", "foreign"])
@pytest.mark.parametrize("lost", ["ssd0", "ssd1"])
def test_a_lost_disk_loses_its_share_only(
    folder: Path, mount: MountFunction, tmp_path: Path, how: str, lost: str
) -> None:
    contents = put_files(folder, {f"{number:03}": 200_000 + number for number in range(60)})
    options = several(tmp_path, "1GiB", "1GiB")
    first = mount(f"file://{folder}", *options, cache_dir=Path(f"{tmp_path}/ssd0:1GiB"))
    check_all(first, contents)
    first.stop()
    shares = {name: len(data_files(tmp_path / name)) for name in ("ssd0", "ssd1", "ssd2")}
    assert sum(shares.values()) == 60
    assert all(share >= 8 for share in shares.values())
    directory = tmp_path / lost
    if how == "removed":
        shutil.rmtree(directory)
    elif how == "unreadable":
        # As a disk that is not mounted looks: even root cannot read a directory there.
        directory.rename(tmp_path / "aside")
        directory.write_bytes(b"")
    else:
        shutil.rmtree(directory)
        directory.mkdir()
        (directory / "photo.jpg").write_bytes(b"mine")
    warned = "" if how == "removed" else rf"WARNING .*{directory}"
    second = mount(
        f"file://{folder}",
        *options,
        cache_dir=Path(f"{tmp_path}/ssd0:1GiB"),
        allowed=[warned] if warned else [],
    )
    if warned:
        second.wait_for_log(warned)
        status = second.status()
        assert (status["health"], status["disks"][str(directory)]["state"]) == (
            "degraded",
            "left out",
        )
    check_all(second, contents)
    assert second.gets() == shares[lost]
    if how == "foreign":
        assert [path.name for path in directory.iterdir()] == ["photo.jpg"]


@pytest.mark.slow
def test_a_disk_that_dies_while_mounted_loses_its_share_only(
    folder: Path, stalling: disks.StallingDisk, mount: MountFunction, tmp_path: Path
) -> None:
    contents = put_files(folder, {f"{number:03}": 400_000 + number for number in range(60)})
    dying = stalling.path / "ssd"
    options = ("--cache-dir", f"{dying}:1GiB", "--memory-limit", "64MiB")
    url, good = f"file://{folder}", Path(f"{tmp_path}/ssd0:1GiB")
    first = mount(url, *options, cache_dir=good)
    check_all(first, contents)
    first.stop()
    share = len(data_files(dying))
    assert 10 <= share <= 50
    second = mount(url, *options, cache_dir=good, allowed=[f"WARNING .*{stalling.path}", "catalog"])
    stalling.die()
    check_all(second, contents)
    assert second.gets() == share
    states = {name: state["state"] for name, state in second.status()["disks"].items()}
    assert states == {f"{tmp_path}/ssd0": "ok", str(dying): "bypassed"}
    assert second.status()["health"] == "degraded"
    assert steer_json("cache", "info", second.path)["mounts"][0]["problem"]


# --- bad disks


@pytest.fixture
def contents(folder: Path) -> dict[str, bytes]:
    return put_files(folder, {f"{number:02}": MIB + number for number in range(24)})


def disk_of(mounted: Mounted) -> dict[str, object]:
    """The one disk in the status document."""
    (disk,) = mounted.status()["disks"].values()
    assert isinstance(disk, dict)
    return disk


def state_is(mounted: Mounted, state: DiskState) -> Callable[[], bool]:
    return lambda: disk_of(mounted)["state"] == state.value


@pytest.mark.slow
def test_a_disk_that_hangs_is_bypassed_and_used_again(
    folder: Path, stalling: disks.StallingDisk, mount: MountFunction
) -> None:
    # More than memory holds, so that readers need the disk all the time.
    contents = put_files(folder, {f"{number:02}": 4 * MIB + number for number in range(40)})
    url, options = f"file://{folder}", ("--memory-limit", "64MiB")
    cache = stalling.path / "ssd"
    first = mount(url, *options, cache_dir=cache)
    check_all(first, contents)
    first.stop()
    second = mount(
        url, *options, cache_dir=cache, allowed=[f"WARNING .*{stalling.path}", "catalog"]
    )
    assert (second.path / "00").read_bytes() == contents["00"]
    reader = subprocess.Popen([sys.executable, "-c", READER, str(folder), str(second.path), "1000"])
    try:
        wait_until(lambda: second.status()["sources"]["disk_bytes"] > 2 * MIB, 20, "it reads")
        stalling.stall()
        wait_until(state_is(second, DiskState.BYPASSED), 30, "the disk is bypassed")
        # The reader goes on, and everything else, too; the control socket answers.
        assert reader.poll() is None
        before = second.status()["fuse"]["read_bytes"]
        wait_until(
            lambda: second.status()["fuse"]["read_bytes"] > before + 20 * MIB, 60, "it goes on"
        )
        check_all(second, contents)
        assert second.status()["health"] == "degraded"
        reason = str(disk_of(second)["reason"])
        assert reason
        assert reason in " ".join(steer("status", second.path).split())
        assert reason in steer("cache", "info", second.path)
        assert reason in steer("warmup", second.path, code=7)
        steer("cache", "pin", second.path, code=7)
    finally:
        reader.kill()
        reader.wait()
        stalling.resume()
    wait_until(state_is(second, DiskState.OK), 60, "the disk is used again")
    assert second.status()["health"] == "ok"
    steer("warmup", second.path)
    assert disk_of(second)["reason"] == ""
    second.stop()
    third = mount(url, *options, cache_dir=cache)
    check_all(third, contents)
    assert third.gets() == 0
    assert steer_json("cache", "verify", third.path)["jobs"][0]["report"]["corrupt"] == 0


READER = """
import os, pathlib, sys
source, mount, rounds = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
for _ in range(rounds):
    for path in sorted(source.rglob("*")):
        if not path.is_file():
            continue
        fd = os.open(mount / path.relative_to(source), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        if (mount / path.relative_to(source)).read_bytes() != path.read_bytes():
            sys.exit(f"wrong bytes in {path}")
"""


@pytest.mark.slow
def test_a_disk_that_another_process_fills(
    folder: Path, contents: dict[str, bytes], small: disks.Disk, mount: MountFunction
) -> None:
    cache = small.path / "ssd"
    mounted = mount(
        f"file://{folder}", "--min-free-space", "0", "--memory-limit", "64MiB",
        cache_dir=cache, allowed=[f"WARNING .*{small.path}", "catalog"],
    )  # fmt: skip
    half = dict(list(contents.items())[:12])
    check_all(mounted, half)
    filling = small.fill(0)
    check_all(mounted, contents)
    gets = mounted.gets()
    check_all(mounted, half)
    assert mounted.gets() - gets <= 12
    if (disk := disk_of(mounted))["state"] != "ok":
        assert disk["state"] == "read-only"
        assert disk["reason"]
    os.truncate(filling, 0)
    wait_until(state_is(mounted, DiskState.OK), 60, "the disk is used again")
    steer("warmup", mounted.path)
    mounted.stop()
    again = mount(
        f"file://{folder}", "--min-free-space", "0", "--memory-limit", "64MiB", cache_dir=cache
    )
    check_all(again, contents)
    assert again.gets() == 0


# --- a killed daemon


@pytest.mark.slow
def test_a_daemon_killed_in_cold_reads_leaves_nothing_wrong(
    folder: Path, mount: MountFunction, tmp_path: Path
) -> None:
    rng = random.Random(9)
    contents = put_files(
        folder,
        {
            **{f"small/{number:03}": rng.randrange(1, 300_000) for number in range(100)},
            **{f"large/{number}": 6 * MIB + 4097 * number for number in range(6)},
        },
    )
    url, options = f"file://{folder}", ("--max-cache-size", "40MiB", "--memory-limit", "64MiB")
    for round_ in range(10):
        mounted = mount(url, *options)
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(folder), str(mounted.path), "1000"],
            stderr=subprocess.DEVNULL,
        )
        try:
            aim = rng.randrange(1, 60) * MIB
            wait_until(lambda: mounted.status()["fuse"]["read_bytes"] >= aim, 60, "it reads")  # noqa: B023
            assert reader.poll() is None, "the reader found nothing wrong"
            crash(mounted)
        finally:
            reader.kill()
            reader.wait()
        if round_ % 3 == 2:
            again = mount(url, *options)
            report = steer_json("cache", "verify", again.path)["jobs"][0]["report"]
            assert (report["corrupt"], report["missing"]) == (0, 0), report
            check_all(again, contents)
            assert disk_of(again)["corrupt"] == 0
            again.stop()
            assert occupied(tmp_path / "cache") <= 41 * MIB


# --- small reads


@pytest.mark.parametrize("how", ["direct", pytest.param("random", marks=pytest.mark.slow)])
def test_small_reads_of_a_cached_file_read_little_of_the_ssd(
    folder: Path, mount: MountFunction, how: str
) -> None:
    size = 48 * MIB
    contents = put_files(folder, {"big": size})
    options = ("--read-ahead", "0")
    first = mount(f"file://{folder}", *options)
    steer("warmup", first.path)
    first.stop()
    second = mount(f"file://{folder}", *options)
    rng = random.Random(2)
    before = disk_reads(second.pid)
    flags = os.O_RDONLY | (os.O_DIRECT if how == "direct" else 0)
    descriptor = os.open(second.path / "big", flags)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        with mmap.mmap(-1, 4096) as buffer:
            for _ in range(100):
                offset = rng.randrange(size // 4096) * 4096
                assert os.preadv(descriptor, [buffer], offset) == 4096
                assert buffer[:] == contents["big"][offset : offset + 4096]
    finally:
        os.close(descriptor)
    assert second.gets() == 0
    assert disk_reads(second.pid) - before <= 100 * 80 * 1024, "64 KiB for each, and the index"


def disk_reads(pid: int) -> int:
    """Return the bytes that a process requested from disks: all it read, with O_DIRECT."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])
