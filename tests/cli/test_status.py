from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloudfs import derive, mountpoints
from cloudfs.cli import local, status
from cloudfs.errors import ExitCode
from tests.cli.conftest import Daemon, Run


@pytest.fixture
def _empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the mounts that this machine may have from the process of the test."""
    (tmp_path / "mountinfo").write_text("21 28 0:19 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(mountpoints, "_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(derive, "runtime_directories", lambda: [tmp_path / "runtime"])


@pytest.mark.usefixtures("_empty_machine")
def test_nothing_is_mounted() -> None:
    assert CliRunner().invoke(status.command, []).output == "no cloudfs mounts\n"
    assert CliRunner().invoke(status.command, ["--json"]).output == "[]\n"


def test_the_list_ends_well(run: Run) -> None:
    done = run("status")
    assert (done.code, done.err) == (0, "")


def test_a_mountpoint_without_a_mount(run: Run, mountpoint: Path) -> None:
    done = run("status", mountpoint)
    assert done.code == ExitCode.NOT_MOUNTED
    assert done.only_error_line().startswith(f"cloudfs is not mounted at {mountpoint}: ")


def test_an_empty_path_is_not_the_working_folder(run: Run) -> None:
    done = run("status", "")
    assert done.code == ExitCode.USAGE
    assert done.only_error_line() == "a path is empty: write . for the working folder"


def test_a_hung_mount_answers_for_people(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("status", mountpoint)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "schema: 2",
        "url: s3://bucket/pre fix",
        f"mountpoint: {mountpoint}",
        "health: ok",
        "uptime: 5m 3s",
        "last errors: get 'a\\x1b[31m' failed",
        "option metadata-ttl: indefinite",
        "option umask: 0022",
        "option region: from the environment or the profile",
        "option cache-dir: /ssd:10GiB; /ssd2",
        "option policies: unset",
        "memory: capacity 1 GiB, used 3 MiB, hits 7",
        "fuse operations read: requests 2, errors 0, seconds 500ms",
        "disks /my_ssd: state bypassed (no answer within 3 s), used 5 MiB, errors 0",
        "catalog: state ok, hits 1",
    ]


def test_a_hung_mount_answers_for_programs(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        one = run("status", "--json", mountpoint)
        every = run("status", "--json")
    document = json.loads(one.out, parse_constant=pytest.fail)
    assert document["options"]["metadata_ttl"] == "indefinite"
    assert document in json.loads(every.out)


@pytest.mark.parametrize("mode", ["mute", "silent"])
def test_a_mount_that_does_not_answer_is_shown_with_its_fix(
    daemon: Daemon,
    mountpoint: Path,
    mode: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", environment["RUNTIME_DIRECTORY"])
    monkeypatch.setattr(status, "ANSWER_S_MOST", 0.05)
    with daemon(mode):
        done = CliRunner().invoke(
            status.command, ["--json", str(mountpoint)], standalone_mode=False
        )
    assert done.return_value == ExitCode.TIMEOUT
    assert done.stderr.startswith(f"cloudfs: {mountpoint} is not answering: ")
    document = json.loads(done.stdout)
    assert (document["schema"], document["health"]) == (2, "not answering")
    assert document["url"] == "s3://bucket/pre fix"
    assert document["mountpoint"] == str(mountpoint)
    assert document["fix"]


def test_a_mount_whose_process_is_gone_is_dead(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("mute"):
        pass
    done = run("status", mountpoint)
    assert done.code == ExitCode.FUSE
    assert f"cloudfs umount {mountpoint}" in done.only_error_line()
    assert "health: dead" in done.out.splitlines()


def test_a_path_in_a_mount_shows_how_much_is_local(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving"):
        run("warmup", mountpoint / "train" / "01.h5", mountpoint / "notes \x1b[31m.txt")
        tree = run("status", mountpoint / "train")
        file = run("status", mountpoint / "notes \x1b[31m.txt")
        document = run("status", "--json", mountpoint / "train")
        missing = run("status", mountpoint / "none")
    assert (tree.code, tree.err) == (0, "")
    assert tree.out.splitlines() == [
        f"path: {mountpoint}/train",
        "files: 1 of 40 local",
        "size: 1 MiB of 40 MiB local (2.5%)",
        "pinned: 0 B",
    ]
    assert file.out.splitlines()[0] == f"path: {mountpoint}/notes \\x1b[31m.txt"
    assert file.out.splitlines()[2] == "size: 7 B of 7 B local (100%)"
    assert json.loads(document.out) == {
        "schema": 1,
        "mountpoint": str(mountpoint),
        "path": f"{mountpoint}/train",
        "files": 40,
        "local_files": 1,
        "bytes": 40 << 20,
        "local_bytes": 1 << 20,
        "local_percent": 2.5,
        "pinned_bytes": 0,
    }
    assert missing.code == ExitCode.USAGE
    assert missing.only_error_line() == f"{mountpoint}/none: no such file or directory"


def test_only_everything_is_all_of_it() -> None:
    assert local.percent(999_999_999, 1_000_000_000) == 99.9
    assert local.percent(5, 5) == 100
    assert local.percent(0, 0) == 100
