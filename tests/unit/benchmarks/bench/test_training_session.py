"""Training runs: what is recorded, what happens between epochs, and how runs fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cloudfs_benchmarks.bench.data.files import DataSet, Format, Sample
from cloudfs_benchmarks.bench.data.own import copy_own
from cloudfs_benchmarks.bench.data.scan import read_data_set
from cloudfs_benchmarks.bench.data.verify import altered, digest_sample
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import CacheState, TrainingRun
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.training.hits import HitRatio, Served
from cloudfs_benchmarks.bench.training.job import TrainingSettings
from cloudfs_benchmarks.bench.training.session import train
from cloudfs_benchmarks.demo.signals import Stopped
from tests.unit.benchmarks.bench.data_support import (
    SETTINGS,
    TARGET,
    Proven,
    children_in,
    data_of,
    raw_data,
    write_small,
)

_LOADER = "cloudfs_benchmarks.bench.training.loader"


def _train(
    folder: Path,
    data_set: DataSet,
    settings: TrainingSettings = SETTINGS,
    *,
    location: str | None = None,
    between: Callable[[int], Proven] = lambda epoch: Proven(f"before {epoch}"),
    counters: Callable[[], tuple[int, int, int] | None] = lambda: None,
    progress: Callable[[int, int, int], None] = lambda *_: None,
) -> TrainingRun:
    with children_in(folder) as children:
        return train(
            children,
            TARGET,
            location or str(folder),
            data_set,
            settings,
            between=between,
            counters=counters,
            progress=progress,
        )


def _loaders() -> list[psutil.Process]:
    """The loaders among this process's children, which has servers of other tests, too."""
    children = [child.as_dict(["cmdline", "pid"]) for child in psutil.Process().children()]
    return [
        psutil.Process(child["pid"])
        for child in children
        if _LOADER in " ".join(child["cmdline"] or ())
    ]


def _no_loader_left(folder: Path) -> bool:
    """No loader of samples in this folder, and none of its workers: of the same command line."""
    return not any(
        str(folder) in " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline"])
    )


def test_a_run_is_recorded_epoch_by_epoch(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    run = _train(
        tmp_path,
        raw_data(tmp_path, 10),
        between=lambda epoch: Proven(f"before {epoch}", CacheState.COLD),
        progress=lambda *step: seen.append(step),
    )
    assert run.error is None
    assert (run.target, run.trial, run.workers, run.batch) == ("local", 1, 2, 4)
    assert (run.compute_s, run.loader) == (0.001, "process pool; read by plain reads")
    assert seen == [(epoch, step, 3) for epoch in (1, 2) for step in (1, 2, 3)]
    assert [epoch.number for epoch in run.epochs] == [1, 2]
    for epoch in run.epochs:
        assert (epoch.samples, epoch.bytes, len(epoch.step_s)) == (10, 10_000, 3)
        assert (epoch.state, epoch.proof) == (CacheState.COLD, f"before {epoch.number}")
        assert sum(epoch.step_s) <= epoch.seconds * 1.000001
        assert all(step > wait >= 0 for step, wait in zip(epoch.step_s, epoch.wait_s, strict=True))
        assert 0 < epoch.au <= 1
        assert epoch.au == pytest.approx(0.002 / sum(epoch.step_s[1:]))
        assert epoch.hit_ratio is epoch.store_bytes is epoch.store_requests is None
    first, second = run.epochs
    assert min(first.first_batch_s, second.first_batch_s) > 0
    assert sum(second.step_s) == pytest.approx(second.seconds)
    assert (first.started_s, second.started_s > first.seconds) == (0.0, True)
    assert run.hit_ratio_over_time == ()
    assert _no_loader_left(tmp_path)


def test_what_is_done_between_epochs_is_done_while_nothing_reads(tmp_path: Path) -> None:
    data = raw_data(tmp_path, 8)
    seen: list[tuple[int, int]] = []

    def between(epoch: int) -> Proven:
        loaders = _loaders()
        workers = [child for loader in loaders for child in loader.children()]
        seen.append((epoch, len(loaders)))
        assert not workers
        for number in range(8):
            (tmp_path / f"{number}.raw").write_bytes(bytes([epoch]) * 1000)
        return Proven("")

    assert _train(tmp_path, data, between=between).error is None
    assert seen == [(1, 1), (2, 1)]


def test_a_mount_s_counters_are_recorded(tmp_path: Path) -> None:
    served = {"bytes": 1000, "store": 900, "requests": 9}

    def progress(epoch: int, step: int, steps: int) -> None:
        served["bytes"] += 100
        if epoch == 1:
            served["store"] += 75
            served["requests"] += 2

    def between(epoch: int) -> Proven:
        # Not of the epoch that comes.
        served["store"] += 5000
        return Proven("")

    run = _train(
        tmp_path,
        raw_data(tmp_path, 12),
        replace(SETTINGS, sample_s=0.0),
        between=between,
        progress=progress,
        counters=lambda: (served["bytes"], served["store"], served["requests"]),
    )
    first, second = run.epochs
    assert (first.hit_ratio, first.store_bytes, first.store_requests) == (0.25, 225, 6)
    assert (second.hit_ratio, second.store_bytes, second.store_requests) == (1.0, 0, 0)
    times, ratios = zip(*run.hit_ratio_over_time, strict=True)
    assert list(times) == sorted(times)
    assert set(ratios) == {0.25, 1.0}
    assert list(ratios) == sorted(ratios)


def test_ratios_stay_between_none_and_all() -> None:
    assert Served(100, 25, 1).hit_ratio == 0.75
    assert Served(100, 150, 1).hit_ratio == 0.0
    assert Served(0, 0, 0).hit_ratio == 1.0
    assert Served(0, 10, 1).hit_ratio == 0.0


def test_targets_without_counters_are_never_due() -> None:
    hits = HitRatio(lambda: None, SETTINGS)
    hits.begin_epoch()
    assert hits.due_in_s() == float("inf")
    hits.sample()
    assert hits.end_epoch() is None
    busy = HitRatio(lambda: (1, 1, 1), replace(SETTINGS, sample_s=1000.0))
    busy.begin_epoch()
    assert 999 < busy.due_in_s() <= 1000


def test_what_is_asked_in_between_may_be_behind() -> None:
    exact, behind = [(100, 0, 0)], [(90, 0, 0)]
    hits = HitRatio(lambda: exact[0], SETTINGS, lambda: behind[0])
    hits.begin_epoch()
    hits.sample()
    behind[0] = (200, 50, 1)
    hits.sample()
    exact[0] = (300, 50, 1)
    assert hits.end_epoch() == Served(200, 50, 1)
    assert [ratio for _, ratio in hits.over_time] == [0.5, 1.0]


def test_a_failure_keeps_the_epochs_before_it(tmp_path: Path) -> None:
    def between(epoch: int) -> Proven:
        if epoch == 2:
            (tmp_path / "5.raw").unlink()
        return Proven("")

    run = _train(tmp_path, raw_data(tmp_path, 8), between=between)
    assert run.error == "5.raw: No such file or directory"
    assert [epoch.number for epoch in run.epochs] == [1]
    assert _no_loader_left(tmp_path)


@pytest.mark.parametrize("kind", [TargetError, OSError])
def test_a_failure_between_epochs_is_one_of_the_run(tmp_path: Path, kind: type[Exception]) -> None:
    def between(epoch: int) -> Proven:
        if epoch == 2:
            raise kind("the daemon is gone")
        return Proven("")

    run = _train(tmp_path, raw_data(tmp_path, 8), between=between)
    assert (run.error, len(run.epochs)) == ("the daemon is gone", 1)
    assert _no_loader_left(tmp_path)


def test_a_loader_that_hangs_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    stuck = data_of([Sample("pipe", Format.RAW, 10)])
    run = _train(tmp_path, stuck, replace(SETTINGS, workers=0, stall_s=0.5))
    assert run.error == "the loader did nothing for 0.5 s"
    assert _no_loader_left(tmp_path)


def test_a_loader_that_dies_is_reported(tmp_path: Path) -> None:
    workers: list[psutil.Process] = []

    def progress(epoch: int, step: int, steps: int) -> None:
        for loader in _loaders():
            workers.extend(loader.children())
            loader.send_signal(signal.SIGKILL)

    run = _train(tmp_path, raw_data(tmp_path, 40), progress=progress)
    assert run.error == "the loader ended early with status -9"
    assert run.epochs == ()
    # Nor do its workers stay, which hold what it wrote to open.
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)


def test_what_a_loader_said_last_is_in_the_error(tmp_path: Path) -> None:
    data = raw_data(tmp_path, 8)
    run = _train(tmp_path, data, replace(SETTINGS, compute_s=-1.0))
    assert run.error is not None
    assert run.error.startswith("the loader ended early with status 1: ValueError: ")


def test_a_data_set_without_samples_is_said(tmp_path: Path) -> None:
    run = _train(tmp_path, data_of([]))
    assert run.error is not None
    assert "has no samples to train on: name a folder" in run.error


def test_an_interruption_leaves_no_loader(tmp_path: Path) -> None:
    def progress(epoch: int, step: int, steps: int) -> None:
        raise Stopped(signal.SIGINT)

    with pytest.raises(Stopped):
        _train(tmp_path, raw_data(tmp_path, 8), progress=progress)
    assert _no_loader_left(tmp_path)


@pytest.mark.slow
def test_own_data_are_copied_to_an_nfs_server_and_trained_on_there(
    tmp_path: Path, nfs_folder: str
) -> None:
    own = write_small(tmp_path / "own")
    tree = open_tree(nfs_folder)
    copy_own(own, tree, "copy")
    found = read_data_set(tree, "copy")
    assert altered(found, digest_sample(tree, found, 1 << 30, seed=1)) == []
    tree.close()
    run = _train(tmp_path, found, location=nfs_folder)
    assert run.error is None
    assert [epoch.samples for epoch in run.epochs] == [len(found.samples)] * 2
    assert {"zarr", "h5py"} <= set(run.loader.replace(",", "").split())
