"""Samples of every format hold the same values however their files are reached."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs_benchmarks.bench.data.arrays import FEATURES, draw_features, window
from cloudfs_benchmarks.bench.data.classes import samples_of
from cloudfs_benchmarks.bench.data.files import File, Format, Sample
from cloudfs_benchmarks.bench.data.formats import RAW_READER, SampleArrays, preload, read_sample
from cloudfs_benchmarks.bench.data.scan import read_data_set
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.dataset.hdf5 import create_hdf5
from cloudfs_benchmarks.dataset.zarr_group import write_group
from tests.unit.benchmarks.bench.data_support import mounted, pathless, write_small

TREES = [mounted, pathless]
BLOCK = np.arange(240, dtype=np.float32).reshape(60, 4) + 1


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("own") / "data")


def _values(read: SampleArrays) -> list[float]:
    """The values of a sample of few values that are not zero, all of which are features."""
    return sorted(read.features[read.features != 0].tolist())


def test_every_format_is_the_same_with_and_without_a_path(own: Path) -> None:
    samples = {sample.format: sample for sample in read_data_set(mounted(own), "").samples}
    assert samples.keys() == set(Format)
    for sample in samples.values():
        one, other = (read_sample(make(own), sample) for make in TREES)
        assert one.bytes == other.bytes == sample.size
        assert np.array_equal(one.features, other.features), sample
        assert one.features.shape == (FEATURES,)
        assert np.count_nonzero(one.features) > min(sample.size, FEATURES) / 2
        assert (RAW_READER in one.reader) == (sample.format is Format.RAW)


def test_preloading_is_what_workers_need(own: Path) -> None:
    preload(set(Format))
    assert {"h5py", "zarr"} <= sys.modules.keys()


def _write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["contiguous"] = BLOCK
        file.create_dataset("deep/chunked", data=BLOCK + 240, chunks=(7, 4), compression="gzip")
        file.create_dataset("wide", data=(BLOCK + 480).T, chunks=(1, 11))
        file["scalar"] = np.float32(1000)
        file["text"] = "words"
        file["empty"] = np.empty((0, 3), np.float32)
        file["null"] = h5py.Empty("f4")


def _write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, BLOCK)


def _write_zarr(path: Path) -> None:
    write_group(path, {"one": BLOCK, "two": BLOCK[:, 0] + 500}, chunk_bytes=100)


def _write_raw(path: Path) -> None:
    path.write_bytes(bytes(range(1, 251)))


EXPECTED: dict[Format, tuple[Callable[[Path], None], list[float]]] = {
    Format.HDF5: (_write_hdf5, [*map(float, range(1, 721)), 1000.0]),
    Format.NPY: (_write_npy, BLOCK.ravel().tolist()),
    Format.ZARR: (_write_zarr, sorted([*BLOCK.ravel(), *(BLOCK[:, 0] + 500)])),
    Format.RAW: (_write_raw, [*map(float, range(1, 251))]),
}


@pytest.mark.parametrize("make", TREES)
@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_parts_together_are_every_value_once(
    tmp_path: Path, make: Callable[[Path], Tree], kind: Format, parts: int
) -> None:
    write, expected = EXPECTED[kind]
    write(tmp_path / "data")
    size = 250 if kind is Format.RAW else 1 << 20
    shares = [size * (part + 1) // parts - size * part // parts for part in range(parts)]
    samples = [Sample("data", kind, share, part, parts) for part, share in enumerate(shares)]
    read = [read_sample(make(tmp_path), sample) for sample in samples]
    assert sorted(value for each in read for value in _values(each)) == expected
    assert sum(each.bytes for each in read) == size


@pytest.mark.parametrize("make", TREES)
def test_a_zarr_array_without_a_group_is_read(tmp_path: Path, make: Callable[[Path], Tree]) -> None:
    _write_zarr(tmp_path / "data")
    read = read_sample(make(tmp_path), Sample("data/one", Format.ZARR, 960))
    assert _values(read) == BLOCK.ravel().tolist()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("make", TREES)
def test_compressed_and_sharded_hierarchies_of_zarr_itself_are_read(
    tmp_path: Path, make: Callable[[Path], Tree], version: int
) -> None:
    import zarr  # noqa: PLC0415 - slow to import

    group = zarr.open_group(str(tmp_path / "data"), mode="w", zarr_format=version)
    shards = (30, 4) if version == 3 else None
    array = group.create_array("sub/x", shape=(60, 4), chunks=(10, 4), shards=shards, dtype="f4")
    array[:] = BLOCK
    files = [File(path, size) for path, size in mounted(tmp_path).walk("")]
    (sample,) = samples_of(files, "")
    assert (sample.path, sample.format) == ("data", Format.ZARR)
    read = read_sample(make(tmp_path), sample)
    assert _values(read) == BLOCK.ravel().tolist()


def test_zarr_is_given_the_ranges_that_it_asks_for(tmp_path: Path) -> None:
    from zarr.abc.store import (  # noqa: PLC0415 - slow to import
        ByteRequest,
        OffsetByteRequest,
        RangeByteRequest,
        SuffixByteRequest,
    )
    from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415 - slow to import

    from cloudfs_benchmarks.bench.data.zarr_store import TreeStore  # noqa: PLC0415 - needs zarr

    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "key").write_bytes(b"0123456789")
    store = TreeStore(pathless(tmp_path), "data")
    wanted: dict[ByteRequest | None, bytes] = {
        None: b"0123456789",
        RangeByteRequest(2, 5): b"234",
        RangeByteRequest(8, 50): b"89",
        OffsetByteRequest(7): b"789",
        SuffixByteRequest(4): b"6789",
        SuffixByteRequest(40): b"0123456789",
    }

    async def read() -> None:
        prototype = default_buffer_prototype()
        ranges = [("sub/key", range_) for range_ in wanted]
        found = await store.get_partial_values(prototype, ranges)
        assert [buffer and buffer.to_bytes() for buffer in found] == list(wanted.values())
        assert await store.get("sub", prototype) is None
        assert await store.get("gone", prototype) is None
        assert [await store.exists(key) for key in ("sub/key", "gone")] == [True, False]
        assert [key async for key in store.list()] == ["sub/key"]
        assert [name async for name in store.list_dir("sub/")] == ["key"]
        with pytest.raises(PermissionError, match="only reads"):
            await store.delete("sub/key")

    asyncio.run(read())


@pytest.mark.parametrize("make", TREES)
def test_npz_may_be_compressed(tmp_path: Path, make: Callable[[Path], Tree]) -> None:
    np.savez_compressed(tmp_path / "data.npz", a=BLOCK, b=BLOCK + 240)
    read = read_sample(make(tmp_path), Sample("data.npz", Format.NPZ, 1))
    assert _values(read) == [*map(float, range(1, 481))]


@pytest.mark.parametrize("make", TREES)
@pytest.mark.parametrize("kind", [Format.NPY, Format.NPZ])
def test_pickles_are_read_and_not_run(
    tmp_path: Path, make: Callable[[Path], Tree], kind: Format
) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    with (tmp_path / "data").open("wb") as file:
        np.save(file, objects) if kind is Format.NPY else np.savez(file, objects)
    size = (tmp_path / "data").stat().st_size
    read = read_sample(make(tmp_path), Sample("data", kind, size))
    assert (read.bytes, read.reader) == (size, RAW_READER)
    assert _values(read)


def _save_mesh(folder: Path, binary: bool) -> Sequence[str]:
    """The mesh of a case as VTK itself writes it: compressed or as text, and as a surface."""
    import pyvista  # noqa: PLC0415 - slow to import

    mesh = pyvista.ImageData(dimensions=(5, 5, 5)).cast_to_unstructured_grid()
    mesh["pressure"] = np.arange(mesh.n_points, dtype=np.float32)
    mesh.save(folder / "mesh.vtu", binary=binary)
    pyvista.Sphere().save(folder / "surface.vtp", binary=binary)
    return ["mesh.vtu", "surface.vtp"]


def test_meshes_of_other_encodings_are_read_by_vtk(tmp_path: Path) -> None:
    for binary in (True, False):
        for name in _save_mesh(tmp_path, binary):
            size = (tmp_path / name).stat().st_size
            read = read_sample(pathless(tmp_path), Sample(name, Format.VTU, size))
            assert read.reader.startswith("VTK ")
            assert np.count_nonzero(read.features) > 100


def test_a_damaged_mesh_is_an_error(own: Path, tmp_path: Path) -> None:
    content = (own / "cases" / "run_1" / "volume_1.vtu").read_bytes()
    (tmp_path / "a.vtu").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.vtu: VTK cannot read it"):
        read_sample(mounted(tmp_path), Sample("a.vtu", Format.VTU, len(content) // 2))


@pytest.mark.parametrize("make", TREES)
@pytest.mark.parametrize("kind", [Format.RAW, Format.VTU])
def test_a_file_that_ends_early_is_an_error(
    tmp_path: Path, make: Callable[[Path], Tree], kind: Format
) -> None:
    (tmp_path / "data").write_bytes(b"x" * 99)
    with pytest.raises(OSError, match="ends before its size") as raised:
        read_sample(make(tmp_path), Sample("data", kind, 100))
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, "data")


@pytest.mark.parametrize("make", TREES)
@pytest.mark.parametrize("kind", Format)
def test_a_file_that_is_not_there_is_an_error(
    tmp_path: Path, make: Callable[[Path], Tree], kind: Format
) -> None:
    with pytest.raises((OSError, ValueError)):
        read_sample(make(tmp_path), Sample("data", kind, 100))


@given(
    shape=st.lists(st.integers(0, 30), max_size=3),
    chunk=st.one_of(st.none(), st.integers(1, 9)),
    parts=st.integers(1, 9),
)
def test_windows_cover_an_array_once_and_cut_no_chunk(
    shape: list[int], chunk: int | None, parts: int
) -> None:
    chunks = None if chunk is None else [min(chunk, max(1, length)) for length in shape]
    covered = np.zeros(shape, np.int64)
    for part in range(parts):
        found = window(shape, chunks, part, parts)
        if found is None:
            continue
        covered[found] += 1
        for cut, length, step in zip(found, shape, chunks or [1] * len(shape), strict=True):
            start, stop, _ = cut.indices(length)
            assert start < stop
            assert start % step == 0
            assert stop == length or stop % step == 0
    assert (covered == 1).all()


def test_features_come_evenly_from_all_numbers_and_are_finite() -> None:
    arrays = [
        np.full(100_000, 2.0),
        np.array(["text"]),
        np.full((10, 10), 3, np.int16),
        np.array([np.nan, np.inf, 1e300, 5.0]),
    ]
    features = draw_features(arrays)
    assert (features.shape, features.dtype) == ((FEATURES,), np.float32)
    found, counts = np.unique(features, return_counts=True)
    assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == {
        2.0: FEATURES // 3,
        3.0: 100,
        5.0: 1,
        0.0: FEATURES - FEATURES // 3 - 101,
    }
    assert not draw_features([]).any()


def test_hdf5_files_are_replaced_as_a_whole(tmp_path: Path) -> None:
    for values in (BLOCK, BLOCK[:3]):
        with create_hdf5(tmp_path / "a.h5") as file:
            file["x"] = values
        with h5py.File(tmp_path / "a.h5") as file:
            assert np.array_equal(file["x"][...], values)
