from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloudfs.cli import query, usage
from cloudfs.cli.commands import status
from cloudfs.cli.render import figures, page
from cloudfs.errors import ExitCode
from cloudfs.system import defaults, mountpoints
from tests.cli.conftest import Daemon, Run


@pytest.fixture
def _empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the mounts that this machine may have from the process of the test."""
    (tmp_path / "mountinfo").write_text("21 28 0:19 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(mountpoints.table, "_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(defaults, "runtime_directories", lambda: [tmp_path / "runtime"])


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
    with daemon("serving") as pid:
        done = run("status", mountpoint, TZ="UTC")
    assert (done.code, done.err) == (0, "")
    assert done.out == PAGE.format(mountpoint=mountpoint, pid=pid)


PAGE = """\
{mountpoint} s3://bucket/pre fix  degraded
mounted      for 5m 3s, since 2023-11-14 22:13:20; process {pid}, cloudfs 1.2.3
health       cache directory /my_ssd is bypassed: no answer within 3 s
             the catalog of names is late: names are asked of the store
             1 key that no path can name: hidden
now          3 MiB/s read, 66.6% of it without the store; 1 MiB/s received
             1,234 requests a second of programs, 0.2 to the store
read from    memory  1 MiB  25.0%  [#####---------------]
             SSD     2 MiB  50.0%  [##########----------]
             store   1 MiB  25.0%  [#####---------------]
             4 MiB since the mount began, 75.0% of it without the store
memory       [##########----------] 512 MiB of 1 GiB
SSD          /my_ssd: bypassed (no answer within 3 s)
               [##########----------] 5 MiB of 10 MiB, 1 GiB free, 3 evictions
             1 MiB not yet on the SSD; to the bucket nothing is written: read-only
store        s3            requests  errors  retries    p50    p95    p99
             get                100       2        1   18ms   > 1m   > 1m
               first byte                             1.8ms  2.4ms  2.5ms
             8 MiB received; failed: 2 throttled
cost         about $1.50: requests $0.5000, egress $1.00
             list prices of 2025-06, these prices
requests     10 of programs, 1 under way, answered with an error: 2 EIO
             10 reads: p50 1.8ms, p95 2.4ms, p99 2.5ms
read-ahead   4 MiB fetched ahead: 75.0% read, 0.0% dropped unread; 2 blocks queued
waiting      1 request
             read a\\x1b[31m.h5: 12s for the store
jobs         warmup 1a2b: 1 MiB of 2 MiB, for 5s
last errors  2023-11-14 22:18:20 read a\\x1b[31m.h5: EIO, 2 times: SlowDown; HTTP 503
               fix: lower --max-downloads
metrics      127.0.0.1:9467
log          /var/log/my.log
"""


def test_the_options_are_shown_when_asked_for(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("status", "--options", mountpoint)
    assert done.out.splitlines()[-6:] == [
        "option metadata-ttl: indefinite",
        "option umask: 0022",
        "option region: from the environment or the profile",
        "option cache-dir: /ssd:10GiB; /ssd2",
        "option policies: unset",
        "option log-file: /var/log/my.log",
    ]


def test_several_mounts_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"mountpoint": "/mnt/a", "url": "s3://a/", "health": "ok", "hit_ratio": 0.5}
    full = {
        **one,
        "now": {"read_bytes_per_s": 1024.0},
        "disks": {"/x": {"used_bytes": 1024, "capacity_bytes": 2048}, "/y": {"state": "left out"}},
        "waiting_count": 3,
    }
    dead = {"mountpoint": "/mnt/long name", "url": "s3://b/", "health": "dead"}
    monkeypatch.setattr(query, "all_documents", lambda: [one, full, dead])
    assert CliRunner().invoke(status.command, []).output.splitlines() == [
        "MOUNTPOINT      HEALTH  HITS   READ NOW  ON SSD          WAITING  URL",
        "/mnt/a          ok      50.0%  -         -               -        s3://a/",
        "/mnt/a          ok      50.0%  1 KiB/s   1 KiB of 2 KiB  3        s3://a/",
        "/mnt/long name  dead    -      -         -               -        s3://b/",
    ]


def test_a_document_of_another_schema_is_shown_as_far_as_it_is_known() -> None:
    old = {"schema": 2, "url": "s3://b/", "health": "ok", "last_errors": ["text"], "store": {}}
    shown = "\n".join(page.lines(old))
    assert "schema 2, and this command is made for 3: mount again with one version" in shown


def test_colours_are_for_terminals_that_want_them() -> None:
    lines = page.lines({"schema": 3, "health": "dead"}, figures.coloured)
    assert lines[0].endswith("\x1b[31m\x1b[1mdead\x1b[0m")


def test_percentiles_are_interpolated() -> None:
    bounds = [1.0, 2.0, 4.0]
    assert figures.percentile([0, 0, 0, 0], bounds, 0.5) is None
    assert figures.percentile([2, 0, 2, 0], bounds, 0.5) == 1.0
    assert figures.percentile([2, 0, 2, 0], bounds, 0.75) == 3.0
    assert figures.percentile([1, 0, 0, 1], bounds, 0.99) == float("inf")


def test_a_hung_mount_answers_for_programs(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        one = run("status", "--json", mountpoint)
        every = run("status", "--json")
    document = json.loads(one.out, parse_constant=pytest.fail)
    assert document["options"]["metadata_ttl"] == "indefinite"
    assert document["pid"] in [one["pid"] for one in json.loads(every.out)]


@pytest.mark.parametrize("mode", ["mute", "silent"])
def test_a_mount_that_does_not_answer_is_shown_with_its_fix(
    daemon: Daemon,
    mountpoint: Path,
    mode: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", environment["RUNTIME_DIRECTORY"])
    monkeypatch.setattr(query, "ANSWER_S_MAX", 0.05)
    with daemon(mode):
        done = CliRunner().invoke(
            status.command, ["--json", str(mountpoint)], standalone_mode=False
        )
    assert done.return_value == ExitCode.TIMEOUT
    assert done.stderr.startswith(f"cloudfs: {mountpoint} is not answering: ")
    document = json.loads(done.stdout)
    assert (document["schema"], document["health"]) == (3, "not answering")
    assert document["url"] == "s3://bucket/pre fix"
    assert document["mountpoint"] == str(mountpoint)
    assert document["fix"]


def test_a_mount_whose_process_is_gone_is_dead(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("mute"):
        pass
    done = run("status", mountpoint)
    assert done.code == ExitCode.FUSE
    assert f"cloudfs umount {mountpoint}" in done.only_error_line()
    assert done.out.splitlines()[0] == f"{mountpoint} s3://bucket/pre fix  dead"


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
    assert usage.percent(999_999_999, 1_000_000_000) == 99.9
    assert usage.percent(5, 5) == 100
    assert usage.percent(0, 0) == 100
