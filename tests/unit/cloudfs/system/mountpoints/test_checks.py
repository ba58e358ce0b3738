from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints
from cloudfs.system.mountpoints import checks, table


@pytest.mark.usefixtures("mountinfo")
def test_a_mountpoint_in_use_says_by_what() -> None:
    with pytest.raises(UserError, match=re.escape("cloudfs umount /mnt/other")) as caught:
        mountpoints.check_mountpoint(Path("/mnt/other"))
    assert caught.value.exit_code is ExitCode.MOUNTPOINT
    with pytest.raises(UserError, match=r"proc \(proc\)"):
        mountpoints.check_mountpoint(Path("/proc"))


def test_an_automount_point_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shows-that-it-was-not-listed").write_text("")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"40 28 0:45 / {tmp_path} rw - autofs systemd-1 rw\n")
    monkeypatch.setattr(table, "_MOUNTINFO", str(mountinfo))
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


def test_fuse_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "fuse"
    monkeypatch.setattr(checks, "FUSE_DEVICE", str(device))
    with pytest.raises(UserError, match="modprobe fuse") as caught:
        mountpoints.check_fuse(allow_other=False)
    assert caught.value.exit_code is ExitCode.FUSE
    device.write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match=f"chmod 666 {device}"):
        mountpoints.check_fuse(allow_other=False)


@pytest.mark.usefixtures("plain_user")
def test_a_plain_user_needs_fusermount3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mountpoints.check_fuse(allow_other=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="fuse3"):
        mountpoints.check_fuse(allow_other=False)


@pytest.mark.usefixtures("plain_user")
def test_a_plain_user_may_allow_others_only_if_root_allowed_that(tmp_path: Path) -> None:
    for text in (None, "#user_allow_other\n"):
        if text is not None:
            (tmp_path / "fuse.conf").write_text(text)
        with pytest.raises(UserError, match="user_allow_other"):
            mountpoints.check_fuse(allow_other=True)
    (tmp_path / "fuse.conf").write_text("mount_max = 5\n user_allow_other \n")
    mountpoints.check_fuse(allow_other=True)
