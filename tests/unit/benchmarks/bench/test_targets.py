"""What the user names as targets, and what is found out about them before a run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.demo.ganesha import NfsServer
from cloudfs_benchmarks.bench.errors import BenchError, TargetError
from cloudfs_benchmarks.bench.results import Kind
from cloudfs_benchmarks.bench.targets import tunings
from cloudfs_benchmarks.bench.targets.inspection import inspect
from cloudfs_benchmarks.bench.targets.spec import TargetSpec, parse_targets
from cloudfs_benchmarks.bench.targets.urls import NfsUrl, parse_nfs
from tests.support.mounting import Mounted, cloudfs, mounted

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")


def test_a_target_is_a_name_and_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = "nfs://server:2050/export/cases?version=3"
    assert parse_targets(["a=/data", "local=scratch", "/mnt/cases-2", url, "b.2=nfs://s/x"]) == (
        TargetSpec("a", "/data"),
        TargetSpec("local", str(tmp_path / "scratch")),
        TargetSpec("cases-2", "/mnt/cases-2"),
        TargetSpec("cases", url),
        TargetSpec("b.2", "nfs://s/x"),
    )


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "name at least one"),
        (["a="], "has no path"),
        (["=/data"], "has no name"),
        (["-a=/data"], "'-a' is no name"),
        ([f"{'a' * 33}=/data"], "is no name"),
        (["/"], "'' is no name"),
        (["a=/data", "a=/scratch"], "two targets are named a"),
        (["a=/data", "b=/data/"], "targets a and b are the same"),
        (["a=nfs://s/x", "b=nfs://s:2049/x/"], "targets a and b are the same"),
        (["a=/data", "b=/data/inner"], "b lies inside target a"),
        (["a=/data/inner", "b=/data"], "a lies inside target b"),
        (["a=/", "b=/data"], "b lies inside target a"),
        (["a=s3://bucket"], "only nfs:// URLs"),
        (["a=nfs://server"], "not the URL of an NFS export"),
    ],
)
def test_bad_targets_are_told_in_one_line(texts: list[str], words: str) -> None:
    with pytest.raises(BenchError, match=words) as caught:
        parse_targets(texts)
    assert "\n" not in str(caught.value)


def test_a_link_to_a_target_is_the_target(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    with pytest.raises(BenchError, match="are the same"):
        parse_targets([f"a={tmp_path}/data", f"b={tmp_path}/link"])


@needs_root
def test_another_filesystem_inside_is_another_target(tmp_path: Path, tmpfs: Path) -> None:
    assert len(parse_targets([f"a={tmp_path}", f"b={tmpfs}"])) == 2


def test_nfs_urls() -> None:
    assert parse_nfs("nfs://s/a/b/") == NfsUrl("s", 2049, "/a/b", 4)
    assert parse_nfs("nfs://s/a?version=3&uid=5") == NfsUrl("s", None, "/a", 3, (("uid", 5),))
    assert parse_nfs("nfs://s:1/a?nfsport=2").query == "version=4&nfsport=2"
    assert parse_nfs("nfs://[::1]:7/a") == NfsUrl("::1", 7, "/a", 4)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A mounted tmpfs."""
    with _tmpfs(tmp_path / "tmpfs", "size=1m") as path:
        yield path


@contextmanager
def _tmpfs(path: Path, options: str) -> Iterator[Path]:
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "bench test", str(path)]
    subprocess.run(command, check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_local_directory(tmp_path: Path) -> None:
    target = inspect(TargetSpec("local", str(tmp_path)))
    assert (target.name, target.location, target.kind) == ("local", str(tmp_path), Kind.LOCAL)
    assert target.writable
    assert target.free_bytes == pytest.approx(os.statvfs(tmp_path).f_bavail * 4096, rel=0.2)
    assert target.filesystem
    assert "rw" in target.options.split(",")
    assert target.tunings_missing is None
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_read_only_and_full(tmp_path: Path) -> None:
    with _tmpfs(tmp_path / "read-only", "ro") as path:
        target = inspect(TargetSpec("t", str(path)))
        assert not target.writable
        assert target.source == "bench test"
        assert "rw" not in target.options.split(",")
    with _tmpfs(tmp_path / "full", "nr_inodes=1") as path:
        assert inspect(TargetSpec("t", str(path))).writable


def test_a_mount_of_cloudfs(cloudfs_mount: Mounted) -> None:
    target = inspect(TargetSpec("cloud", str(cloudfs_mount.path / "data")))
    assert target.kind is Kind.CLOUDFS
    assert target.filesystem == "fuse.cloudfs"
    assert not target.writable
    assert target.free_bytes is None
    assert target.settings["url"] == target.source
    assert target.source.startswith("file://")
    assert target.settings["cache_dirs"] == str(cloudfs_mount.path.parent / "cache")
    assert target.settings["health"] == "ok"
    assert target.read_ahead_kb == int(target.settings["kernel_read_ahead"]) // 1024
    assert {"version", "memory_limit", "cache_capacity"} <= target.settings.keys()


def test_an_export(nfs_folder: str) -> None:
    target = inspect(TargetSpec("nfs", nfs_folder))
    assert target.kind is Kind.LIBNFS
    assert target.writable
    assert target.free_bytes is not None
    assert target.free_bytes > 0
    assert target.tunings_missing == tunings.OF_LIBNFS
    assert target.settings["protocol"] == "NFS version 4"
    assert target.source == f"127.0.0.1:{parse_nfs(nfs_folder).path}"


def test_unusable_targets_are_told_in_one_line(tmp_path: Path, nfs_server: NfsServer) -> None:
    (tmp_path / "file").write_bytes(b"")
    for location, words in (
        (str(tmp_path / "missing"), "does not exist: make it"),
        (str(tmp_path / "file"), "is not a directory: name the directory"),
        (f"{nfs_server.url.partition('?')[0]}/missing", "refuses or does not answer"),
    ):
        with pytest.raises(TargetError, match=words) as caught:
            inspect(TargetSpec("t", location))
        assert "\n" not in str(caught.value)
        assert location in str(caught.value)


def test_a_mount_without_its_process_is_told(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    url = f"file://{tmp_path}/bucket"
    with mounted(url, tmp_path / "mnt", cache_dir=tmp_path / "cache") as mount:
        mount.stop(signal.SIGKILL)
        try:
            with pytest.raises(TargetError, match=r"process is gone: unmount it .* mount it again"):
                inspect(TargetSpec("t", str(mount.path)))
        finally:
            cloudfs("umount", str(mount.path))


_TUNED = "rw,vers=4.2,rsize=1048576,acregmin=600,acregmax=600,acdirmin=600,fsc,nconnect=8"


def test_a_tuned_mount_misses_nothing() -> None:
    assert tunings.missing(_TUNED, 15360) == ()


@pytest.mark.parametrize(
    ("options", "read_ahead", "expected"),
    [
        (_TUNED.replace("nconnect=8", "nconnect=2"), 15360, "nconnect=4 to 16 (is 2)"),
        (_TUNED.replace(",nconnect=8", ""), 15360, "nconnect=4 to 16 (is 1)"),
        (_TUNED.replace("rsize=1048576", "rsize=262144"), 15360, "rsize=1048576 (is 262144)"),
        (_TUNED.replace("acregmin=600,", ""), 15360, "actimeo=600 or nocto (is 3 s for files"),
        (_TUNED.replace("acregmin=600", "noac"), 15360, "actimeo=600 or nocto (is noac)"),
        (_TUNED, 128, "read_ahead_kb=15360 (is 128)"),
        (_TUNED, None, "read_ahead_kb=15360 (is unknown)"),
        (_TUNED.replace(",fsc", ""), 15360, "fsc with cachefilesd (is off)"),
    ],
)
def test_each_missing_tuning_is_named(options: str, read_ahead: int | None, expected: str) -> None:
    (found,) = tunings.missing(options, read_ahead)
    assert found.startswith(expected)
    assert ": " in found


def test_defaults_miss_all() -> None:
    assert len(tunings.missing("rw,relatime,vers=4.2,rsize=262144", 128)) == 5
    assert tunings.missing(_TUNED.replace("acregmin=600", "nocto"), 15360) == ()
