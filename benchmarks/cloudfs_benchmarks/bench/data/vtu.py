"""The arrays of `.vtu` and `.vtp` files in memory, of whichever encoding."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from cloudfs_benchmarks.bench.data.arrays import Array
from cloudfs_benchmarks.training.train import parse_vtu

_HEAD_BYTES = 64 << 10


def read_arrays(content: bytes, name: str) -> tuple[list[Array], str] | None:
    """Every array of the file `name`, and what decoded it; None where nothing here can.

    Uncompressed appended arrays are decoded here, all others by VTK where it is installed.
    `ValueError` when VTK finds the file damaged.
    """
    if _is_plain(content[:_HEAD_BYTES]):
        try:
            return list(parse_vtu(content, name).values()), "appended VTU arrays"
        except (KeyError, ValueError):
            pass  # A variant that VTK may know, or a damaged file, which VTK will say.
    if importlib.util.find_spec("vtkmodules") is None:
        return None
    return _by_vtk(content, name)


def _is_plain(head: bytes) -> bool:
    wanted = (b'type="UnstructuredGrid"', b'header_type="UInt64"', b'byte_order="LittleEndian"')
    return all(word in head for word in wanted) and b"compressor=" not in head


def _by_vtk(content: bytes, name: str) -> tuple[list[Array], str]:
    from vtkmodules.util import numpy_support  # noqa: PLC0415 - optional
    from vtkmodules.vtkCommonCore import vtkVersion  # noqa: PLC0415 - optional
    from vtkmodules.vtkIOXML import (  # noqa: PLC0415 - optional
        vtkXMLPolyDataReader,
        vtkXMLUnstructuredGridReader,
    )

    flat = b'type="PolyData"' in content[:_HEAD_BYTES]
    reader: Any = vtkXMLPolyDataReader() if flat else vtkXMLUnstructuredGridReader()
    reader.SetReadFromInputString(True)
    reader.SetInputString(content, len(content))
    reader.Update()
    if reader.GetErrorCode():
        raise ValueError(f"{name}: VTK cannot read it")
    output = reader.GetOutput()
    found = [output.GetPoints().GetData()] if output.GetNumberOfPoints() else []
    for data in (output.GetPointData(), output.GetCellData()):
        found += [data.GetArray(index) for index in range(data.GetNumberOfArrays())]
    convert: Callable[[Any], Array] = numpy_support.vtk_to_numpy
    # Copies: the reader's memory goes with the reader. Text has no numbers.
    arrays = [convert(array).copy() for array in found if array is not None]
    return arrays, f"VTK {vtkVersion().GetVTKVersion()}"
