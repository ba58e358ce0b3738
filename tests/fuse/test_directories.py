"""Directories through a mount: large, changing, deep, forgotten; and names that are not there."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket
from tests.support.mounting import Mounted, wait_until

MountFunction = Callable[..., Mounted]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop the kernel's names")


class Dirent(ctypes.Structure):
    """`struct dirent64` of glibc on Linux."""

    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_uint16),
        ("d_type", ctypes.c_uint8),
        ("d_name", ctypes.c_char * 256),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.opendir.restype = ctypes.c_void_p
_libc.opendir.argtypes = [ctypes.c_char_p]
_libc.readdir64.restype = ctypes.POINTER(Dirent)
_libc.readdir64.argtypes = [ctypes.c_void_p]
_libc.telldir.restype = ctypes.c_long
_libc.telldir.argtypes = [ctypes.c_void_p]
_libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
_libc.rewinddir.argtypes = [ctypes.c_void_p]
_libc.closedir.argtypes = [ctypes.c_void_p]


class Directory:
    """An open directory with the calls of C that Python does not have."""

    def __init__(self, path: Path) -> None:
        self._stream = _libc.opendir(os.fsencode(path))
        if not self._stream:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def read(self) -> str | None:
        """The next name, None at the end; dots included."""
        ctypes.set_errno(0)
        entry = _libc.readdir64(self._stream)
        if not entry:
            number = ctypes.get_errno()
            if number:
                raise OSError(number, os.strerror(number))
            return None
        # The name may be cut short of the array: it ends with a NUL.
        return os.fsdecode(ctypes.string_at(ctypes.addressof(entry.contents) + 19))

    def rest(self) -> list[str]:
        return list(iter(self.read, None))

    def tell(self) -> int:
        return int(_libc.telldir(self._stream))

    def seek(self, position: int) -> None:
        _libc.seekdir(self._stream, position)

    def rewind(self) -> None:
        _libc.rewinddir(self._stream)

    def close(self) -> None:
        _libc.closedir(self._stream)


@contextmanager
def opened(path: Path) -> Iterator[Directory]:
    directory = Directory(path)
    try:
        yield directory
    finally:
        directory.close()


def fill(folder: Path, count: int) -> list[str]:
    """Make `count` small files quickly and return their names."""
    names = [f"case_{number:06}.npz" for number in range(count)]
    directory = os.open(folder, os.O_RDONLY)
    try:
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    finally:
        os.close(directory)
    return names


def store_requests(mounted: Mounted) -> int:
    return sum(mounted.status()["store"]["requests"].values())


# --- large directories

ADDER = """
import itertools, os, sys, time
os.chdir(sys.argv[1])
for number in itertools.count():
    os.close(os.open(f"added_{number:07}", os.O_CREAT | os.O_WRONLY))
    if number == 0:
        print("adding", flush=True)
    time.sleep(0.001)  # 1,000 files a second at most
    if number % 100 == 0 and os.path.exists("../enough"):
        print(number + 1, flush=True)
        break
"""


@pytest.mark.slow
def test_a_hundred_thousand_entries_while_others_are_added(
    folder: Path, mount: MountFunction
) -> None:
    names = fill(folder, 100_000)
    mounted = mount(f"file://{folder}", "--metadata-ttl", "0")
    adder = subprocess.Popen(
        [sys.executable, "-c", ADDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert adder.stdout is not None
    with adder.stdout:
        try:
            assert adder.stdout.readline() == "adding\n"
            listings = [os.listdir(mounted.path) for _ in range(2)]
            (folder.parent / "enough").touch()
            added = int(adder.stdout.readline())
        finally:
            adder.kill()
            adder.wait()
    for listing in listings:
        assert len(listing) == len(set(listing))
        assert set(names) <= set(listing)
        assert {name for name in listing if not name.startswith("added_")} == set(names)
    final = os.listdir(mounted.path)
    assert len(final) == len(set(final)) == len(names) + added


@pytest.mark.slow
def test_a_listing_of_several_pages_on_s3(s3_bucket: Bucket, mount: MountFunction) -> None:
    names = [f"case_{number:05}.npz" for number in range(2100)]
    for name in names:
        s3_bucket.put(f"d/{name}", b"")
    s3_bucket.put("d/zz-inside/f", b"1")
    mounted = s3_bucket.mount(mount)
    assert sorted(os.listdir(mounted.path / "d")) == [*names, "zz-inside"]
    requests = mounted.status()["store"]["requests"]
    before = store_requests(mounted)
    assert requests["list"] < 10
    sizes = [entry.stat().st_size for entry in os.scandir(mounted.path / "d") if entry.is_file()]
    assert sizes == [0] * 2100
    assert store_requests(mounted) - before <= 1


# --- positions in an open directory


@pytest.fixture
def listed(folder: Path, mount: MountFunction) -> Path:
    """A mounted directory that takes many replies of the kernel."""
    (folder / "d").mkdir()
    fill(folder / "d", 3000)
    return mount(f"file://{folder}", "--metadata-ttl", "0", "--negative-ttl", "0").path / "d"


def test_seekdir_goes_back_to_every_telldir(listed: Path) -> None:
    with opened(listed) as directory:
        positions, names = [directory.tell()], []
        while (name := directory.read()) is not None:
            names.append(name)
            positions.append(directory.tell())
        assert len(names) == len(set(names)) == 3002
        assert {".", ".."} < set(names)
        for index in (*range(0, 3002, 97), 1, 2, 3, 2999, 3001, 3002):
            directory.seek(positions[index])
            assert directory.read() == (names[index] if index < len(names) else None)
        directory.seek(positions[2900])
        assert directory.rest() == names[2900:]
        directory.rewind()
        assert directory.rest() == names


def test_readers_of_one_directory_do_not_disturb_each_other(listed: Path) -> None:
    with opened(listed) as first, opened(listed) as second, os.scandir(listed) as third:
        seen: tuple[list[str], list[str], list[str]] = ([], [], [])
        for _ in range(900):
            seen[0].append(str(first.read()))
            for _ in range(3):
                seen[1].append(str(second.read()))
            seen[2].append(next(third).name)
        seen[0].extend(first.rest())
        seen[1].extend(second.rest())
        seen[2].extend(entry.name for entry in third)
    assert seen[0] == seen[1] == [".", "..", *seen[2]]
    assert len(set(seen[0])) == 3002


def test_what_changes_during_a_listing_does_not_break_it(listed: Path, folder: Path) -> None:
    source = folder / "d"
    names = sorted(os.listdir(source))
    with opened(listed) as directory:
        seen = [directory.read() for _ in range(100)]
        for name in names[::2]:
            os.unlink(source / name)
        (source / "a-new-one").touch()
        (source / "z-new-one").touch()
        # Another process looks meanwhile, so that the mount knows of the change.
        assert set(os.listdir(listed)) == {*names[1::2], "a-new-one", "z-new-one"}
        seen += directory.rest()
    assert len(seen) == len(set(seen))
    assert set(names[1::2]) <= set(seen) <= {".", "..", *names, "a-new-one", "z-new-one"}
    for name in names[:10:2]:
        assert not (listed / name).exists()
    with opened(listed) as directory:
        assert set(directory.rest()) == {".", "..", *names[1::2], "a-new-one", "z-new-one"}


def test_a_directory_deleted_while_it_is_open(folder: Path, mount: MountFunction) -> None:
    (folder / "d").mkdir()
    fill(folder / "d", 2000)
    mounted = mount(f"file://{folder}", "--metadata-ttl", "0", "--negative-ttl", "0")
    with opened(mounted.path / "d") as directory:
        seen = [directory.read() for _ in range(10)]
        for name in os.listdir(folder / "d"):
            os.unlink(folder / "d" / name)
        os.rmdir(folder / "d")
        assert not (mounted.path / "d").exists()
        seen += directory.rest()
        assert len(set(seen)) == len(seen) == 2002
    with pytest.raises(OSError, match="No such file") as caught:
        os.listdir(mounted.path / "d")
    assert caught.value.errno == errno.ENOENT


# --- trees


def test_an_empty_root(bucket: Bucket, mount: MountFunction) -> None:
    mounted = bucket.mount(mount, "--metadata-ttl", "0", "--negative-ttl", "0")
    assert os.listdir(mounted.path) == []
    assert mounted.path.is_dir()
    assert not (mounted.path / "nothing").exists()
    bucket.put("first", b"1")
    assert os.listdir(mounted.path) == ["first"]


def test_a_nested_walk_equals_the_tree(bucket: Bucket, mount: MountFunction) -> None:
    keys = [
        f"run_{run}/{part}/{number}.vtu"
        for run in range(8)
        for part in ("surface", "volume", "images/png")
        for number in range(run % 3 + 1)
    ]
    for key in [*keys, "run_1.csv", "run_10/only"]:
        bucket.put(key, key.encode())
    mounted = bucket.mount(mount)
    for top_down in (True, False):
        walked = {
            os.path.relpath(os.path.join(root, name), mounted.path)
            for root, _, names in os.walk(mounted.path, topdown=top_down)
            for name in names
        }
        assert walked == {*keys, "run_1.csv", "run_10/only"}
    folders = {str(p.relative_to(mounted.path)) for p in mounted.path.rglob("*") if p.is_dir()}
    assert folders == {
        str(parent)
        for key in [*keys, "run_10/only"]
        for parent in Path(key).parents
        if str(parent) != "."
    }
    assert (mounted.path / keys[-1]).read_bytes() == keys[-1].encode()


def test_a_path_of_fifty_levels(bucket: Bucket, mount: MountFunction) -> None:
    deep = "/".join(f"level_{number}" for number in range(50))
    bucket.put(f"{deep}/f", b"at the bottom")
    mounted = bucket.mount(mount)
    assert (mounted.path / deep / "f").read_bytes() == b"at the bottom"
    assert [len(names) for _, _, names in os.walk(mounted.path)] == [0] * 50 + [1]
    up = "/".join([".."] * 50)
    assert os.listdir(mounted.path / deep / up) == ["level_0"]
    descriptor = os.open(mounted.path / deep, os.O_RDONLY)
    try:
        assert os.listdir(descriptor) == ["f"]
        assert (
            os.stat("../..", dir_fd=descriptor).st_ino
            == (mounted.path / deep).parents[1].stat().st_ino
        )
    finally:
        os.close(descriptor)


# --- forgotten and missing names


@needs_root
def test_what_the_kernel_forgets_leaves_the_memory(folder: Path, mount: MountFunction) -> None:
    for number in range(4):
        (folder / f"d{number}").mkdir()
        fill(folder / f"d{number}", 5000)
    (folder / "d3" / "content").write_bytes(b"still here")
    mounted = mount(f"file://{folder}", "--metadata-ttl", "indefinite")
    seen = [entry.stat().st_ino for n in range(4) for entry in os.scandir(mounted.path / f"d{n}")]
    assert len(set(seen)) == 20_001
    assert mounted.status()["inodes"] > 20_000
    with open(mounted.path / "d3" / "content", "rb") as file:
        drop_names(mounted.path)
        wait_until(lambda: mounted.status()["inodes"] < 100, 20, "the mount forgets")
        assert file.read() == b"still here"
    for number in range(4):
        assert len(os.listdir(mounted.path / f"d{number}")) == 5000 + (number == 3)
    assert (mounted.path / "d0" / "case_000000.npz").stat().st_size == 0
    assert (mounted.path / "d3" / "content").read_bytes() == b"still here"


def drop_names(mountpoint: Path) -> None:
    """Make the kernel drop its names of this file system, and of no other.

    A remount does that; `drop_caches` would do it to everything on the machine.
    """
    ms_rdonly, ms_remount = 1, 32
    path = os.fsencode(mountpoint)
    if _libc.mount(b"none", path, b"none", ms_remount | ms_rdonly, b"") != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def test_storms_of_missing_names_ask_the_store_once_each(
    bucket: Bucket, mount: MountFunction
) -> None:
    bucket.put("d/f", b"1")
    mounted = bucket.mount(mount, "--negative-ttl", "1h")
    missing = [mounted.path / "d" / f"missing_{number}" for number in range(40)]
    with held(mounted.path / "d"):
        assert not any(map(os.path.exists, missing))
        asked = store_requests(mounted)
        for _ in range(50):
            assert not any(map(os.path.exists, missing))
        assert store_requests(mounted) == asked


@needs_root
def test_the_mount_itself_caches_missing_names(bucket: Bucket, mount: MountFunction) -> None:
    bucket.put("d/f", b"1")
    mounted = bucket.mount(mount, "--negative-ttl", "1h", "--metadata-ttl", "1h")
    missing = [mounted.path / "d" / f"missing_{number}" for number in range(40)]
    with held(mounted.path / "d"):
        assert not any(map(os.path.exists, missing))
        drop_names(mounted.path)
        asked, lookups = store_requests(mounted), _lookups(mounted)
        assert not any(map(os.path.exists, missing))
        assert store_requests(mounted) == asked
        assert _lookups(mounted) - lookups >= len(missing), "the kernel had dropped its names"


def test_a_listed_directory_answers_for_missing_names(bucket: Bucket, mount: MountFunction) -> None:
    """The probes of zarr and of `glob` for files beside those that are there."""
    for number in range(5):
        bucket.put(f"case_{number}.zarr/zarr.json", b"{}")
    mounted = bucket.mount(mount, "--negative-ttl", "1h")
    groups = [mounted.path / f"case_{number}.zarr" for number in range(5)]
    with held(*groups):
        assert [os.listdir(group) for group in groups] == [["zarr.json"]] * 5
        asked = store_requests(mounted)
        for group in groups:
            for name in (".zgroup", ".zarray", ".zattrs", ".zmetadata"):
                assert not (group / name).exists()
        assert store_requests(mounted) == asked


@contextmanager
def held(*folders: Path) -> Iterator[None]:
    """Hold directories without listing them.

    What is known of one is dropped when the kernel forgets it, which another process of this
    machine may bring about at any time.
    """
    descriptors = [os.open(folder, os.O_PATH) for folder in folders]
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _lookups(mounted: Mounted) -> int:
    return int(mounted.status()["fuse"]["operations"]["lookup"]["requests"])
