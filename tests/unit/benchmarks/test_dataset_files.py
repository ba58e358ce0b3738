"""The dataset on disk: sizes, determinism, and what other people's readers find in it."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from cloudfs_benchmarks.dataset.__main__ import main
from cloudfs_benchmarks.dataset.flow import CHORD_M
from cloudfs_benchmarks.dataset.sizes import parse_size
from cloudfs_benchmarks.dataset.writer import DatasetSpec, write_dataset

SPEC = DatasetSpec(size_bytes=2_000_000, cases=5, seed=7)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    write_dataset(root, SPEC, processes=1)
    return root


def _digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_that_of_public_datasets(dataset: Path) -> None:
    names = {path.name for path in (dataset / "run_3").iterdir()}
    wanted = {"volume_3.vtu", "fields_3.h5", "surface_3.npz"}
    assert names == wanted | {"geo_parameters_3.csv", "force_mom_3.csv"}


def test_the_manifest_names_every_file_and_its_size(dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    listed = {
        f"{case['folder']}/{name}": size
        for case in manifest["cases"]
        for name, size in case["files"].items()
    }
    found = {
        str(path.relative_to(dataset)): path.stat().st_size for path in dataset.rglob("run_*/*")
    }
    assert listed == found


@pytest.mark.parametrize("size_bytes", [2_000_000, 30_000_000])
def test_the_size_is_what_was_asked_for(tmp_path: Path, size_bytes: int) -> None:
    written = write_dataset(tmp_path, DatasetSpec(size_bytes, cases=5, seed=1), processes=1)
    assert written == pytest.approx(size_bytes, rel=0.05)
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written == on_disk


def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes(
    dataset: Path, tmp_path: Path
) -> None:
    write_dataset(tmp_path, SPEC, processes=2)
    assert _digests(tmp_path) == _digests(dataset)


def test_another_seed_gives_other_bytes(dataset: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetSpec(SPEC.size_bytes, SPEC.cases, seed=8), processes=1)
    ours, theirs = _digests(tmp_path), _digests(dataset)
    assert not [name for name in ours if name.endswith(".vtu") and ours[name] == theirs[name]]


def test_large_datasets_get_more_cases_not_larger_ones() -> None:
    assert DatasetSpec.of(200_000_000).cases == 256
    spec = DatasetSpec.of(10**12)
    assert spec.size_bytes / spec.cases <= 64e6


def test_the_written_wall_pressure_lifts_as_the_csv_says(dataset: Path) -> None:
    with np.load(dataset / "run_2" / "surface_2.npz") as wall:
        force = -wall["pressure_coefficient"] * wall["length"] / CHORD_M
        x, y = (force[:, None] * wall["normal"]).sum(axis=0, dtype=np.float64)
    with (dataset / "run_2" / "geo_parameters_2.csv").open(newline="") as file:
        incidence_rad = math.radians(float(next(csv.DictReader(file))["incidence_deg"]))
    with (dataset / "run_2" / "force_mom_2.csv").open(newline="") as file:
        loads = {name: float(value) for name, value in next(csv.DictReader(file)).items()}
    lift = y * math.cos(incidence_rad) - x * math.sin(incidence_rad)
    drag = x * math.cos(incidence_rad) + y * math.sin(incidence_rad)
    assert lift == pytest.approx(loads["cl"], abs=1e-4)
    assert drag == pytest.approx(0, abs=1e-4)
    assert loads["cd"] == 0


def test_hdf5_has_contiguous_and_chunked_arrays(dataset: Path) -> None:
    with h5py.File(dataset / "run_1" / "fields_1.h5") as file:
        velocity = file["velocity"]
        assert velocity.chunks is not None
        assert file["points"].chunks is None
        assert velocity.shape == (len(file["incidence_deg"]), len(file["points"]), 2)
        speed = np.linalg.norm(velocity[...], axis=-1) / file.attrs["speed_m_s"]
        assert file["pressure_coefficient"][...] == pytest.approx(1 - speed**2, abs=1e-4)


def test_vtk_reads_the_mesh(dataset: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    mesh = pyvista.read(dataset / "run_4" / "volume_4.vtu")
    assert mesh.n_cells > 0
    assert set(mesh.point_data) == {"velocity", "pressure_coefficient", "stream_function"}
    area_m2 = mesh.compute_cell_sizes(length=False, volume=False)["Area"].sum()
    far_m = np.abs(mesh.points).max()
    assert area_m2 == pytest.approx(math.pi * far_m**2, rel=0.05)


def test_the_command_line_writes_a_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tmp_path / "d"), "--size", "1MB", "--cases", "2", "--processes", "1"]
    assert main(arguments) == 0
    assert "2 cases, 1.0 MB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("4096", 4096), ("200MB", 200_000_000), ("1.5 GiB", 3 << 29), ("2kb", 2000)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "5 parsecs"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_size(text)
