"""The training script as a user runs it: a plain file, a data directory, an exit status."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloudfs_benchmarks.dataset.writer import DatasetSpec, write_dataset
from cloudfs_benchmarks.training import train

CASES = 24
HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    write_dataset(root, DatasetSpec(2_400_000, CASES, seed=1), processes=1)
    return root


def _run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, train.__file__, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "backend",
    ["numpy", pytest.param("auto", marks=pytest.mark.skipif(not HAS_TORCH, reason="torch"))],
)
def test_it_learns_and_records_every_step(dataset: Path, tmp_path: Path, backend: str) -> None:
    out = tmp_path / "steps.json"
    finished = _run(dataset, "--backend", backend, "--out", out, "--epochs", "3")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("epoch ") == 3
    document = json.loads(out.read_text())
    assert document["backend"] == ("numpy" if backend == "numpy" else "torch")
    losses = [epoch["loss"] for epoch in document["epochs"]]
    assert losses[-1] < losses[0]
    assert [epoch["cases"] for epoch in document["epochs"]] == [CASES] * 3
    assert len(document["steps"]) == 3 * CASES // 4
    assert all(step["wait_s"] >= 0 and step["compute_s"] > 0 for step in document["steps"])


def test_every_epoch_reads_every_case_once(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "steps.json"
    assert _run(dataset, "--out", out, "--epochs", "2", "--backend", "numpy").returncode == 0
    size = sum(
        path.stat().st_size
        for path in dataset.rglob("run_*/*")
        if not path.name.startswith("force_mom")
    )
    assert [epoch["bytes_read"] for epoch in json.loads(out.read_text())["epochs"]] == [size] * 2


def test_the_order_is_new_in_every_epoch(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(train, "_collate", lambda _cases, group: seen.append(group))
    trainer = train.NumpyTrainer(seed=1)
    cases = train.Cases(dataset, points=8, seed=1)
    orders = []
    for _ in range(2):
        seen.clear()
        list(trainer.batches(cases, batch_size=4, workers=0))
        orders.append([index for group in seen for index in group])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(CASES))
    assert orders[0] != orders[1]


def test_lockstep_waits_for_a_line_between_epochs(dataset: Path) -> None:
    arguments = [
        str(dataset),
        "--epochs",
        "2",
        "--workers",
        "0",
        "--backend",
        "numpy",
        "--lockstep",
    ]
    assert _run(*arguments, stdin="\n").returncode == 0
    ended = _run(*arguments, stdin="")
    assert ended.returncode == 1
    assert "standard input ended" in ended.stderr


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("volume_1.vtu", "auto"),
        ("volume_1.vtu", "numpy"),
        ("fields_1.h5", "numpy"),
        ("surface_1.npz", "numpy"),
    ],
)
def test_a_truncated_file_ends_the_run_loudly(tmp_path: Path, name: str, backend: str) -> None:
    write_dataset(tmp_path, DatasetSpec(200_000, 2, seed=1), processes=1)
    path = tmp_path / "run_1" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    finished = _run(tmp_path, "--epochs", "1", "--backend", backend)
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    finished = _run(tmp_path)
    assert finished.returncode == 1
    assert f"{tmp_path}: no run_* folders here" in finished.stderr


def test_the_vtu_reader_agrees_with_vtk(dataset: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    path = dataset / "run_1" / "volume_1.vtu"
    ours, theirs = train.read_vtu(path), pyvista.read(path)
    assert np.array_equal(ours["Points"], theirs.points)
    assert np.array_equal(ours["velocity"], theirs.point_data["velocity"])
    assert np.array_equal(ours["connectivity"], theirs.cell_connectivity)
