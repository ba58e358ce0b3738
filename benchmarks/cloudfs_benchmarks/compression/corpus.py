"""Simulation files of the common formats, written by the libraries that people use.

The fields come from solvers and from the repository's dataset generator; only the files of noise
are made up. Needs the libraries of the `test` extra; without torch there are no `.pt` files.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from zarr.codecs import BloscCodec

from cloudfs_benchmarks.compression import meshes
from cloudfs_benchmarks.compression.fields import Array, Fields
from cloudfs_benchmarks.dataset.case import CaseSpec, resolution_for, write_case

BLOCK_BYTES = 1 << 20

_CASE_BYTES = 12_000_000
_NOISE_BYTES = 4 << 20
_GENERATED = {"volume": "VTU", "fields": "HDF5", "surface": "NPZ"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the tables: a name and the files (several for a Zarr group) it stands for."""

    name: str
    files: tuple[Path, ...]

    def blocks(self) -> list[bytes]:
        """The files cut into blocks as the cache does, the last of each is shorter."""
        found = []
        for path in self.files:
            data = path.read_bytes()
            found += [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
        return found


def write(root: Path, fields: Fields) -> Iterator[Sample]:
    """Write every sample below `root`."""
    yield from _arrays(root, fields)
    yield from _hdf5_files(root, fields)
    yield from _zarr_groups(root, fields)
    if importlib.util.find_spec("torch") is not None:
        yield from _tensors(root, fields)
    for name, path in meshes.write(root, fields):
        yield Sample(name, (path,))
    yield from _generated(root)
    yield from _noise(root)


def _arrays(root: Path, fields: Fields) -> Iterator[Sample]:
    wake = np.stack(list(fields.wake.values()))
    for kind in ("f4", "f8"):
        yield _npy(root, f"NPY, wake {kind}", wake.astype(kind))
        yield _npy(root, f"NPY, turbulence {kind}", fields.turbulence.astype(kind))
    single = _single(fields)
    path = root / "stored.npz"
    np.savez(path, allow_pickle=False, **single)
    yield Sample("NPZ stored, wake f4", (path,))
    path = root / "deflated.npz"
    np.savez_compressed(path, allow_pickle=False, **single)
    yield Sample("NPZ deflated, wake f4", (path,))
    path = root / "wake.csv"
    table = np.column_stack([values[-1].ravel() for values in fields.wake.values()])
    np.savetxt(path, table, delimiter=",", fmt="%.8g")
    yield Sample("CSV, wake", (path,))


def _hdf5_files(root: Path, fields: Fields) -> Iterator[Sample]:
    single = _single(fields)
    chunked: dict[str, Any] = {"chunks": (1, *single["pressure"].shape[1:])}
    gzip = chunked | {"compression": "gzip"}
    yield _hdf5(root, "HDF5 contiguous, wake f4", single, {})
    yield _hdf5(root, "HDF5 contiguous, wake f8", fields.wake, {})
    yield _hdf5(root, "HDF5 chunked, wake f4", single, chunked)
    yield _hdf5(root, "HDF5 gzip, wake f4", single, gzip)
    yield _hdf5(root, "HDF5 shuffle gzip, wake f4", single, gzip | {"shuffle": True})


def _zarr_groups(root: Path, fields: Fields) -> Iterator[Sample]:
    blosc = BloscCodec(cname="lz4", shuffle="shuffle")
    for label, compressors in (("plain", None), ("zstd", "auto"), ("blosc lz4", blosc)):
        folder = root / f"{label}.zarr"
        group = zarr.create_group(folder)
        for name, values in _single(fields).items():
            options: dict[str, Any] = {"chunks": values.shape, "compressors": compressors}
            group.create_array(name, data=values, **options)
        files = tuple(path for path in sorted(folder.rglob("*")) if path.is_file())
        yield Sample(f"Zarr {label}, wake f4", files)


def _tensors(root: Path, fields: Fields) -> Iterator[Sample]:
    import torch  # noqa: PLC0415 - optional

    nodes = fields.wake_nodes("f4")
    order = np.random.default_rng(1).permutation(len(nodes["points"]))
    path = root / "wake.pt"
    torch.save({name: torch.from_numpy(values[order]) for name, values in nodes.items()}, path)
    yield Sample("pt, wake f4, nodes in random order", (path,))
    path = root / "turbulence.pt"
    torch.save({"velocity": torch.from_numpy(fields.turbulence_nodes())}, path)
    yield Sample("pt, turbulence f4", (path,))


def _generated(root: Path) -> Iterator[Sample]:
    record = write_case(root, CaseSpec(1, 1, resolution_for(_CASE_BYTES)))
    for name in record.files:
        label = _GENERATED.get(name.split("_")[0])
        if label is not None:
            yield Sample(f"{label} of the dataset generator", (root / record.folder / name,))


def _noise(root: Path) -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for kind, size in (("f4", 4), ("f8", 8)):
        values = generator.standard_normal(_NOISE_BYTES // size).astype(kind)
        yield _npy(root, f"NPY, white noise {kind}", values)
    path = root / "random.bin"
    path.write_bytes(generator.bytes(_NOISE_BYTES))
    yield Sample("random bytes", (path,))


def _single(fields: Fields) -> dict[str, Array]:
    return {name: values.astype(np.float32) for name, values in fields.wake.items()}


def _npy(root: Path, name: str, values: Array) -> Sample:
    path = root / f"{name.replace(' ', '_')}.npy"
    np.save(path, values)
    return Sample(name, (path,))


def _hdf5(root: Path, name: str, values: dict[str, Array], options: dict[str, Any]) -> Sample:
    path = root / f"{name.replace(' ', '_')}.h5"
    with h5py.File(path, "w") as file:
        for key, array in values.items():
            file.create_dataset(key, data=array, **options)
    return Sample(name, (path,))
