"""fio as an engine: what it does is what the job says, and what it says is what went wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.engines.bins import bin_of
from cloudfs_benchmarks.bench.engines.choose import describe_job, run_job
from cloudfs_benchmarks.bench.engines.fio_jobs import obstacle
from cloudfs_benchmarks.bench.engines.job import Job, Outcome, Shape
from cloudfs_benchmarks.bench.engines.reader import run_reader
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.statistics import latency_of
from cloudfs_benchmarks.demo.processes import Children
from tests.unit.benchmarks.bench.engine_targets import (
    KIB,
    MIB,
    ODD,
    PLAIN,
    SMALL,
    fill,
    job,
    make_children,
    snapshot,
)

pytestmark = pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")

_READING = {
    "sequential": job(Shape.SEQUENTIAL, PLAIN[:2], PLAIN[2:], sized=False),
    "sequential with half blocks": job(Shape.SEQUENTIAL, PLAIN, SMALL),
    "random": job(Shape.RANDOM, PLAIN, ODD, block=4 * KIB, operations=50),
    "random beyond the end": job(Shape.RANDOM, PLAIN, block=64 * KIB, operations=5000),
    "small": job(Shape.SMALL, SMALL, PLAIN),
}
_BYTES = {
    "sequential": 6 * MIB,
    "sequential with half blocks": 7 * MIB + MIB // 2 + 76_000,
    "random": 2 * 50 * 4 * KIB,
    "random beyond the end": 6 * MIB,
    "small": 7 * MIB + MIB // 2 + 76_000,
}


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with ExitStack() as stack:
        yield make_children(stack, tmp_path / "logs")


@pytest.fixture
def target(tmp_path: Path) -> str:
    return fill(tmp_path / "tar get:ü")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 2 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("mounting a small filesystem takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _what(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.bytes, outcome.operations, outcome.files


@pytest.mark.parametrize("name", _READING)
def test_both_engines_read_the_same_and_change_nothing(
    children: Children, target: str, name: str
) -> None:
    before = snapshot(target)
    by_fio = run_job(children, target, _READING[name])
    by_reader = run_reader(children, target, _READING[name])
    assert re.fullmatch(r"fio \d+\.\d+.*", by_fio.engine)
    assert by_reader.engine == "reader"
    assert _what(by_fio) == _what(by_reader)
    assert by_fio.bytes == _BYTES[name]
    assert snapshot(target) == before
    for outcome in (by_fio, by_reader):
        assert outcome.latency is not None
        assert sum(count for _, count in outcome.latency.histogram) == outcome.operations
        assert 0 < outcome.latency.p50 <= outcome.latency.p99 <= outcome.latency.max
        assert outcome.seconds > 0
    assert sorted(children.logs.iterdir()) == [children.log("fio"), children.log("reader")]


def test_both_engines_write_the_same(children: Children, target: str) -> None:
    files = (("odd/new 1", "new:2"), ("large/new-3",))
    writing = Job(Shape.WRITE, files, MIB, size=2 * MIB)
    written = []
    for run in (run_job, run_reader):
        outcome = run(children, target, writing)
        contents = [(Path(target) / path).read_bytes() for hand in files for path in hand]
        assert [len(content) for content in contents] == [2 * MIB] * 3
        assert len(set(contents)) == 3
        written.append(_what(outcome))
        for path in (path for hand in files for path in hand):
            (Path(target) / path).unlink()
    assert written == [(6 * MIB, 6, 3)] * 2


def test_bins_are_those_of_all_other_latencies() -> None:
    for value in (0.3, 1.0, 1.01, 1.2, 2.9, 99.0, 101.0, 12_345.6, 9.9e6):
        assert latency_of([value]).histogram == ((bin_of(value), 1),)


def test_a_saved_job_can_be_repeated_by_hand(
    children: Children, target: str, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for name, text in describe_job(children, "small", target, _READING["small"]).items():
        (folder / name).write_text(text, encoding="utf-8")
    command = ["fio", "--readonly", "--output-format=json+", "small.fio"]
    assert f";   {' '.join(command)}\n" in (folder / "small.fio").read_text(encoding="utf-8")
    for _ in range(2):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        report = json.loads(done.stdout[done.stdout.index("{\n") :])
        assert report["jobs"][0]["read"]["io_bytes"] == _BYTES["small"]


def test_small_files_are_looked_up_after_the_clock_has_started(
    children: Children, target: str, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    small = job(Shape.SMALL, SMALL)
    for name, text in describe_job(children, "small", target, small).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["strace", "-f", "-e", "trace=%file", "-o", "calls", "fio", "--readonly"]
    subprocess.run([*command, "small.fio"], cwd=tmp_path, capture_output=True, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    on_files = [call for call in calls if "target-1/" in call]
    found = [call for call in on_files if "ENOENT" not in call]
    assert len(found) == len(SMALL)
    assert all("openat" in call for call in found)
    assert on_files[-len(found) :] == found


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (ODD, "fio's lists cannot hold such file names"),
        (SMALL[3:4], "fio cannot replay files that are all empty"),
    ],
)
def test_what_fio_cannot_replay_the_reader_does(
    children: Children, target: str, files: tuple[str, ...], why: str
) -> None:
    outcome = run_job(children, target, job(Shape.SMALL, files))
    assert outcome.engine == f"reader ({why})"
    assert outcome.files == len(files)
    assert describe_job(children, "small", target, job(Shape.SMALL, files)) == {}


def test_names_that_a_job_file_would_cut_short_are_left_to_the_reader(
    children: Children, tmp_path: Path
) -> None:
    names = (
        "cut#short",
        "cut;short",
        "end ",
        "variable$ncpus",
        "line\nend",
        "back\\slash",
        "\udcff",
    )
    for name in names:
        (tmp_path / name).write_bytes(bytes(5000))
        why = obstacle(str(tmp_path), Job(Shape.RANDOM, ((name,),), 1000))
        assert why == "fio's job files cannot hold such file names"
    reading = Job(Shape.RANDOM, (names,), 1000, sizes=((5000,) * len(names),))
    outcome = run_job(children, str(tmp_path), reading)
    assert outcome.engine == f"reader ({why})"
    assert outcome.bytes == 5000 * len(names)


def test_lists_hold_no_names_that_fio_would_cut_short() -> None:
    for name in ("white space", "line\nend", "l" * 250, "\udcff"):
        why = obstacle("/data", Job(Shape.SMALL, ((name,),), MIB, sizes=((1,),)))
        assert why == "fio's lists cannot hold such file names"
    assert obstacle("/with space", job(Shape.SMALL, SMALL)) == ""
    assert "file names" in obstacle("/cut#short", job(Shape.SMALL, SMALL))
    assert "sizes are known" in obstacle("/data", job(Shape.SMALL, SMALL, sized=False))
    assert "whole blocks" in obstacle("/data", Job(Shape.WRITE, (("new",),), MIB, size=MIB + 1))


def test_without_fio_the_reader_does_it_and_says_so(target: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        children = make_children(stack, tmp_path / "logs", PATH=str(tmp_path))
        outcome = run_job(children, target, _READING["small"])
    assert outcome.engine == "reader (fio is not installed)"
    assert outcome.bytes == _BYTES["small"]


@pytest.mark.parametrize("name", ["sequential", "random", "small"])
def test_a_missing_file_is_named_and_not_created(
    children: Children, target: str, name: str
) -> None:
    missing = Path(target) / PLAIN[1]
    missing.unlink()
    with pytest.raises(TargetError) as caught:
        run_job(children, target, _READING[name])
    assert f"{missing} is missing" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not missing.exists()


@pytest.mark.parametrize("shape", [Shape.SEQUENTIAL, Shape.SMALL])
def test_a_file_that_became_shorter_is_named(children: Children, target: str, shape: Shape) -> None:
    os.truncate(f"{target}/{PLAIN[1]}", MIB + 5)
    for run in (run_job, run_reader):
        with pytest.raises(TargetError, match=f"{PLAIN[1]} became shorter"):
            run(children, target, job(shape, PLAIN[:2], PLAIN[2:]))


def test_blocks_larger_than_every_file_are_an_error(children: Children, target: str) -> None:
    reading = job(Shape.RANDOM, ODD[:1], sized=False, operations=1)
    for run in (run_job, run_reader):
        with pytest.raises(TargetError, match="block of 1048576 bytes"):
            run(children, target, reading)


@pytest.mark.parametrize("shape", [Shape.SEQUENTIAL, Shape.RANDOM])
def test_a_file_that_cannot_be_opened_is_named_at_once(children: Children, shape: Shape) -> None:
    probe = Path("/sys/bus/cpu/drivers_probe")
    if not probe.exists() or probe.stat().st_mode & 0o444:
        pytest.skip("no file that nobody, not even root, may open for reading")
    with pytest.raises(TargetError, match=f"^{probe}: (Invalid argument|Permission denied)$"):
        run_job(children, str(probe.parent), Job(shape, ((probe.name,),), 512, time_limit_s=10.0))


def test_a_full_disk_is_said_to_be_full(children: Children, small_disk: Path) -> None:
    writing = Job(Shape.WRITE, (("first", "second"),), MIB // 4, size=3 * MIB // 2)
    for run in (run_job, run_reader):
        with pytest.raises(TargetError, match=f"{small_disk} is full: writing second failed"):
            run(children, str(small_disk), writing)
        for path in small_disk.iterdir():
            path.unlink()


def test_a_read_only_target_is_said_to_be_read_only(children: Children, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for run in (run_job, run_reader):
        with pytest.raises(TargetError, match=f"{small_disk} is read-only: new"):
            run(children, str(small_disk), Job(Shape.WRITE, (("new",),), MIB, size=MIB))


def test_files_that_are_there_are_not_written_over(children: Children, target: str) -> None:
    before = snapshot(target)
    writing = Job(Shape.WRITE, ((PLAIN[0],),), MIB, size=MIB)
    for run in (run_job, run_reader):
        with pytest.raises(TargetError, match=f"{PLAIN[0]} is there already"):
            run(children, target, writing)
    assert snapshot(target) == before


def test_a_target_that_hangs_is_given_up_at_the_time_limit(
    children: Children, tmp_path: Path
) -> None:
    # Opening a pipe that nobody writes to never returns.
    os.mkfifo(tmp_path / "pipe")
    hanging = Job(Shape.SMALL, (("pipe",),), MIB, sizes=((5,),), time_limit_s=0.5)
    for run in (run_job, run_reader):
        with pytest.raises(TargetError, match=r"small of pipe did not end within 0.5 s"):
            run(children, str(tmp_path), hanging)
    mine = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True)
    assert not [line for line in mine.stdout.splitlines() if f"{tmp_path}/logs/fio-" in line]
