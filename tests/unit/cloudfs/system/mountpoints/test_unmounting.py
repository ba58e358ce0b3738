from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


@pytest.mark.usefixtures("plain_user")
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


def test_the_holders_are_the_other_processes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        (tmp_path / "file").open("rb"),
        subprocess.Popen(["sleep", "60"], cwd=tmp_path) as sleeper,
    ):
        try:
            assert mountpoints.holders(tmp_path) == [f"sleep ({sleeper.pid})"]
        finally:
            sleeper.kill()
