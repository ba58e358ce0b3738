"""Checks of the machine, with given figures."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks.disk import format_rate, judge_speed
from cloudfs.doctor.checks.fuse import judge_configuration
from cloudfs.doctor.checks.kernel import judge_release
from cloudfs.doctor.checks.limits import files_needed, judge_memory, open_files, parse_meminfo
from cloudfs.doctor.checks.mountpoint import mountpoint
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Result
from cloudfs.doctor.probes import control_groups, disks
from cloudfs.doctor.probes.disk_speed import DiskSpeed
from cloudfs.errors import ExitCode
from cloudfs.units import GIB, MIB
from tests.contract.in_trio import in_trio

OK, WARNING, FAILURE = Result.OK, Result.WARNING, Result.FAILURE


def context(mountpoint: Path | None = None, url: str | None = None, **flags: str) -> Context:
    return Context(resolve(url, mountpoint, flags=flags, required=()), {})


@pytest.mark.parametrize(
    ("text", "mounts", "allow_other", "result"),
    [
        ("", 0, False, OK),
        ("", 0, True, FAILURE),
        ("#user_allow_other\n", 0, True, FAILURE),
        ("# a comment\n  user_allow_other \n", 0, True, OK),
        ("mount_max = 30\n", 3, False, OK),
        ("mount_max = 30\n", 25, False, WARNING),
        ("", 999, False, WARNING),
    ],
)
def test_fuse_conf(text: str, mounts: int, *, allow_other: bool, result: Result) -> None:
    found = judge_configuration(text, mounts, allow_other=allow_other)
    assert found.result is result
    assert found.exit_code == (ExitCode.FUSE if result is FAILURE else ExitCode.OK)
    assert ("/etc/fuse.conf" in found.fix) is (result is not OK)


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("4.18.0-553.el8_10.x86_64", ["128 KiB", "umount"]),
        ("5.2.0", ["umount"]),
        ("5.4.0-1103-aws", []),
        ("6.18.44", []),
        ("of another kind", []),
    ],
)
def test_kernels(release: str, words: list[str]) -> None:
    found = judge_release(release, None)
    assert found.result is (WARNING if words else OK)
    assert all(word in found.text for word in words)
    assert found.facts["release"] == release


MEMINFO = "MemAvailable:   2097152 kB\nCommitLimit:  1048576 kB\nCommitted_AS: 524288 kB\n"


@pytest.mark.parametrize(
    ("limit", "usable", "strict", "oom_score_adj", "named"),
    [
        (GIB, 8 * GIB, False, 0, ""),
        (GIB, 8 * GIB, False, -500, ""),
        (GIB, GIB, False, 0, "1 GiB"),
        (2 * GIB, 8 * GIB, False, 0, "2 GiB"),
        (GIB, 8 * GIB, True, 0, "512 MiB"),
        (128 * MIB, 8 * GIB, True, 0, ""),
        (GIB, 8 * GIB, False, 999, "oom_score_adj 999"),
    ],
)
def test_memory(limit: int, usable: int, *, strict: bool, oom_score_adj: int, named: str) -> None:
    meminfo = parse_meminfo(MEMINFO)
    found = judge_memory(limit, usable, meminfo, strict=strict, oom_score_adj=oom_score_adj)
    assert found.result is (WARNING if named else OK)
    assert named in found.text
    assert found.facts["available_bytes"] == 2 * GIB


@in_trio
async def test_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    one = context(max_downloads="1", cache_dir="/var/cache/a")
    many = context(max_downloads="256", cache_dir="/var/cache/a")
    few, most = files_needed(one.settings), files_needed(many.settings)
    assert most - few == 510
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        assert (await open_files(one)).result is OK
        found = await open_files(many)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.result, found.facts["needed"]) == (WARNING, most)
    assert f"ulimit -n {most}" in found.fix
    assert f"LimitNOFILE={most}" in found.fix


def group(root: Path, folder: str, most: str, current: str) -> None:
    path = root / "sys/fs/cgroup" / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "pids.max").write_text(f"{most}\n")
    (path / "pids.current").write_text(f"{current}\n")


@pytest.mark.parametrize(
    ("lines", "prefix"),
    [("0::/pod/container\n", ""), ("8:pids:/pod/container\n0::/\n", "pids/")],
)
def test_the_smallest_headroom_of_the_groups_counts(
    tmp_path: Path, lines: str, prefix: str
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(lines)
    assert control_groups.task_headroom(tmp_path) is None
    group(tmp_path, f"{prefix}pod/container", "max", "10")
    assert control_groups.task_headroom(tmp_path) is None
    group(tmp_path, f"{prefix}pod", "100", "90")
    group(tmp_path, prefix, "4096", "100")
    assert control_groups.task_headroom(tmp_path) == 10


@pytest.mark.parametrize(
    ("read", "link", "is_direct", "named"),
    [
        (2e9, None, True, ""),
        (2e9, 1.25e9, True, ""),
        (5e8, 1.25e9, True, "1.2 GB/s"),
        (1.5e8, None, True, "rotates"),
        (2e9, None, False, "O_DIRECT"),
    ],
)
def test_disks(read: float, link: float | None, *, is_direct: bool, named: str) -> None:
    speed = DiskSpeed(1e9, read, is_direct, 128 * MIB)
    found = judge_speed(Path("/ssd"), speed, link, rotates=True)
    assert found.result is (WARNING if named else OK)
    assert all(word in found.text for word in ("/ssd", format_rate(read), "1.0 GB/s", named))


def test_the_speed_of_the_network(tmp_path: Path) -> None:
    assert disks.link_bytes_per_s(tmp_path / "none") is None
    (tmp_path / "lo").mkdir()
    for name, speed, found in (
        ("eth0", "-1", None),
        ("eth1", "10000", 1.25e9),
        ("eth2", "1000", 1.25e9),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "speed").write_text(f"{speed}\n")
        assert disks.link_bytes_per_s(tmp_path) == found


@in_trio
async def test_a_mountpoint_that_the_caller_has_mounted() -> None:
    found = await mountpoint(context(Path("/dev/fd/7")))
    assert (found.result, found.facts["mountpoint"]) == (OK, "/dev/fd/7")
