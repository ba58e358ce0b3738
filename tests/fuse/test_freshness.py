"""Objects that change under a mount: never a mix, ESTALE on the old handle, new bytes at the next
open."""

from __future__ import annotations

import errno
import mmap
import os
import random
from collections.abc import Callable

import pytest

from tests.fuse.buckets import Bucket
from tests.support.mounting import Mounted, wait_until

MountFunction = Callable[..., Mounted]
MIB = 1 << 20
OLD = random.Random(1).randbytes(24 * MIB)
NEW = random.Random(2).randbytes(24 * MIB)


def test_overwritten_object(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("f", OLD)
    mounted = bucket.mount(mount, "--metadata-ttl", "indefinite", "--read-ahead", "1MiB")
    path = mounted.path / "f"
    fd = os.open(path, os.O_RDONLY)
    try:
        head = os.pread(fd, 4096, 0)
        bucket.put("f", NEW)
        with pytest.raises(OSError, match="Stale") as caught:
            os.pread(fd, 4096, 20 * MIB)
        assert caught.value.errno == errno.ESTALE
        # What is cached of the old version stays the old version.
        assert head == os.pread(fd, 4096, 0) == OLD[:4096]
        wait_until(lambda: path.read_bytes() == NEW, 5, "the next open reads the new version")
        assert os.pread(fd, 4096, 0) == OLD[:4096]
        with pytest.raises(OSError, match="Stale"):
            os.pread(fd, 4096, 21 * MIB)
    finally:
        os.close(fd)


def test_new_bytes_and_size_after_the_ttl(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("f", OLD[: 3 * MIB])
    mounted = bucket.mount(mount, "--metadata-ttl", "0")
    path = mounted.path / "f"
    assert path.read_bytes() == OLD[: 3 * MIB]
    inode = path.stat().st_ino
    bucket.put("f", NEW[: 2 * MIB])
    assert path.stat().st_size == 2 * MIB
    assert path.read_bytes() == NEW[: 2 * MIB]
    assert path.stat().st_ino != inode
    # The same bytes of the same length as before, but another version: still consistent.
    bucket.put("f", OLD[: 2 * MIB])
    assert path.read_bytes() == OLD[: 2 * MIB]


def test_a_mapping_keeps_its_version(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("f", OLD[:MIB])
    mounted = bucket.mount(mount, "--metadata-ttl", "0")
    path = mounted.path / "f"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert view[:] == OLD[:MIB]
        bucket.put("f", NEW[:MIB])
        assert path.read_bytes() == NEW[:MIB]
        assert view[:] == OLD[:MIB]


def test_page_cache_survives_close_and_open(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("f", OLD[: 8 * MIB])
    mounted = bucket.mount(mount)
    path = mounted.path / "f"
    path.read_bytes()
    before = mounted.status()["fuse"]["read_bytes"]
    for _ in range(5):
        assert path.read_bytes() == OLD[: 8 * MIB]
    # The machine may reclaim some pages: far less than one more read of the file.
    assert mounted.status()["fuse"]["read_bytes"] - before < 8 * MIB


def test_deleted_object(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("d/f", OLD[:MIB])
    bucket.put("d/g", b"stays")
    mounted = bucket.mount(mount, "--metadata-ttl", "0", "--negative-ttl", "0")
    assert (mounted.path / "d/f").exists()
    bucket.delete("d/f")
    assert not (mounted.path / "d/f").exists()
    assert os.listdir(mounted.path / "d") == ["g"]


def test_new_objects_appear_after_the_negative_ttl(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("d/a", b"1")
    mounted = bucket.mount(mount, "--metadata-ttl", "indefinite", "--negative-ttl", "100ms")
    assert os.listdir(mounted.path / "d") == ["a"]
    assert not (mounted.path / "d/b").exists()
    bucket.put("d/b", b"2")
    wait_until((mounted.path / "d/b").exists, 5, "the new object is seen")
    assert (mounted.path / "d/b").read_bytes() == b"2"


def test_metadata_is_not_asked_for_again_within_the_ttl(
    bucket: Bucket, mount: MountFunction
) -> None:
    for number in range(30):
        bucket.put(f"d/{number}", b"x" * number)
    mounted = bucket.mount(mount, "--metadata-ttl", "indefinite")

    def walk() -> list[tuple[str, int]]:
        return sorted((e.name, e.stat().st_size) for e in os.scandir(mounted.path / "d"))

    first = walk()
    before = mounted.status()["store"]["requests"]
    for _ in range(10):
        assert walk() == first
        assert [(mounted.path / "d" / str(n)).stat().st_size for n in range(30)] == list(range(30))
    assert mounted.status()["store"]["requests"] == before
