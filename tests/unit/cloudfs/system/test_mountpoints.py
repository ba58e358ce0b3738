from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints
from cloudfs.system.mountpoints import Mount

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")

MOUNTINFO = (
    rb"""21 28 0:19 / /proc rw,nosuid - proc proc rw
40 28 0:45 / /mnt/my\040data\134x\011y\012z ro - fuse.cloudfs s3://a\040b\043c rw,user_id=0
41 28 0:46 / /mnt/other rw shared:1 master:2 - fuse.s3fs s3fs rw
42 28 0:47 / /mnt/other rw - fuse.cloudfs file:///b rw
43 28 0:48 / /mnt/caf\303\251-"""
    + b"\xff"
    + rb""" rw - tmpfs  rw
"""
)


def test_mountinfo_is_unescaped() -> None:
    found = mountpoints.parse_mountinfo(MOUNTINFO)
    assert found[1] == Mount(Path("/mnt/my data\\x\ty\nz"), "0:45", "fuse.cloudfs", "s3://a b#c")
    assert os.fsencode(found[4].path) == b"/mnt/caf\xc3\xa9-\xff"
    assert found[4].source == ""
    assert [mount.is_fuse for mount in found] == [False, True, True, True, False]


@pytest.fixture
def _mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    monkeypatch.setattr(mountpoints, "_MOUNTINFO", str(path))


@pytest.mark.usefixtures("_mountinfo")
def test_the_topmost_of_stacked_mounts_counts() -> None:
    top = mountpoints.mount_at(Path("/mnt/other"))
    assert top is not None
    assert top.source == "file:///b"
    assert mountpoints.mount_at(Path("/mnt")) is None
    assert [mount.device for mount in mountpoints.cloudfs_mounts()] == ["0:45", "0:47"]


@pytest.mark.usefixtures("_mountinfo")
def test_a_mountpoint_in_use_says_by_what() -> None:
    with pytest.raises(UserError, match=re.escape("by cloudfs, from file:///b")) as caught:
        mountpoints.check_mountpoint(Path("/mnt/other"))
    assert caught.value.exit_code is ExitCode.MOUNTPOINT
    with pytest.raises(UserError, match=r"mountpoint of proc \(proc\)"):
        mountpoints.check_mountpoint(Path("/proc"))


def test_an_automount_point_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shows-that-it-was-not-listed").write_text("")
    table = tmp_path / "mountinfo"
    table.write_text(f"40 28 0:45 / {tmp_path} rw - autofs systemd-1 rw\n")
    monkeypatch.setattr(mountpoints, "_MOUNTINFO", str(table))
    mountpoints.check_mountpoint(tmp_path)


def test_an_empty_directory_is_a_mountpoint(tmp_path: Path) -> None:
    mountpoints.check_mountpoint(tmp_path)


def test_what_is_no_mountpoint(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path, said in (
        (tmp_path, "is not empty"),
        (file, "is not a directory"),
        (file / "below", "Not a directory"),
        (tmp_path / "none", f"mkdir -p {tmp_path}/none"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            mountpoints.check_mountpoint(path)
        assert caught.value.exit_code is ExitCode.MOUNTPOINT


def test_canonical_follows_links_anywhere_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "up").symlink_to("a")
    (tmp_path / "a" / "last").symlink_to("../up/b")
    assert mountpoints.canonical(tmp_path / "up" / "last") == tmp_path / "a" / "b"
    assert mountpoints.canonical(tmp_path / "none" / ".." / "x") == tmp_path / "x"
    assert mountpoints.canonical("/") == Path("/")


def test_canonical_gives_up_on_a_loop(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="symbolic links"):
        mountpoints.canonical(tmp_path / "loop")


def test_fuse_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "fuse"
    monkeypatch.setattr(mountpoints, "_FUSE_DEVICE", str(device))
    with pytest.raises(UserError, match="modprobe fuse") as caught:
        mountpoints.check_fuse(allow_other=False)
    assert caught.value.exit_code is ExitCode.FUSE
    device.write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="may not be opened"):
        mountpoints.check_fuse(allow_other=False)


@pytest.fixture
def _plain_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fuse").write_text("")
    monkeypatch.setattr(mountpoints, "_FUSE_DEVICE", str(tmp_path / "fuse"))
    monkeypatch.setattr(mountpoints, "_FUSE_CONF", str(tmp_path / "fuse.conf"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program = tmp_path / "fusermount3"
    program.write_text("#!/bin/sh\necho 'fusermount3: failed: Device or resource busy' >&2\nexit 1")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("_plain_user")
def test_a_plain_user_needs_fusermount3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mountpoints.check_fuse(allow_other=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="install the package fuse3"):
        mountpoints.check_fuse(allow_other=False)


@pytest.mark.usefixtures("_plain_user")
def test_a_plain_user_may_allow_others_only_if_root_allowed_that(tmp_path: Path) -> None:
    for text in (None, "#user_allow_other\n"):
        if text is not None:
            (tmp_path / "fuse.conf").write_text(text)
        with pytest.raises(UserError, match="user_allow_other"):
            mountpoints.check_fuse(allow_other=True)
    (tmp_path / "fuse.conf").write_text("mount_max = 5\n user_allow_other \n")
    mountpoints.check_fuse(allow_other=True)


@pytest.mark.usefixtures("_plain_user")
def test_a_plain_user_unmounts_through_fusermount3(tmp_path: Path) -> None:
    with pytest.raises(mountpoints.BusyError, match="--lazy"):
        mountpoints.unmount(tmp_path)
    program = tmp_path / "fusermount3"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called')
    mountpoints.unmount(tmp_path, lazy=True)
    assert (tmp_path / "called").read_text() == f"-u -z -- {tmp_path}\n"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(path)], check=True)
    yield path
    if os.path.ismount(path):
        subprocess.run(["umount", str(path)], check=True)


@needs_root
def test_unmount(mounted: Path) -> None:
    mountpoints.unmount(mounted)
    assert mountpoints.mount_at(mounted) is None
    with pytest.raises(UserError) as caught:
        mountpoints.unmount(mounted)
    assert caught.value.exit_code is ExitCode.NOT_MOUNTED


@needs_root
def test_a_busy_mount_names_who_uses_it_and_can_be_detached(mounted: Path) -> None:
    program = "import os; os.write(1, b'.'); os.read(0, 1)"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=mounted, stdin=-1, stdout=-1) as user:
        assert user.stdin is not None
        assert user.stdout is not None
        user.stdout.read(1)
        with pytest.raises(mountpoints.BusyError, match=rf"python\S* \({user.pid}\)"):
            mountpoints.unmount(mounted)
        mountpoints.unmount(mounted, lazy=True)
        assert mountpoints.mount_at(mounted) is None
        user.stdin.close()


@needs_root
def test_a_live_mount_is_not_dead(mounted: Path) -> None:
    assert not mountpoints.is_dead(mounted)
    assert mountpoints.clear_dead(mounted) == 0
    assert mountpoints.mount_at(mounted) is not None
