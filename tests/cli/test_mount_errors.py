from __future__ import annotations

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
    ("arguments", "said"),
    [
        (["--max-cache-size", "8Q"], "bad value '8Q' for --max-cache-size: write bytes or a size"),
        (["--metadata-ttl", "soon"], "bad value 'soon' for --metadata-ttl: write seconds or"),
        (["--umask", "9"], "bad value '9' for --umask: write octal digits"),
        (["--max-downloads", "0"], "for --max-downloads: use a value between 1 and 256"),
        (["--memory-limit", "1M"], "for --memory-limit: use a value at least 64MiB"),
        (["--kernel-read-ahead", "1G"], "use a value between 0B and 16MiB"),
        (["--endpoint-url", "host"], "for --endpoint-url: write an address"),
        (["-f", "--background"], "--foreground and --background contradict each other"),
        (["-o", "max_cachesize=1"], "unknown option -o max_cachesize: did you mean max-cache-size"),
        (["-o", "max_downloads=x"], "bad value 'x' for -o max_downloads: write a whole number"),
        (["--config", "none.toml"], "none.toml: No such file or directory"),
    ],
)
def test_a_bad_option_is_one_line(
    run: Run, mountpoint: Path, arguments: list[str], said: str
) -> None:
    done = run("mount", *arguments, URL, mountpoint)
    assert done.code == ExitCode.USAGE
    assert said in done.only_error_line()


def test_a_bad_variable_is_one_line(run: Run, mountpoint: Path) -> None:
    done = run("mount", URL, mountpoint, CLOUDFS_NEGATIVE_TTL="x")
    assert done.code == ExitCode.USAGE
    assert "bad value 'x' for CLOUDFS_NEGATIVE_TTL" in done.only_error_line()


def test_an_unknown_key_names_file_key_and_the_nearest(
    run: Run, mountpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "data.toml"
    path.write_text("cache-dri = '/x'\n")
    done = run("mount", "--config", path, URL, mountpoint)
    assert done.code == ExitCode.USAGE
    said = f"{path}:1: unknown key 'cache-dri': did you mean cache-dir?"
    assert done.only_error_line() == said


def test_a_bad_url_is_one_line(run: Run, mountpoint: Path) -> None:
    done = run("mount", "not-a-url", mountpoint)
    assert done.code == ExitCode.USAGE
    assert done.only_error_line()


def test_secrets_in_words_are_refused_and_not_shown(run: Run, mountpoint: Path) -> None:
    done = run("mount", "-o", "ro,aws_secret_access_key=hunter2,nofail", URL, mountpoint)
    assert done.code == ExitCode.USAGE
    assert "credentials in -o" in done.only_error_line()
    assert "hunter2" not in done.err + done.out


@needs_fuse
def test_a_mountpoint_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for name, said in (
        ("none", f"{tmp_path}/none does not exist: create it with 'mkdir -p {tmp_path}/none'"),
        ("full", f"{tmp_path}/full is not empty"),
        ("full/file", f"{tmp_path}/full/file is not a directory"),
    ):
        for mode in ("--foreground", "--background"):
            done = run("mount", mode, URL, tmp_path / name)
            assert done.code == ExitCode.MOUNTPOINT
            assert done.only_error_line().startswith(said)


@pytest.mark.parametrize("mode", ["serving", "mute"])
def test_a_served_mountpoint_says_by_whom_without_touching_it(
    run: Run, daemon: Daemon, mountpoint: Path, mode: str
) -> None:
    with daemon(mode) as pid:
        done = run("mount", URL, mountpoint)
        assert done.code == ExitCode.MOUNTPOINT
        line = done.only_error_line()
        assert f"already mounted by cloudfs process {pid}, from s3://bucket/pre fix" in line


def test_a_dead_mount_is_cleared_first(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    # A file below the mount makes the command end right after the clearing.
    (mountpoint / "file").write_text("")
    with daemon("silent"):
        pass
    assert mountpoints.is_dead(mountpoint)
    done = run("mount", URL, mountpoint)
    assert done.code == ExitCode.MOUNTPOINT
    cleared, failed = done.err.splitlines()
    assert cleared == f"cloudfs: {mountpoint} was a mount whose process is gone: cleared it"
    assert failed.startswith(f"cloudfs: {mountpoint} is not empty")
    assert mountpoints.mount_at(mountpoint) is None
