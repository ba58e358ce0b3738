"""The kernel's table of mounts, and mounts that hang."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.targets.mounts import (
    check_answers,
    mount_of,
    mounts,
    read_ahead_kb,
    without_secrets,
)
from tests.support.mounting import Mounted


def test_the_root_is_a_mount() -> None:
    assert "/" in {mount.path for mount in mounts()}
    assert mount_of("/").path == "/"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_names_with_spaces_and_mounts_on_mounts(tmp_path: Path) -> None:
    path = tmp_path / "a b\\c"
    path.mkdir()
    try:
        for source, options in (("first one", "rw"), ("second", "ro,size=64k")):
            command = ["mount", "-t", "tmpfs", "-o", options, source, str(path)]
            subprocess.run(command, check=True)
        mount = mount_of(str(path / "inside"))
        assert (mount.path, mount.source, mount.filesystem) == (str(path), "second", "tmpfs")
        assert {"ro", "size=64k"} <= set(mount.options.split(","))
        assert "rw" not in mount.options.split(",")
        assert mount_of(f"{path}-beside").path != str(path)
    finally:
        for _ in range(2):
            subprocess.run(["umount", str(path)], check=True)


def test_secrets_of_a_source_are_left_out() -> None:
    assert without_secrets("https://user:secret@host/b?sig=secret#x") == "https://host/b"
    assert without_secrets("server:/export") == "server:/export"
    assert without_secrets("file:///tmp/a") == "file:///tmp/a"


def test_read_ahead_of_a_mount_and_of_a_disk(cloudfs_mount: Mounted, tmp_path: Path) -> None:
    assert read_ahead_kb(os.stat(cloudfs_mount.path).st_dev) == 1024
    device = os.stat("/").st_dev
    if os.path.exists(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"):
        assert (read_ahead_kb(device) or 0) > 0
    assert read_ahead_kb(os.makedev(511, 99)) is None


def test_a_mount_that_hangs_is_told_and_hangs_nobody(cloudfs_mount: Mounted) -> None:
    check_answers(str(cloudfs_mount.path))
    check_answers("/nowhere at all")
    os.kill(cloudfs_mount.pid, signal.SIGSTOP)
    try:
        # A name that the kernel does not remember: it has to ask.
        with pytest.raises(TargetError, match=r"does not answer within 0\.2 s: bring its server"):
            check_answers(str(cloudfs_mount.path / "unknown"), limit_s=0.2)
    finally:
        os.kill(cloudfs_mount.pid, signal.SIGCONT)
    check_answers(str(cloudfs_mount.path / "unknown"))
