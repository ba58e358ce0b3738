"""The compression benchmark: its files are sound, its figures are those of the bytes."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import pyvista
import zarr

from cloudfs_benchmarks.compression import __main__ as command
from cloudfs_benchmarks.compression import alternatives, corpus, lock, measure
from cloudfs_benchmarks.compression.corpus import BLOCK_BYTES, Sample
from cloudfs_benchmarks.compression.fields import Effort, Fields, solve

TINY = Effort(
    wake_width=40, settle_steps=20, snapshots=2, stride_steps=10, box_points=12, box_steps=2
)


@pytest.fixture(scope="module")
def fields() -> Fields:
    return solve(TINY)


@pytest.fixture(scope="module")
def samples(fields: Fields, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    found = list(corpus.write(tmp_path_factory.mktemp("corpus"), fields))
    assert len({sample.name for sample in found}) == len(found)
    return {sample.name: sample for sample in found}


@pytest.mark.parametrize("encoding", ["raw", "base64", "zlib raw", "zlib base64", "ascii"])
def test_every_vtu_holds_the_wake(
    encoding: str, samples: dict[str, Sample], fields: Fields
) -> None:
    (path,) = samples[f"VTU {encoding}, wake f4"].files
    mesh = pyvista.read(path)
    expected = fields.wake_nodes("f4")
    assert np.array_equal(mesh.points, expected["points"])
    assert np.array_equal(mesh.point_data["velocity"], expected["velocity"])
    assert mesh.n_cells == 99 * 39


def test_vtu_encodings_are_what_they_say(samples: dict[str, Sample]) -> None:
    text = {
        name: sample.files[0].read_bytes()
        for name, sample in samples.items()
        if name.startswith("VTU") and "wake" in name
    }
    assert {name for name, data in text.items() if b"vtkZLibDataCompressor" in data} == {
        "VTU zlib raw, wake f4",
        "VTU zlib base64, wake f4",
    }
    assert {name for name, data in text.items() if b'encoding="raw"' in data} == {
        "VTU raw, wake f4",
        "VTU raw, wake f8",
        "VTU zlib raw, wake f4",
    }
    assert b'format="ascii"' in text["VTU ascii, wake f4"]


def test_arrays_hold_the_wake(samples: dict[str, Sample], fields: Fields) -> None:
    expected = fields.wake["pressure"].astype(np.float32)
    with np.load(samples["NPZ deflated, wake f4"].files[0]) as stored:
        assert np.array_equal(stored["pressure"], expected)
    with h5py.File(samples["HDF5 shuffle gzip, wake f4"].files[0]) as file:
        assert file["pressure"].compression == "gzip"
        assert file["pressure"].shuffle
        assert np.array_equal(file["pressure"][:], expected)
    root = min(samples["Zarr blosc lz4, wake f4"].files, key=lambda path: len(path.parts)).parent
    group = zarr.open_group(root, mode="r")
    array = group["pressure"]
    assert isinstance(array, zarr.Array)
    assert np.array_equal(np.asarray(array[:]), expected)


def test_blocks_are_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 9000)
    blocks = Sample("data", (path, path)).blocks()
    assert [len(block) for block in blocks] == [BLOCK_BYTES, BLOCK_BYTES, 206_848] * 2
    assert b"".join(blocks) == path.read_bytes() * 2


def test_a_row_counts_units_and_raw_blocks(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(BLOCK_BYTES)
    path = tmp_path / "half"
    path.write_bytes(b"\0" * BLOCK_BYTES + noise)
    row = measure.measure(Sample("half", (path,)), rounds=1, timed_blocks=9)
    assert row.raw_bytes == 2 * BLOCK_BYTES
    assert row.chosen["RAW"] == 1
    assert row.ratio == pytest.approx(512 / (256 + 2), rel=0.01)
    assert row.pace.encode_rate is not None
    assert row.pace.probe_us > 0


def test_a_row_of_noise_has_no_rates(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(np.random.default_rng(1).bytes(BLOCK_BYTES))
    row = measure.measure(Sample("noise", (path,)), rounds=1, timed_blocks=1)
    assert (row.ratio, row.chosen) == (1.0, {"RAW": 1})
    assert (row.pace.encode_rate, row.pace.decode_rate) == (None, None)


def test_alternatives_tell_strides_apart() -> None:
    ramp = np.linspace(1.0, 1.5, 1 << 17) + np.random.default_rng(1).normal(0, 1e-9, 1 << 17)
    ratios = alternatives.ratios([ramp.tobytes()])
    assert ratios["shuffle 8"] > 1.3
    assert ratios["shuffle 12"] < 1.2
    assert ratios["lz4"] < 1.01


def test_waits_cover_both_ways() -> None:
    found = {row.name: row for row in lock.waits(0.02)}
    assert {"idle", "encode SHUFFLE4_LZ4", "decode SHUFFLE12_LZ4", "probe"} <= set(found)
    assert all(0 < row.p50_us <= row.p99_us <= row.p999_us for row in found.values())
    assert all(row.one_rate > 0 for row in found.values())


@pytest.mark.parametrize("flag", [[], ["--alternatives"]])
def test_the_command_prints_a_row_per_sample(
    flag: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    arguments = ["--tiny", "--rounds", "1", "--blocks", "1", "--json", str(target), *flag]
    assert command.main(arguments) == 0
    (figures,) = json.loads(target.read_text(encoding="utf-8")).values()
    table = capsys.readouterr().out.splitlines()
    assert len(table) == len(figures) + 2 > 30
    assert any(line.startswith("| STL binary, isosurface |") for line in table)
