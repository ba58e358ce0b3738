"""Two real mounts on one cache directory: what one has cached the other need not fetch."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.buckets import Bucket
from tests.fuse.cached import (
    MIB,
    cached,
    check_all,
    crash,
    occupied,
    put_files,
    received,
    steer,
    steer_json,
)
from tests.support.mounting import Mounted, wait_until

MountFunction = Callable[..., Mounted]

SHUFFLED = """
import os, pathlib, random, sys
source, mount = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
rng, epochs = random.Random(sys.argv[3]), int(sys.argv[4])
names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
for _ in range(epochs):
    rng.shuffle(names)
    for name in names:
        fd = os.open(mount / name, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        if (mount / name).read_bytes() != (source / name).read_bytes():
            sys.exit(f"wrong bytes in {name}")
"""


def info(mounted: Mounted) -> dict[str, Any]:
    """Return what `cache info` shows of one mount."""
    (document,) = steer_json("cache", "info", mounted.path)["mounts"]
    assert isinstance(document, dict)
    return document


def reader(source: Path, mounted: Mounted, seed: int, epochs: int) -> subprocess.Popen[bytes]:
    """Start a process that compares every file in a random order, again and again."""
    arguments = [str(source), str(mounted.path), str(seed), str(epochs)]
    return subprocess.Popen([sys.executable, "-c", SHUFFLED, *arguments])


@contextmanager
def most_occupied(directory: Path) -> Iterator[list[int]]:
    """Yield a list that has the largest size of the directory's data once the block ends."""
    most = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            try:
                most[0] = max(most[0], occupied(directory))
            except FileNotFoundError:  # Evicted between the listing and the look.
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_what_one_mount_has_cached_the_other_reads_without_a_get(
    bucket: Bucket, mount: MountFunction
) -> None:
    contents = {f"d/{n}": random.Random(n).randbytes(n * 400_000) for n in range(8)}
    for name, data in contents.items():
        bucket.put(name, data)
    total = sum(map(len, contents.values()))
    first, second = bucket.mount(mount), bucket.mount(mount)
    check_all(second, dict(list(contents.items())[:2]))
    steer("warmup", first.path)
    assert received(first) <= total
    assert cached(second.path) == (total, total)
    gets = second.gets()
    check_all(second, contents)
    assert second.gets() == gets
    # And the other way round.
    bucket.put("new", b"new")
    steer("cache", "invalidate", first.path, second.path)
    assert (second.path / "new").read_bytes() == b"new"
    wait_until(lambda: cached(first.path / "new") == (3, 3), 10, "it is on the SSD")
    gets = first.gets()
    assert (first.path / "new").read_bytes() == b"new"
    assert first.gets() == gets


def test_pins_hold_for_both_and_evicting_in_one_is_right_for_the_other(
    folder: Path, mount: MountFunction
) -> None:
    contents = put_files(folder, {"keep/a": 3 * MIB, "b": 2 * MIB, "c": 9})
    url = f"file://{folder}"
    first, second = mount(url), mount(url)
    check_all(first, contents)
    check_all(second, contents)
    steer("cache", "pin", first.path / "keep")
    assert info(second)["pins"] == ["keep"]
    steer("cache", "evict", second.path)
    assert cached(second.path) == (3 * MIB, 5 * MIB + 9)
    check_all(first, contents)
    check_all(second, contents)
    steer("cache", "unpin", second.path)
    assert info(first)["pins"] == []


@pytest.mark.slow
def test_both_at_work_in_a_cache_that_is_too_small(
    folder: Path, mount: MountFunction, tmp_path: Path
) -> None:
    """Every byte is right, the limit holds, and a killed mount disturbs nobody."""
    rng = random.Random(11)
    contents = put_files(
        folder,
        {
            **{f"s/{number:03}": rng.randrange(1, 200_000) for number in range(150)},
            **{f"m/{number:02}": rng.randrange(MIB, 3 * MIB) for number in range(30)},
            "large": 70 * MIB,
        },
    )
    url, options = f"file://{folder}", ("--max-cache-size", "64MiB", "--memory-limit", "64MiB")
    first, second = mount(url, *options), mount(url, *options)
    cache = tmp_path / "cache"
    with most_occupied(cache) as most:
        readers = [reader(folder, m, n, 3) for n, m in enumerate((first, second, first, second))]
        assert [process.wait(200) for process in readers] == [0] * 4
        for round_ in range(3):
            victim = mount(url, *options)
            doomed = reader(folder, victim, 100 + round_, 1000)
            survivor = reader(folder, second, 200 + round_, 1)
            aim = rng.randrange(1, 120) * MIB
            try:
                wait_until(lambda: victim.status()["fuse"]["read_bytes"] >= aim, 60, "it reads")  # noqa: B023
                assert doomed.poll() is None
                crash(victim)
                assert survivor.wait(100) == 0
            finally:
                for process in (doomed, survivor):
                    process.kill()
                    process.wait()
    assert 48 * MIB <= most[0] <= 64 * MIB
    third = mount(url, *options)
    for mounted in (first, second, third):
        (disk,) = mounted.status()["disks"].values()
        assert disk["used_bytes"] <= 64 * MIB
        assert (disk["state"], disk["corrupt"], disk["errors"]) == ("ok", 0, 0)
    report = steer_json("cache", "verify", third.path)["jobs"][0]["report"]
    assert (report["corrupt"], report["missing"]) == (0, 0)
    check_all(third, contents)
    assert occupied(cache) <= 64 * MIB


@pytest.mark.slow
def test_two_buckets_in_one_directory(tmp_path: Path, mount: MountFunction) -> None:
    """Equal names of different stores are different objects, and commands keep to their store."""
    folders = [tmp_path / name for name in ("one", "two")]
    contents = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        contents.append(put_files(folder, {"a": 2 * MIB, "d/b": 1000}, seed=number))
    mounts = [mount(f"file://{folder}") for folder in folders]
    for _ in range(2):
        for mounted, expected in zip(mounts, contents, strict=True):
            check_all(mounted, expected)
    (directory,) = info(mounts[0])["directories"]
    objects = {store["store_id"]: store["objects"] for store in directory["stores"]}
    assert objects == {f"file://{folder}": 2 for folder in folders}
    steer("cache", "pin", mounts[0].path)
    assert info(mounts[1])["pins"] == []
    steer("cache", "evict", mounts[1].path)
    assert cached(mounts[0].path) == (2 * MIB + 1000, 2 * MIB + 1000)
    assert cached(mounts[1].path) == (0, 2 * MIB + 1000)
    for mounted, expected in zip(mounts, contents, strict=True):
        check_all(mounted, expected)
