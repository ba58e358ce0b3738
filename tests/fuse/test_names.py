"""Paths of keys: directories, markers, conflicts, odd and impossible names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket
from tests.support.mounting import Mounted, cloudfs

MountFunction = Callable[..., Mounted]

ODD = [
    "with space.txt",
    "ünïcödé/文件.vtu",
    "percent%41.txt",
    "plus+and&amp;.txt",
    "hash#question?.txt",
    "quote'\".txt",
    "tilde~star*.txt",
    "-dash.txt",
    "x" * 255,
    ".hidden/.file",
    "a/b/c/d/e/f.txt",
]


def test_a_newline_in_a_name_survives(folder: Path, mount: MountFunction) -> None:
    # Over file:// only: the S3 server of the tests (moto) does not route such keys.
    (folder / "new\nline.txt").write_bytes(b"1")
    assert (mount(f"file://{folder}").path / "new\nline.txt").read_bytes() == b"1"


def test_odd_names_survive(bucket: Bucket, mount: MountFunction) -> None:
    for number, key in enumerate(ODD):
        bucket.put(key, str(number).encode())
    mounted = bucket.mount(mount)
    for number, key in enumerate(ODD):
        assert (mounted.path / key).read_bytes() == str(number).encode()
    listed = {
        os.path.relpath(os.path.join(root, name), mounted.path)
        for root, _, names in os.walk(mounted.path)
        for name in names
    }
    assert listed == set(ODD)


def test_a_backslash_in_a_name_survives(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("back\\slash.txt", b"1")
    mounted = bucket.mount(mount)
    assert os.listdir(mounted.path) == ["back\\slash.txt"]
    assert (mounted.path / "back\\slash.txt").read_bytes() == b"1"


def test_non_utf8_names_survive(mount: MountFunction, folder: object) -> None:
    name = os.path.join(os.fsencode(str(folder)), b"caf\xe9.bin")
    with open(name, "wb") as file:
        file.write(b"latin-1")
    mounted = mount(f"file://{folder}")
    (only,) = os.listdir(os.fsencode(mounted.path))
    assert only == b"caf\xe9.bin"
    with open(os.path.join(os.fsencode(mounted.path), only), "rb") as opened:
        assert opened.read() == b"latin-1"


def test_markers_are_directories(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("empty/", b"")
    bucket.put("full/", b"")
    bucket.put("full/inside", b"1")
    mounted = bucket.mount(mount)
    assert sorted(os.listdir(mounted.path)) == ["empty", "full"]
    assert os.listdir(mounted.path / "empty") == []
    assert os.listdir(mounted.path / "full") == ["inside"]
    assert (mounted.path / "empty").is_dir()


def test_a_prefix_is_mounted_on_its_own(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("train/x", b"1")
    bucket.put("test/y", b"2")
    mounted = bucket.mount(mount, prefix="train")
    assert os.listdir(mounted.path) == ["x"]


@pytest.mark.parametrize("listed_first", [True, False])
def test_a_directory_wins_over_a_file_of_its_name(
    s3_bucket: Bucket, mount: MountFunction, listed_first: bool
) -> None:
    s3_bucket.put("both", b"file")
    s3_bucket.put("both-after", b"sorts between the two")
    s3_bucket.put("both/inside", b"1")
    mounted = s3_bucket.mount(mount, allowed=["hidden"])
    if listed_first:
        assert sorted(os.listdir(mounted.path)) == ["both", "both-after"]
    assert (mounted.path / "both").is_dir()
    assert (mounted.path / "both" / "inside").read_bytes() == b"1"
    if listed_first:
        assert "'both' is hidden" in mounted.log


def test_impossible_names_are_hidden_counted_and_logged_once(
    s3_bucket: Bucket, mount: MountFunction
) -> None:
    impossible = ["d//x", "d/./x", "d/../x", "d/" + "y" * 256]
    for key in [*impossible, "d/fine"]:
        s3_bucket.put(key, b"1")
    mounted = s3_bucket.mount(mount, "--metadata-ttl", "0", allowed=["hidden"])
    for _ in range(3):
        assert os.listdir(mounted.path / "d") == ["fine"]
    assert mounted.log.count("is hidden") == len(impossible)
    assert mounted.status()["hidden_names"] == len(impossible)
    for key in impossible[:3]:
        assert not os.path.exists(f"{mounted.path}/d/{key[2:]}/nothing")


@pytest.mark.parametrize(
    ("metadata", "mtime_ns"),
    [
        ({"mtime": "1600000000.123456789"}, 1_600_000_000_123_456_789),
        ({"mtime": "1500000000"}, 1_500_000_000_000_000_000),
        ({"gcsfuse_mtime": "2020-01-02T03:04:05.000000006Z"}, 1_577_934_245_000_000_006),
    ],
)
def test_mtime_comes_from_metadata(
    s3_bucket: Bucket, mount: MountFunction, metadata: dict[str, str], mtime_ns: int
) -> None:
    s3_bucket.put("d/with", b"1", metadata=metadata)
    s3_bucket.put("d/without", b"1")
    mounted = s3_bucket.mount(mount)
    assert os.stat(mounted.path / "d/with").st_mtime_ns == mtime_ns
    os.listdir(mounted.path / "d")
    listed = {e.name: e.stat().st_mtime_ns for e in os.scandir(mounted.path / "d")}
    assert listed["with"] == mtime_ns
    assert listed["without"] > 1_700_000_000 * 10**9


def test_mtime_after_a_listing_comes_from_metadata(s3_bucket: Bucket, mount: MountFunction) -> None:
    for number in range(20):
        s3_bucket.put(f"d/{number}", b"1", metadata={"mtime": str(1_600_000_000 + number)})
    mounted = s3_bucket.mount(mount)
    listed = {entry.name: entry.stat().st_mtime for entry in os.scandir(mounted.path / "d")}
    assert listed == {str(n): 1_600_000_000 + n for n in range(20)}


def test_ownership_and_modes(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("d/f", b"1")
    mounted = bucket.mount(
        mount, "--uid", "1234", "--gid", "4321", "--file-mode", "0440", "--dir-mode", "0770",
        "--umask", "0007",
    )  # fmt: skip
    file, directory = os.stat(mounted.path / "d/f"), os.stat(mounted.path / "d")
    assert (file.st_uid, file.st_gid, file.st_mode & 0o7777) == (1234, 4321, 0o440)
    assert directory.st_mode & 0o7777 == 0o770


def test_umount_of_something_else_is_refused(tmp_path: object) -> None:
    done = cloudfs("umount", str(tmp_path))
    assert done.returncode == 9
    assert len(done.stderr.splitlines()) == 1
