"""Writing Zarr groups, format 3, of uncompressed arrays.

The layout is that of the Zarr core specification 3.0: a `zarr.json` in the group and in every
array, and a file `c/I/J` per chunk with little-endian values in C order, chunks at the end padded
to full size. zarr-python 3 reads it; writing it here needs no more than NumPy.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_TYPE_NAMES = {"f4": "float32", "f8": "float64", "i4": "int32", "i8": "int64", "u1": "uint8"}


def write_group(folder: Path, arrays: Mapping[str, Array], *, chunk_bytes: int) -> None:
    """Write the arrays, cut along their first axis into chunks of at most `chunk_bytes`.

    The same arrays always give the same bytes. `FileExistsError` when the folder is there.
    """
    folder.mkdir(parents=True)
    _describe(folder, {"zarr_format": 3, "node_type": "group", "attributes": {}})
    for name, values in arrays.items():
        _write_array(folder / name, values, chunk_bytes)


def _write_array(folder: Path, values: Array, chunk_bytes: int) -> None:
    folder.mkdir()
    rows = _chunk_rows(len(values), values[:1].nbytes, chunk_bytes)
    chunk_shape = (rows, *values.shape[1:])
    codec = {"name": "bytes", "configuration": {"endian": "little"}}
    _describe(
        folder,
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(values.shape),
            "data_type": _TYPE_NAMES[values.dtype.str[1:]],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [codec],
            "attributes": {},
        },
    )
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    for number, start in enumerate(range(0, len(values), rows)):
        chunk = np.zeros(chunk_shape, little.dtype)
        piece = little[start : start + rows]
        chunk[: len(piece)] = piece
        # One chunk covers all other axes.
        path = folder.joinpath("c", str(number), *itertools.repeat("0", values.ndim - 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chunk.tobytes())


def _chunk_rows(rows: int, row_bytes: int, chunk_bytes: int) -> int:
    """Rows per chunk such that equal chunks cover the array: the last one is stored in full."""
    most = max(1, chunk_bytes // max(1, row_bytes))
    return -(-rows // -(-rows // most))


def _describe(folder: Path, metadata: Mapping[str, object]) -> None:
    (folder / "zarr.json").write_text(json.dumps(metadata, indent=1) + "\n", encoding="ascii")
