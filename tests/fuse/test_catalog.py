"""Persistent metadata: no request within the TTL after a remount, nothing old after it."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket, FolderBucket
from tests.support.mounting import Mounted, wait_until
from tests.support.proxy import proxy
from tests.support.stores import S3Server

MountFunction = Callable[..., Mounted]
MIB = 1 << 20
KEYS = ["a", "d/b", "d/ü/c", "d/ü/e", "d/x/y/z", "k/0", *(f"many/{n:03}" for n in range(120))]
TTL = ("--metadata-ttl", "1h", "--negative-ttl", "0")


def fill(bucket: Bucket, *, metadata: dict[str, str] | None = None) -> None:
    for number, key in enumerate(KEYS):
        bucket.put(key, b"x" * number, metadata=metadata if number % 2 else None)


def look_at_everything(path: Path) -> list[str]:
    """Return the output of `find` and `ls -lR`, without the name of the mountpoint."""
    found = subprocess.run(
        ["find", ".", "-printf", "%P %y %s %T@\n"], cwd=path, capture_output=True, check=True
    ).stdout
    shown = subprocess.run(["ls", "-lR"], cwd=path, capture_output=True, check=True).stdout
    return sorted(found.decode().splitlines()) + shown.decode().splitlines()


def requests(mounted: Mounted) -> dict[str, int]:
    counted: dict[str, int] = mounted.status()["store"]["requests"]
    return counted


def test_a_remount_serves_find_without_a_request(bucket: Bucket, mount: MountFunction) -> None:
    fill(bucket)
    first = bucket.mount(mount, *TTL)
    before = look_at_everything(first.path)
    assert requests(first)["list"] >= 7
    first.stop()
    second = bucket.mount(mount, *TTL)
    asked = requests(second)
    assert look_at_everything(second.path) == before
    assert (second.path / "d" / "x" / "y" / "z").stat().st_size == KEYS.index("d/x/y/z")
    assert requests(second) == asked
    # Data is read as ever, and a name that is not cached is looked up.
    assert (second.path / "d" / "b").read_bytes() == b"x"
    assert not (second.path / "new").exists()
    bucket.put("new", b"1")
    assert (second.path / "new").read_bytes() == b"1"


@pytest.mark.slow
def test_mtimes_in_metadata_are_persistent(s3_bucket: Bucket, mount: MountFunction) -> None:
    fill(s3_bucket, metadata={"mtime": "1500000000.25"})
    first = s3_bucket.mount(mount, *TTL)
    before = look_at_everything(first.path)
    assert sum("1500000000.25" in line for line in before) == len(KEYS) // 2
    assert requests(first)["head"] >= len(KEYS)
    first.stop()
    second = s3_bucket.mount(mount, *TTL)
    asked = requests(second)
    assert look_at_everything(second.path) == before
    assert requests(second) == asked


@pytest.mark.slow
def test_mounts_at_once_share_metadata(bucket: Bucket, mount: MountFunction) -> None:
    fill(bucket)
    first = bucket.mount(mount, *TTL)
    second = bucket.mount(mount, *TTL)
    before = look_at_everything(first.path)
    first.stop()  # All its metadata is written by then.
    asked = requests(second)
    assert look_at_everything(second.path) == before
    assert requests(second) == asked


@pytest.mark.slow
def test_after_the_ttl_a_change_is_seen(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("d/a", b"1")
    bucket.put("d/gone", b"1")
    first = bucket.mount(mount, "--metadata-ttl", "2s")
    assert os.listdir(first.path / "d") == ["a", "gone"]
    first.stop()
    bucket.put("d/a", b"changed")
    bucket.put("d/b", b"new")
    bucket.delete("d/gone")
    second = bucket.mount(mount, "--metadata-ttl", "2s")
    wait_until(lambda: os.listdir(second.path / "d") == ["a", "b"], 15, "the change is seen")
    wait_until(lambda: (second.path / "d/a").read_bytes() == b"changed", 15, "the new version")


@pytest.mark.slow
def test_an_overwritten_object_does_not_come_back(bucket: Bucket, mount: MountFunction) -> None:
    old, new = random.Random(1).randbytes(24 * MIB), random.Random(2).randbytes(24 * MIB)
    bucket.put("d/f", old)
    first = bucket.mount(mount, *TTL, "--read-ahead", "1MiB")
    assert os.listdir(first.path / "d") == ["f"]
    with (first.path / "d" / "f").open("rb", buffering=0) as file:
        assert file.read(4096) == old[:4096]
        bucket.put("d/f", new)
        with pytest.raises(OSError, match="Stale"):
            os.pread(file.fileno(), 4096, 20 * MIB)
    first.stop()
    second = bucket.mount(mount, *TTL)
    assert (second.path / "d" / "f").read_bytes() == new


@pytest.mark.slow
def test_another_endpoint_is_another_bucket(
    s3_bucket: Bucket, s3_server: S3Server, mount: MountFunction
) -> None:
    s3_bucket.put("a", b"1")
    first = s3_bucket.mount(mount, *TTL)
    assert os.listdir(first.path) == ["a"]
    first.stop()
    s3_bucket.put("b", b"2")
    with proxy(s3_server.port) as elsewhere:
        second = s3_bucket.mount(mount, *TTL, endpoint=elsewhere.endpoint_url)
        assert sorted(os.listdir(second.path)) == ["a", "b"]
        second.stop()
    third = s3_bucket.mount(mount, *TTL)
    assert os.listdir(third.path) == ["a"]


@pytest.mark.slow
def test_a_damaged_catalog_costs_requests_only(
    folder: Path, mount: MountFunction, tmp_path: Path
) -> None:
    bucket = FolderBucket(folder)
    fill(bucket)
    first = bucket.mount(mount, *TTL)
    before = look_at_everything(first.path)
    first.stop()
    database = tmp_path / "cache" / "catalog" / "cache.db"
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700
    database.write_bytes(b"garbage " * 1000)
    second = bucket.mount(mount, *TTL, allowed=["WARNING .*catalog"])
    assert look_at_everything(second.path) == before
    second.wait_for_log("WARNING .*catalog")
    second.stop()
    third = bucket.mount(mount, *TTL)
    asked = requests(third)
    assert look_at_everything(third.path) == before
    assert requests(third) == asked


@pytest.mark.slow
def test_without_an_ssd_tier_nothing_is_kept(
    folder: Path, mount: MountFunction, tmp_path: Path
) -> None:
    bucket = FolderBucket(folder)
    fill(bucket)
    first = bucket.mount(mount, *TTL, "--max-cache-size", "0")
    before = look_at_everything(first.path)
    first.stop()
    assert not (tmp_path / "cache" / "catalog").exists()
    second = bucket.mount(mount, *TTL, "--max-cache-size", "0")
    asked = requests(second)
    assert look_at_everything(second.path) == before
    assert requests(second)["list"] >= asked.get("list", 0) + 7
