"""Writing the files of the run's own data, each set of files by one call in any process.

Memory is bounded: a block of an array, or one case. What is written depends on the arguments alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cloudfs_benchmarks.bench.data.files import File
from cloudfs_benchmarks.bench.data.manifest import digest_of
from cloudfs_benchmarks.dataset.case import CaseSpec, resolution_for, write_case
from cloudfs_benchmarks.dataset.hdf5 import create_hdf5
from cloudfs_benchmarks.dataset.zarr_fields import write_zarr_fields

COLUMNS = 8
"""Of the arrays in `huge/`: position, velocity, pressure and turbulence of a point, say."""

_BLOCK_BYTES = 16 << 20
_CHUNK_ROWS = (1 << 20) // (4 * COLUMNS)
_ZARR_SHARE = 0.25
# Keeps the random numbers of different kinds of files apart.
_RANDOM_KEY, _CONTIGUOUS_KEY, _CHUNKED_KEY, _ROWS_KEY = range(4)


def write_random(folder: Path, files: Sequence[tuple[str, int]], seed: int) -> list[File]:
    """Write files of random bytes, each a path below `folder` and a size in bytes."""
    written = []
    for path, size in files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # The path is the key, so that no two files of a data set hold the same bytes.
        rng = np.random.default_rng([seed, _RANDOM_KEY, *path.encode()])
        with target.open("xb") as file:
            for start in range(0, size, _BLOCK_BYTES):
                file.write(rng.bytes(min(_BLOCK_BYTES, size - start)))
        written.append(_record(folder, target))
    return written


def write_full_case(folder: Path, number: int, seed: int, case_bytes: int) -> list[File]:
    """Write the case `cases/run_NUMBER` with its Zarr group: about `case_bytes` in all."""
    zarr_bytes = int(case_bytes * _ZARR_SHARE)
    spec = CaseSpec(number, seed, resolution_for(case_bytes - zarr_bytes))
    root = folder / "cases"
    write_case(root, spec)
    write_zarr_fields(root, spec, zarr_bytes)
    paths = sorted(path for path in (root / spec.folder).rglob("*") if path.is_file())
    return [_record(folder, path) for path in paths]


def write_huge_hdf5(folder: Path, size: int, seed: int) -> list[File]:
    """Write `huge/fields.h5`: half of it one contiguous array, half one in chunks of 1 MiB."""
    path = folder / "huge" / "fields.h5"
    path.parent.mkdir(exist_ok=True)
    contiguous_rows = max(1, size // 2 // (4 * COLUMNS))
    # Full chunks only: HDF5 stores the last one in full anyway.
    chunk_rows = min(_CHUNK_ROWS, contiguous_rows)
    chunked_rows = contiguous_rows // chunk_rows * chunk_rows
    with create_hdf5(path) as file:
        for name, rows, chunks, key in (
            ("contiguous", contiguous_rows, None, _CONTIGUOUS_KEY),
            ("chunked", chunked_rows, (chunk_rows, COLUMNS), _CHUNKED_KEY),
        ):
            array = file.create_dataset(name, (rows, COLUMNS), np.float32, chunks=chunks)
            for start, values in _rows(rows, [seed, key]):
                array[start : start + len(values)] = values
    return [_record(folder, path)]


def write_huge_npy(folder: Path, size: int, seed: int) -> list[File]:
    """Write `huge/rows.npy`, one array of single-precision rows."""
    path = folder / "huge" / "rows.npy"
    path.parent.mkdir(exist_ok=True)
    rows = max(1, size // (4 * COLUMNS))
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, COLUMNS)}
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, values in _rows(rows, [seed, _ROWS_KEY]):
            file.write(values.data)
    return [_record(folder, path)]


def _rows(rows: int, key: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    rng = np.random.default_rng(key)
    step = _BLOCK_BYTES // (4 * COLUMNS)
    for start in range(0, rows, step):
        shape = (min(step, rows - start), COLUMNS)
        yield start, rng.standard_normal(shape, dtype=np.float32)


def _record(folder: Path, path: Path) -> File:
    with path.open("rb", buffering=0) as file:
        digest = digest_of(file)
    return File(path.relative_to(folder).as_posix(), digest.size, digest.hexadecimal)
