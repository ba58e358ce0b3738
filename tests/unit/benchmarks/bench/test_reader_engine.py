"""Our own reader: what fio cannot do, and what goes wrong in one of several processes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.engines.choose import run_job
from cloudfs_benchmarks.bench.engines.failures import failure_line
from cloudfs_benchmarks.bench.engines.job import Job, Shape
from cloudfs_benchmarks.bench.engines.order import in_order
from cloudfs_benchmarks.bench.engines.reader import run_reader
from cloudfs_benchmarks.bench.engines.tally import CLOCK, Tally, latency_over
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.targets.opening import open_tree
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
)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with ExitStack() as stack:
        yield make_children(stack, tmp_path / "logs")


@pytest.fixture
def target(tmp_path: Path) -> str:
    return fill(tmp_path / "target")


def test_a_walk_counts_every_name_below_its_folders(children: Children, target: str) -> None:
    outcome = run_job(children, target, Job(Shape.WALK, (("",), ("small", "odd")), 0))
    names = len(PLAIN) + len(SMALL) + len(ODD)
    assert outcome.operations == names + 3 + len(SMALL) + len(ODD)
    assert (outcome.engine, outcome.bytes, outcome.files) == ("reader", 0, 0)
    assert outcome.latency is None
    assert outcome.seconds > 0


def test_opens_stop_at_their_bound(children: Children, target: str) -> None:
    every = run_job(children, target, job(Shape.OPEN, SMALL, ODD))
    assert (every.operations, every.files) == (9, 9)
    assert every.bytes == 8  # one is empty
    some = run_job(children, target, job(Shape.OPEN, PLAIN, ODD, operations=2))
    assert (some.operations, some.files, some.bytes) == (4, 4, 4)
    assert some.latency is not None
    assert sum(count for _, count in some.latency.histogram) == 4


def test_small_files_are_shuffled_by_the_seed_and_large_are_not() -> None:
    def order(shape: Shape, seed: int) -> list[str]:
        return [path for path, _ in in_order(job(shape, (*SMALL, *ODD), seed=seed), 0)]

    assert order(Shape.SEQUENTIAL, 1) == [*SMALL, *ODD]
    shuffled = order(Shape.SMALL, 1)
    assert sorted(shuffled) == sorted([*SMALL, *ODD])
    assert shuffled == order(Shape.SMALL, 1) != order(Shape.SMALL, 2)
    assert shuffled != [*SMALL, *ODD]


def test_sizes_stay_with_their_files() -> None:
    reading = job(Shape.SMALL, SMALL)
    given = dict(zip(SMALL, reading.sizes[0], strict=True))
    assert dict(in_order(reading, 0)) == given


@pytest.mark.parametrize("shape", [Shape.RANDOM, Shape.SMALL])
def test_one_reader_that_fails_ends_the_trial(
    children: Children, target: str, shape: Shape
) -> None:
    # RANDOM meets it while preparing, with the others waiting for it; SMALL while reading.
    (Path(target) / PLAIN[2]).unlink()
    reading = job(shape, ODD, PLAIN[2:], ODD, sized=False, block=4 * KIB)
    with pytest.raises(TargetError, match=f"^{target}/{PLAIN[2]} is missing"):
        run_reader(children, target, reading)


def test_a_target_that_is_gone_is_named(children: Children, target: str) -> None:
    with pytest.raises(TargetError, match=f"^{target}/nosuch is missing: was it removed"):
        run_job(children, f"{target}/nosuch", Job(Shape.WALK, (("",),), 0))


def test_a_reader_that_cannot_get_its_memory_says_so(children: Children, target: str) -> None:
    with pytest.raises(TargetError, match="MemoryError"):
        run_job(children, target, job(Shape.SMALL, ODD, sized=False, block=1 << 60))


def test_an_nfs_export_is_read_through_libnfs(
    children: Children, nfs_folder: str, tmp_path: Path
) -> None:
    written = run_job(children, nfs_folder, Job(Shape.WRITE, (("a",), ("b",)), MIB, size=2 * MIB))
    assert (written.bytes, written.operations, written.files) == (4 * MIB, 4, 2)
    tree = open_tree(nfs_folder)
    assert [entry.size for entry in tree.entries("")] == [2 * MIB] * 2
    tree.close()
    read = run_job(
        children, nfs_folder, Job(Shape.SMALL, (("a",), ("b",)), MIB, sizes=((2 * MIB,),) * 2)
    )
    assert (read.bytes, read.files, read.engine) == (4 * MIB, 2, "libnfs reader")
    with pytest.raises(TargetError, match="nosuch is missing"):
        run_job(children, nfs_folder, Job(Shape.OPEN, (("nosuch",),), 1))


def test_many_operations_are_kept_as_a_histogram() -> None:
    tally = Tally()
    for _ in range(150_000):
        tally.note(2, CLOCK() - 0.001)
    assert len(tally.latencies.kept) == 50_000
    latency = latency_over([tally.latencies, Tally().latencies])
    assert latency is not None
    assert (tally.operations, tally.bytes) == (150_000, 300_000)
    assert sum(count for _, count in latency.histogram) == 150_000
    assert 1000 <= latency.p50 <= 1000 * 1.13


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "/data is full: writing a/b failed"),
        (errno.EDQUOT, "/data is full"),
        (errno.ENOTCONN, "/data was unmounted or its daemon died (at /data/a/b)"),
        (errno.ECONNABORTED, "/data was unmounted or its daemon died"),
        (errno.ESTALE, "/data/a/b: stale file handle"),
        (errno.EROFS, "/data is read-only"),
        (errno.ENOENT, "/data/a/b is missing"),
        (errno.EIO, "/data/a/b: Input/output error"),
    ],
)
def test_failures_name_target_file_and_way_out(code: int, words: str) -> None:
    line = failure_line("/data", "a/b", code)
    assert line.startswith(words)
    assert "\n" not in line
