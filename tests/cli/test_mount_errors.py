from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cloudfs.errors import ExitCode
from cloudfs.system import mountpoints
from tests.cli.conftest import Daemon, Run

URL = "s3://bucket"

needs_fuse = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and /dev/fuse"
)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--max-cache-size", "8Q"], "'8Q' for --max-cache-size"),
        (["--metadata-ttl", "soon"], "'soon' for --metadata-ttl"),
        (["--umask", "9"], "'9' for --umask"),
        (["--max-downloads", "0"], "between 1 and 256"),
        (["--memory-limit", "1M"], "at least 64MiB"),
        (["--kernel-read-ahead", "1G"], "between 0B and 16MiB"),
        (["--endpoint-url", "host"], "'host' for --endpoint-url"),
        (["-f", "--background"], "--foreground and --background"),
        (["-o", "max_cachesize=1"], "did you mean max-cache-size?"),
        (["-o", "max_downloads=x"], "'x' for -o max_downloads"),
        (["--config", "none.toml"], f"none.toml: {os.strerror(errno.ENOENT)}"),
    ],
)
def test_a_bad_option_is_one_line(
    run: Run, mountpoint: Path, arguments: list[str], named: str
) -> None:
    done = run("mount", *arguments, URL, mountpoint)
    assert done.code == ExitCode.USAGE
    assert named in done.only_error_line()


def test_a_bad_variable_is_one_line(run: Run, mountpoint: Path) -> None:
    done = run("mount", URL, mountpoint, CLOUDFS_NEGATIVE_TTL="x")
    assert done.code == ExitCode.USAGE
    assert "'x' for CLOUDFS_NEGATIVE_TTL" in done.only_error_line()


def test_an_unknown_key_names_file_key_and_the_nearest(
    run: Run, mountpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "data.toml"
    path.write_text("cache-dri = '/x'\n")
    done = run("mount", "--config", path, URL, mountpoint)
    assert done.code == ExitCode.USAGE
    assert done.only_error_line().startswith(f"{path}:1: ")
    assert "'cache-dri': did you mean cache-dir?" in done.only_error_line()


def test_a_bad_url_is_one_line(run: Run, mountpoint: Path) -> None:
    done = run("mount", "not-a-url", mountpoint)
    assert done.code == ExitCode.USAGE
    assert done.only_error_line()


def test_secrets_in_words_are_refused_and_not_shown(run: Run, mountpoint: Path) -> None:
    done = run("mount", "-o", "ro,aws_secret_access_key=hunter2,nofail", URL, mountpoint)
    assert done.code == ExitCode.USAGE
    assert "aws_secret_access_key" in done.only_error_line()
    assert "hunter2" not in done.err + done.out


@needs_fuse
def test_a_mountpoint_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for name, named in (("none", "mkdir -p"), ("full", "not empty"), ("full/file", "directory")):
        for mode in ("--foreground", "--background"):
            done = run("mount", mode, URL, tmp_path / name)
            assert done.code == ExitCode.MOUNTPOINT
            assert done.only_error_line().startswith(f"{tmp_path}/{name} ")
            assert named in done.only_error_line()


@pytest.mark.parametrize("mode", ["serving", "mute"])
def test_a_served_mountpoint_is_refused_without_access(
    run: Run, daemon: Daemon, mountpoint: Path, mode: str
) -> None:
    with daemon(mode) as pid:
        done = run("mount", URL, mountpoint)
        assert done.code == ExitCode.MOUNTPOINT
        assert f"process {pid}, from s3://bucket/pre fix" in done.only_error_line()


def test_a_dead_mount_is_cleared_first(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    # A file below the mount makes the command end right after the clearing.
    (mountpoint / "file").write_text("")
    with daemon("silent"):
        pass
    assert mountpoints.is_dead(mountpoint)
    done = run("mount", URL, mountpoint)
    assert done.code == ExitCode.MOUNTPOINT
    cleared, failed = done.err.splitlines()
    assert all(line.startswith(f"cloudfs: {mountpoint} ") for line in (cleared, failed))
    assert "cleared" in cleared
    assert "not empty" in failed
    assert mountpoints.mount_at(mountpoint) is None
