"""What a run consists of: the same work on every target, in turns, and what it will cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.data.files import DataSet, File, Format, Sample
from cloudfs_benchmarks.bench.engines.job import Shape
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.estimating import estimate
from cloudfs_benchmarks.bench.options import MIB, Options, Suite, check_dataset, options_of
from cloudfs_benchmarks.bench.plan import (
    bounded,
    deal,
    fitting,
    job_paths,
    make_job,
    states_for,
    steps_of,
    trains,
    turns,
    within,
)
from cloudfs_benchmarks.bench.results import CacheState, Kind, Target

VALUES = {
    "targets": ("a=/a", "b=/b"),
    "suites": (),
    "size": 64 * MIB,
    "out": Path("out"),
    "dataset": None,
    "trials": None,
    "readers": 4,
    "workers": 2,
    "batch": 4,
    "compute_time": 0.05,
    "model": "none",
    "loader": "pool",
    "epochs": None,
    "seed": 1,
    "keep_pages": False,
    "warmup": False,
}
LARGE = tuple(File(f"data/large/{n}", 10 * MIB) for n in range(4))
SMALL = tuple(File(f"data/small/{n}", 1000 + n) for n in range(20))
SAMPLES = tuple(Sample(file.path, Format.RAW, file.size) for file in LARGE)
DATA = DataSet("data", True, LARGE + SMALL, LARGE, SMALL, SAMPLES)
EVERYTHING = (Suite.QUICK, Suite.STANDARD, Suite.TRAINING)


def options(**changes: object) -> Options:
    return options_of({**VALUES, **changes})


def target(name: str, kind: Kind = Kind.LOCAL) -> Target:
    return Target(name, f"/{name}", kind, "ext4", "/dev/sda", "rw", 128, True, 10**12)


@pytest.mark.parametrize("step", steps_of(EVERYTHING), ids=lambda step: f"{step.suite}-{step.name}")
def test_a_job_has_work_for_every_reader_and_names_only_files_of_the_data(step: object) -> None:
    job = make_job(step, DATA, options(), 0, "mine")  # type: ignore[arg-type]
    assert job.readers >= 1
    assert all(job.files)
    if job.shape is Shape.WRITE:
        assert job.files == (("mine/written",),)
        assert job_paths(job, DATA) == []
    else:
        assert set(job_paths(job, DATA)) <= {file.path for file in DATA.files}
        assert job_paths(job, DATA)


def test_trials_differ_in_their_random_orders_and_in_nothing_else() -> None:
    for step in steps_of(EVERYTHING):
        first, second = (make_job(step, DATA, options(), trial, "mine") for trial in (0, 1))
        assert first.seed != second.seed
        if step.shape is not Shape.SMALL and step.shape is not Shape.OPEN:
            assert replace(first, seed=0) == replace(second, seed=0)


def test_many_readers_share_the_files_and_about_as_many_bytes_each() -> None:
    hands = deal(LARGE + SMALL, 3)
    sizes = {file.path: file.size for file in LARGE + SMALL}
    assert sorted(path for hand in hands for path in hand) == sorted(sizes)
    loads = [sum(sizes[path] for path in hand) for hand in hands]
    assert max(loads) <= 2 * min(loads) + 10 * MIB


def test_fewer_files_than_readers_are_fewer_readers() -> None:
    assert deal(LARGE[:2], 4) == (("data/large/0",), ("data/large/1",))


def test_a_limit_leaves_out_what_does_not_fit_but_never_everything() -> None:
    assert within(LARGE, 25 * MIB) == list(LARGE[:2])
    assert within(LARGE, 1) == [LARGE[0]]


def test_blocks_are_not_larger_than_the_smallest_file() -> None:
    assert fitting(MIB, LARGE) == MIB
    assert fitting(MIB, [File("a", 3 * MIB), File("b", 700_000)]) == 512 * 1024
    assert fitting(MIB, [File("a", 0)]) == 4096


def test_every_target_comes_first_as_often() -> None:
    three = [target(name) for name in "abc"]
    assert [turns(three, trial) for trial in range(3)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (Kind.CLOUDFS, {CacheState.COLD, CacheState.SSD_WARM, CacheState.RAM_WARM}),
        (Kind.NFS, {CacheState.COLD, CacheState.RAM_WARM}),
        (Kind.LOCAL, {CacheState.COLD, CacheState.RAM_WARM}),
        (Kind.LIBNFS, {CacheState.COLD}),
    ],
)
def test_only_states_that_a_target_has_are_measured(kind: Kind, states: set[CacheState]) -> None:
    step = next(s for s in steps_of([Suite.STANDARD]) if s.name == "sequential-1")
    assert set(states_for(step, kind)) == states


def test_writing_is_measured_on_every_kind_of_target() -> None:
    step = next(s for s in steps_of([Suite.STANDARD]) if s.shape is Shape.WRITE)
    assert all(states_for(step, kind) for kind in Kind)


def test_quick_and_training_train_and_standard_does_not() -> None:
    assert trains([Suite.QUICK])
    assert trains([Suite.STANDARD, Suite.TRAINING])
    assert not trains([Suite.STANDARD])


def test_the_estimate_grows_with_trials_targets_and_size() -> None:
    small = estimate(options(), [target("a")], DATA)
    assert estimate(options(trials=6), [target("a")], DATA).read_bytes == 2 * small.read_bytes
    two = estimate(options(), [target("a"), target("b")], DATA)
    assert two.read_bytes == 2 * small.read_bytes
    assert small.seconds[0] < small.seconds[1]
    assert (small.store_bytes, small.store_requests, small.written_bytes) == (0, 0, 0)


def test_the_estimate_counts_what_a_bucket_is_asked_for_and_what_is_written() -> None:
    bucket = estimate(options(), [target("a", Kind.CLOUDFS)], DATA)
    assert 0 < bucket.store_bytes < bucket.read_bytes
    assert bucket.store_requests > 0
    written = estimate(options(), [target("a"), target("b")], None)
    assert written.written_bytes == 2 * 64 * MIB


def test_the_users_data_are_bounded_by_the_size_and_alike_on_every_target() -> None:
    theirs = replace(DATA, own=False)
    once = bounded(theirs, 25 * MIB, seed=1)
    assert len(once.samples) == 2
    assert bounded(theirs, 25 * MIB, seed=1) == once
    assert bounded(DATA, 25 * MIB, seed=1) is DATA
    assert bounded(theirs, 1, seed=1).samples


def test_without_a_suite_it_is_the_quick_one_with_its_defaults() -> None:
    quick = options(size=None)
    assert (quick.suites, quick.size_bytes) == ((Suite.QUICK,), 512 * MIB)
    assert (quick.trials, quick.training.epochs) == (3, 2)


@pytest.mark.parametrize("folder", ["/abs", "../up", "a/../b"])
def test_a_data_set_outside_the_targets_is_refused(folder: str) -> None:
    with pytest.raises(BenchError, match="must be a folder inside every target"):
        check_dataset(folder)


def test_the_data_set_may_be_all_of_a_target() -> None:
    assert (check_dataset("."), check_dataset("a/b/")) == ("", "a/b")


def test_too_little_data_is_refused() -> None:
    with pytest.raises(BenchError, match="give 8MiB or more"):
        options(size=MIB)
