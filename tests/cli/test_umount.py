from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cloudfs.cli.commands import umount
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints
from tests.cli.conftest import Daemon, Run


def test_nothing_is_mounted(run: Run, mountpoint: Path) -> None:
    for path in (mountpoint, mountpoint / "none"):
        done = run("umount", path)
        assert done.code == ExitCode.NOT_MOUNTED
        assert str(path) in done.only_error_line()


def test_other_file_systems_are_left_alone(run: Run) -> None:
    done = run("umount", "/proc")
    assert done.code == ExitCode.NOT_MOUNTED
    assert all(word in done.only_error_line() for word in ("/proc", "type proc", "umount(8)"))
    assert os.path.ismount("/proc")


def test_umount_waits_until_the_process_has_ended(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving") as pid:
        done = run("umount", mountpoint)
        assert (done.code, done.out, done.err) == (0, "", "")
        assert mountpoints.mount_at(mountpoint) is None
        # Ended and not reaped yet: this process is its parent.
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def test_a_process_that_does_not_end_is_an_error(
    daemon: Daemon,
    mountpoint: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", environment["RUNTIME_DIRECTORY"])
    monkeypatch.setattr(umount, "NOTICE_S_MAX", 0.05)
    monkeypatch.setattr(umount, "END_S_MAX", 0.05)
    monkeypatch.chdir(mountpoint.parent)  # put back afterwards: the command leaves for /
    assert umount.command.callback is not None
    with daemon("deaf"), pytest.raises(UserError, match=r"0\.05 s") as caught:
        umount.command.callback(str(mountpoint), name=None, lazy=False)
    assert caught.value.exit_code is ExitCode.TIMEOUT
    assert mountpoints.mount_at(mountpoint) is None


def test_a_process_that_did_not_notice_ends(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("lingering"):
        done = run("umount", mountpoint)
        assert (done.code, done.err) == (0, "")


def test_lazy_does_not_wait(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("lingering") as pid:
        done = run("umount", "--lazy", mountpoint)
        assert (done.code, done.err) == (0, "")
        os.kill(pid, 0)
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def test_a_dead_mount_is_cleared(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving") as pid:
        os.kill(pid, signal.SIGKILL)
    assert mountpoints.is_dead(mountpoint)
    done = run("umount", mountpoint)
    assert (done.code, done.err) == (0, "")
    assert mountpoints.mount_at(mountpoint) is None


def test_the_mountpoint_may_come_from_a_file(
    run: Run, daemon: Daemon, mountpoint: Path, tmp_path: Path
) -> None:
    """Other problems of the file and of variables do not matter."""
    (tmp_path / "cloudfs").mkdir()
    file = tmp_path / "cloudfs" / "data.toml"
    file.write_text(f"mountpoint = '{mountpoint}'\nxyzzy = 1\nurl = 's3://'\nuid = []\n")
    with daemon("serving"):
        done = run("umount", "--config", "data", XDG_CONFIG_HOME=str(tmp_path), CLOUDFS_UID="x")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert mountpoints.mount_at(mountpoint) is None
    done = run("umount", "--config", file)
    assert done.code == ExitCode.NOT_MOUNTED


def test_a_typed_mountpoint_needs_no_file(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("umount", mountpoint, "--config", "/absent.toml")
        assert (done.code, done.err) == (0, "")


def test_the_variable_of_the_mount_names_nothing_to_end(run: Run, mountpoint: Path) -> None:
    done = run("umount", CLOUDFS_MOUNTPOINT=str(mountpoint))
    assert done.code == ExitCode.USAGE
    assert "MOUNTPOINT" in done.only_error_line()
