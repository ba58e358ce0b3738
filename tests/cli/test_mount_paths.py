"""Mounts and keys of paths, without access to the mount: the one here never responds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudfs.cli.arguments import mount_paths
from cloudfs.cli.arguments.mount_paths import MountPath, MountTable
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the mount table shows as a mount of cloudfs, beside one of another kind."""
    path, other = tmp_path / "data", tmp_path / "other"
    path.mkdir()
    other.mkdir()
    table = "".join(
        f"36 28 0:31 / {mountpoint} ro - {fstype} source rw\n"
        for mountpoint, fstype in ((path, "fuse.cloudfs"), (other, "ext4"))
    )
    (tmp_path / "mountinfo").write_text(table)
    monkeypatch.setattr(mountpoints.table, "_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths whose file system was asked for something."""
    paths: list[str] = []
    readlink = os.readlink

    def watched(path: str) -> str:
        paths.append(path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", watched)
    return paths


def test_keys_are_relative_to_the_mountpoint(mount: Path, asked: list[str]) -> None:
    table = MountTable()
    for given, key in (
        (f"{mount}", ""),
        (f"{mount}/", ""),
        (f"{mount}/a/b", "a/b"),
        (f"{mount}//a/./x/../b/", "a/b"),
        ("data/a", "a"),
        ("./other/../data/a\udc80", "a\udc80"),
    ):
        assert table.find(given) == MountPath(mount, key)
    assert [path for path in asked if path.startswith(str(mount))] == []


def test_a_path_in_a_mount_is_not_accessed(mount: Path, asked: list[str]) -> None:
    (mount / "link").symlink_to("/etc")
    assert MountTable().find(f"{mount}/link/passwd") == MountPath(mount, "link/passwd")
    assert [path for path in asked if path.startswith(str(mount))] == []


def test_links_to_a_mount_are_followed(mount: Path, tmp_path: Path) -> None:
    (tmp_path / "abs").symlink_to(mount)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rel").symlink_to("../abs/train")
    (tmp_path / "folder" / "back").symlink_to("..")
    table = MountTable()
    assert table.find("abs/x") == MountPath(mount, "x")
    assert table.find("folder/rel/x") == MountPath(mount, "train/x")
    assert table.find("folder/back/data/y") == MountPath(mount, "y")
    assert table.find("folder/rel") == MountPath(mount, "train")


def test_a_working_folder_in_the_mount(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: f"{mount}/train")
    assert MountTable().find("a.h5") == MountPath(mount, "train/a.h5")
    assert MountTable().find("..") == MountPath(mount, "")


def test_paths_outside_of_mounts(mount: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    table = MountTable()
    for path in ("/", "/nowhere/x", f"{mount}/../other/x", f"{mount}2/x", f"{mount.parent}"):
        assert table.find(path) is None
    with pytest.raises(UserError, match=r"/etc .*'cloudfs status'") as caught:
        table.require("/etc")
    assert caught.value.exit_code is ExitCode.NOT_MOUNTED
    with pytest.raises(UserError, match="too many symbolic links"):
        table.find("loop/x")


def test_the_mount_on_top_counts(mount: Path, tmp_path: Path) -> None:
    with (tmp_path / "mountinfo").open("a") as table:
        table.write(f"37 28 0:32 / {mount} rw - tmpfs tmpfs rw\n")
    assert MountTable().find(f"{mount}/x") is None


def test_keys_are_grouped_by_mount_and_once_each() -> None:
    one, two = Path("/one"), Path("/two")
    given = [MountPath(one, "a"), MountPath(two, ""), MountPath(one, "b"), MountPath(one, "a")]
    assert mount_paths.by_mount(given) == {one: ["a", "b"], two: [""]}
    assert [str(path) for path in given[:2]] == ["/one/a", "/two"]
    assert list(mount_paths.above("a/b/c")) == ["a/b", "a", ""]
