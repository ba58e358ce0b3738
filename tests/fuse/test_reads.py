"""Bytes through a real mount, from several processes and in every way the kernel can ask."""

from __future__ import annotations

import concurrent.futures
import mmap
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket
from tests.support.mounting import Mounted

MountFunction = Callable[..., Mounted]
MIB = 1 << 20
SIZES = [0, 1, 4095, 4096, 100_000, MIB, MIB + 1, 5 * MIB + 123, 23 * MIB + 7]


def make_content(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{seed}-{size}").randbytes(size)


@pytest.fixture
def files(bucket: Bucket) -> dict[str, bytes]:
    """A tree of files of many sizes."""
    contents = {f"run_{i}/data_{size}.bin": make_content(size, i) for i, size in enumerate(SIZES)}
    for key, data in contents.items():
        bucket.put(key, data)
    return contents


def test_the_tree_and_every_byte(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = bucket.mount(mount)
    seen = {
        str(path.relative_to(mounted.path)): path.read_bytes()
        for path in sorted(mounted.path.rglob("*"))
        if path.is_file()
    }
    assert seen == files


def test_a_second_read_asks_the_store_for_nothing(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = bucket.mount(mount)
    path = mounted.path / f"run_8/data_{SIZES[-1]}.bin"
    first = path.read_bytes()
    received = mounted.status()["store"]["received_bytes"]
    assert received == len(first)
    os.posix_fadvise(fd := os.open(path, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    assert path.read_bytes() == first
    assert mounted.status()["store"]["received_bytes"] == received


def test_many_processes_share_one_fetch(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = bucket.mount(mount)
    key = f"run_8/data_{SIZES[-1]}.bin"
    script = "import hashlib, sys; print(hashlib.md5(open(sys.argv[1], 'rb').read()).hexdigest())"
    command = [sys.executable, "-c", script, str(mounted.path / key)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    digests = {reader.communicate(timeout=60)[0] for reader in readers}
    assert len(digests) == 1
    assert mounted.status()["store"]["received_bytes"] == len(files[key])


def test_threads_share_one_descriptor(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = bucket.mount(mount)
    key = f"run_8/data_{SIZES[-1]}.bin"
    fd = os.open(mounted.path / key, os.O_RDONLY)
    rng = random.Random(3)
    spans = [(rng.randrange(len(files[key])), rng.randrange(1, 300_000)) for _ in range(200)]
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = pool.map(lambda span: os.pread(fd, span[1], span[0]), spans)
            for (offset, size), data in zip(spans, results, strict=True):
                assert data == files[key][offset : offset + size]
    finally:
        os.close(fd)


@pytest.mark.parametrize("flags", [mmap.MAP_SHARED, mmap.MAP_PRIVATE])
def test_mmap(bucket: Bucket, files: dict[str, bytes], mount: MountFunction, flags: int) -> None:
    mounted = bucket.mount(mount)
    key = f"run_7/data_{SIZES[7]}.bin"
    with open(mounted.path / key, "rb") as file:
        view = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
    try:
        for offset in (4_000_000, 17, len(view) - 5, 1_048_575):
            assert view[offset : offset + 5] == files[key][offset : offset + 5]
        assert view[:] == files[key]
    finally:
        view.close()


def test_o_direct(bucket: Bucket, files: dict[str, bytes], mount: MountFunction) -> None:
    mounted = bucket.mount(mount)
    key = f"run_8/data_{SIZES[-1]}.bin"
    fd = os.open(mounted.path / key, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 3 * MIB)
    try:
        for offset in (0, 4096, 7 * MIB - 8192, 22 * MIB):
            count = os.preadv(fd, [buffer], offset)
            assert buffer[:count] == files[key][offset : offset + 3 * MIB]
    finally:
        os.close(fd)


def test_random_reads_of_several_processes_match_the_source(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(files[f"run_8/data_{SIZES[-1]}.bin"])
    mounted = bucket.mount(mount, "--memory-limit", "64MiB")
    path = mounted.path / f"run_8/data_{SIZES[-1]}.bin"
    readers = [
        subprocess.Popen([sys.executable, "-c", RANDOM_READER, str(source), str(path), str(seed)])
        for seed in range(4)
    ]
    assert [reader.wait(120) for reader in readers] == [0, 0, 0, 0]


def test_a_restart_finds_the_ssd_tier_warm(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction
) -> None:
    first = bucket.mount(mount)
    for key in files:
        (first.path / key).read_bytes()
    assert first.stop() == 0
    second = bucket.mount(mount)
    for key, data in files.items():
        assert (second.path / key).read_bytes() == data
    status = second.status()
    assert status["store"]["requests"].get("get", 0) == 0
    assert status["sources"]["disk_bytes"] == sum(map(len, files.values()))


def test_cached_xattr_says_what_is_local(
    bucket: Bucket, files: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = bucket.mount(mount)
    path = mounted.path / f"run_8/data_{SIZES[-1]}.bin"
    size = SIZES[-1]
    assert os.getxattr(path, "user.cloudfs.cached") == f"0/{size}".encode()
    path.read_bytes()
    assert os.getxattr(path, "user.cloudfs.cached") == f"{size}/{size}".encode()
    assert set(os.listxattr(path)) == {"user.cloudfs.etag", "user.cloudfs.cached"}
    assert os.getxattr(path, "user.cloudfs.etag") == bucket.etag(f"run_8/data_{size}.bin").encode()
    with pytest.raises(OSError, match="No data"):
        os.getxattr(path, "user.other")


def test_statfs_and_access(bucket: Bucket, files: dict[str, bytes], mount: MountFunction) -> None:
    mounted = bucket.mount(mount)
    numbers = os.statvfs(mounted.path)
    assert numbers.f_blocks * numbers.f_frsize == 1 << 50
    assert numbers.f_bavail == 0
    assert numbers.f_namemax == 255
    path = mounted.path / "run_1/data_1.bin"
    assert os.access(path, os.R_OK)
    assert not os.access(path, os.W_OK)
    with pytest.raises(OSError, match="Invalid argument"):
        os.readlink(path)


RANDOM_READER = """
import os, random, sys
source, path, seed = open(sys.argv[1], "rb"), sys.argv[2], sys.argv[3]
rng, size = random.Random(seed), os.path.getsize(sys.argv[1])
assert os.path.getsize(path) == size
for _ in range(20):
    fd = os.open(path, os.O_RDONLY)
    for _ in range(25):
        offset = rng.randrange(size)
        length = rng.choice([1, 512, 4096, 100_000, 1 << 20, 3 << 20])
        if os.pread(fd, length, offset) != os.pread(source.fileno(), length, offset):
            sys.exit(f"wrong bytes at {offset}+{length}")
    os.close(fd)
"""
