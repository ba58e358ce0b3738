"""Writing VTK XML unstructured grids (`.vtu`) with appended raw binary arrays.

The layout is that of the VTK file-formats document: an XML head that names every array and its
offset, then `<AppendedData encoding="raw">`, an underscore, and per array a UInt64 byte count
followed by the little-endian values. VTK, PyVista and ParaView read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TRIANGLE = 5
"""VTK's number for a three-node triangle."""

_TYPE_NAMES = {"f4": "Float32", "f8": "Float64", "i4": "Int32", "i8": "Int64", "u1": "UInt8"}
_COUNT_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Block:
    section: str
    name: str
    values: Array


def write_triangles(
    path: Path, points: Array, triangles: Array, point_data: Mapping[str, Array]
) -> None:
    """Write a mesh of triangles with values per node.

    `points` is (n, 3), `triangles` is (m, 3) node numbers, each array of `point_data` is (n,) or
    (n, k). The same arrays always give the same bytes.
    """
    ends = np.arange(3, 3 * len(triangles) + 3, 3, dtype=np.int32)
    blocks = [
        *(_Block("PointData", name, values) for name, values in point_data.items()),
        _Block("Points", "Points", points),
        _Block("Cells", "connectivity", triangles.ravel()),
        _Block("Cells", "offsets", ends),
        _Block("Cells", "types", np.full(len(triangles), TRIANGLE, dtype=np.uint8)),
    ]
    with path.open("wb") as file:
        file.write(_head(blocks, len(points), len(triangles)).encode("ascii"))
        for block in blocks:
            values = np.ascontiguousarray(block.values)
            file.write(np.array(values.nbytes, dtype="<u8").tobytes())
            file.write(values.data)
        file.write(b"\n  </AppendedData>\n</VTKFile>\n")


def _head(blocks: list[_Block], points: int, cells: int) -> str:
    sections: dict[str, list[str]] = {"PointData": [], "Points": [], "Cells": []}
    offset = 0
    for block in blocks:
        sections[block.section].append(_describe(block, offset))
        offset += _COUNT_BYTES + block.values.nbytes
    body = "\n".join(
        f"      <{section}>\n" + "\n".join(lines) + f"\n      </{section}>"
        for section, lines in sections.items()
    )
    return (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian"'
        ' header_type="UInt64">\n'
        "  <UnstructuredGrid>\n"
        f'    <Piece NumberOfPoints="{points}" NumberOfCells="{cells}">\n'
        f"{body}\n"
        "    </Piece>\n"
        "  </UnstructuredGrid>\n"
        '  <AppendedData encoding="raw">\n'
        "   _"
    )


def _describe(block: _Block, offset: int) -> str:
    kind = _TYPE_NAMES[block.values.dtype.str[1:]]
    width = block.values.shape[1] if block.values.ndim > 1 else 1
    return (
        f'        <DataArray type="{kind}" Name="{block.name}" NumberOfComponents="{width}"'
        f' format="appended" offset="{offset}"/>'
    )
