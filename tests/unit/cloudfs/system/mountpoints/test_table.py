from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudfs.errors import UserError
from cloudfs.system import mountpoints
from cloudfs.system.mountpoints import Mount
from tests.unit.cloudfs.system.mountpoints.conftest import MOUNTINFO


def test_mountinfo_is_unescaped() -> None:
    found = mountpoints.parse_mountinfo(MOUNTINFO)
    assert found[1] == Mount(Path("/mnt/my data\\x\ty\nz"), "0:45", "fuse.cloudfs", "s3://a b#c")
    assert os.fsencode(found[4].path) == b"/mnt/caf\xc3\xa9-\xff"
    assert found[4].source == ""
    assert [mount.is_fuse for mount in found] == [False, True, True, True, False]


@pytest.mark.usefixtures("mountinfo")
def test_the_topmost_of_stacked_mounts_counts() -> None:
    top = mountpoints.mount_at(Path("/mnt/other"))
    assert top is not None
    assert top.source == "file:///b"
    assert mountpoints.mount_at(Path("/mnt")) is None
    assert [mount.device for mount in mountpoints.cloudfs_mounts()] == ["0:45", "0:47"]


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
