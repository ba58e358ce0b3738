"""The loader as the suite runs it: a process with a job, lines of JSON and an exit status."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloudfs_benchmarks.bench.data.files import Format, Sample
from cloudfs_benchmarks.bench.data.scan import read_data_set
from cloudfs_benchmarks.bench.training.collate import BatchReader
from cloudfs_benchmarks.bench.training.epochs import batches, choose_loader, groups_of
from cloudfs_benchmarks.bench.training.job import (
    LoaderJob,
    LoaderKind,
    Model,
    read_samples,
    write_samples,
)
from tests.unit.benchmarks.bench.data_support import mounted, raw_data, write_small

HAS_TORCH = importlib.util.find_spec("torch") is not None
NEEDS_TORCH = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
POOL = LoaderKind.POOL


def _job(folder: Path, samples: Sequence[Sample], **changes: Any) -> LoaderJob:
    path = folder / "samples.json"
    write_samples(path, samples)
    job = LoaderJob(str(folder), str(path), 2, 4, 0.0, Model.NONE, POOL, 2, seed=1)
    return replace(job, **changes)


def _run(job: LoaderJob, stdin: str = "\n\n\n") -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run(
        job.command(), input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_come_in_order_from_whichever_worker(tmp_path: Path, workers: int) -> None:
    data = raw_data(tmp_path, 10)
    groups = groups_of(10, batch=3, seed=1, epoch=1)
    reader = BatchReader(str(tmp_path), data.samples)
    read = list(batches(POOL, reader, groups, workers))
    # Files hold their own number, over and over.
    numbers = [[int(row[:1000].max()) for row in batch.features] for batch in read]
    assert numbers == groups
    assert [batch.samples for batch in read] == [3, 3, 3, 1]
    assert [batch.bytes for batch in read] == [3000, 3000, 3000, 1000]


def test_every_epoch_has_every_sample_once_in_a_new_order() -> None:
    epochs = [groups_of(50, 4, seed=1, epoch=epoch) for epoch in (1, 2)]
    flat = [[index for group in groups for index in group] for groups in epochs]
    assert sorted(flat[0]) == sorted(flat[1]) == list(range(50))
    assert flat[0] != flat[1]
    assert groups_of(50, 4, seed=1, epoch=1) == epochs[0]
    assert groups_of(50, 4, seed=2, epoch=1) != epochs[0]


def test_a_job_survives_the_command_line(tmp_path: Path) -> None:
    samples = [Sample("a/b.h5", Format.HDF5, 10, 1, 3), Sample("ä ö.raw", Format.RAW, 5)]
    job = _job(tmp_path, samples, model=Model.TORCH)
    assert LoaderJob.parse(job.command()[-1]) == job
    assert read_samples(Path(job.samples)) == samples


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        (POOL, Model.NONE),
        pytest.param(LoaderKind.TORCH, Model.TORCH, marks=[NEEDS_TORCH, pytest.mark.slow]),
    ],
)
def test_it_trains_on_every_format_and_says_each_step(
    tmp_path: Path, kind: LoaderKind, model: Model
) -> None:
    own = write_small(tmp_path / "own")
    found = read_data_set(mounted(own), "")
    status, lines, complaints = _run(
        _job(
            tmp_path,
            found.samples,
            location=str(own),
            loader=kind,
            model=model,
            compute_s=0.002,
        )
    )
    assert (status, complaints) == (0, "")
    assert list(lines[0]) == ["loader"]
    assert ("DataLoader" in lines[0]["loader"]) == (kind is LoaderKind.TORCH)
    size = sum(sample.size for sample in found.samples)
    least_s = 0.002 if model is Model.NONE else 0.0
    for epoch in (1, 2):
        steps = [line for line in lines if "step" in line and line["epoch"] == epoch]
        count = -(-len(found.samples) // 4)
        assert [step["step"] for step in steps] == list(range(1, count + 1))
        assert sum(step["samples"] for step in steps) == len(found.samples)
        assert sum(step["bytes"] for step in steps) == size
        assert all(step["wait_s"] >= 0 and step["compute_s"] > least_s for step in steps)
        (end,) = [line for line in lines if "seconds" in line and line["epoch"] == epoch]
        taken = sum(step["wait_s"] + step["compute_s"] for step in steps)
        # The first epoch begins with listing the folders.
        listing_s = end["seconds"] - taken
        assert listing_s == pytest.approx(0) if epoch == 2 else listing_s > 0
        assert end["first_batch_s"] - steps[0]["wait_s"] == pytest.approx(listing_s)
    readers = {reader for line in lines for reader in line.get("readers", [])}
    assert {reader.split()[0] for reader in readers} == {
        *("NumPy", "appended", "h5py", "plain", "zarr")
    }


def test_it_waits_for_a_line_before_every_epoch(tmp_path: Path) -> None:
    data = raw_data(tmp_path, 8)
    status, lines, _ = _run(_job(tmp_path, data.samples, epochs=3), stdin="\n\n")
    assert status == 0
    assert {line["epoch"] for line in lines[1:]} == {1, 2}
    job = _job(tmp_path, data.samples, location=str(tmp_path / "gone"))
    status, lines, _ = _run(job, stdin="")
    assert (status, [list(line) for line in lines]) == (0, [["loader"]])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_cannot_be_read_ends_it(tmp_path: Path, workers: int) -> None:
    data = raw_data(tmp_path, 8)
    (tmp_path / "3.raw").write_bytes(b"short")
    (tmp_path / "damaged.h5").write_bytes(b"no hdf5")
    status, lines, _ = _run(_job(tmp_path, data.samples, workers=workers))
    assert status == 1
    assert lines[-1] == {"error": "3.raw: the file ends before its size"}
    damaged = [Sample("damaged.h5", Format.HDF5, 7)]
    status, lines, _ = _run(_job(tmp_path, damaged, workers=workers))
    assert status == 1
    assert lines[-1]["error"].startswith("damaged.h5: ")
    assert "\n" not in lines[-1]["error"]


def test_a_target_that_is_not_there_ends_it(tmp_path: Path) -> None:
    job = _job(tmp_path, [Sample("sub/a", Format.RAW, 1)], location=str(tmp_path / "gone"))
    status, lines, _ = _run(job)
    assert (status, lines[-1]) == (1, {"error": "sub: No such file or directory"})


@pytest.mark.parametrize(
    "kind", [POOL, pytest.param(LoaderKind.TORCH, marks=[NEEDS_TORCH, pytest.mark.slow])]
)
def test_a_killed_worker_ends_it(tmp_path: Path, kind: LoaderKind) -> None:
    os.mkfifo(tmp_path / "pipe")
    job = _job(tmp_path, [Sample("pipe", Format.RAW, 10)], workers=1, loader=kind)
    with subprocess.Popen(
        job.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as loader:
        assert loader.stdin is not None
        loader.stdin.write(b"\n")
        loader.stdin.flush()
        # Opens when a worker has opened it: that waits for bytes then.
        with (tmp_path / "pipe").open("wb"):
            (worker,) = [
                child
                for child in psutil.Process(loader.pid).children(recursive=True)
                if any("pipe" in file.path for file in _files(child))
            ] or psutil.Process(loader.pid).children()
            worker.send_signal(signal.SIGKILL)
        output, _ = loader.communicate(timeout=60)
    assert loader.returncode == 1
    last = json.loads(output.splitlines()[-1])
    assert last["error"].startswith("a worker of the loader died: ")


def _files(process: psutil.Process) -> list[Any]:
    return list(process.open_files())


def test_pytorch_s_loader_is_chosen_where_it_is_installed() -> None:
    assert choose_loader(POOL) is POOL
    assert choose_loader(LoaderKind.AUTO) is (LoaderKind.TORCH if HAS_TORCH else POOL)
