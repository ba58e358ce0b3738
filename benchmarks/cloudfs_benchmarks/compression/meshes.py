"""Mesh files of the fields, by VTK's own writers: VTU, VTP, legacy VTK and STL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvista
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter, vtkXMLUnstructuredGridWriter

from cloudfs_benchmarks.compression.fields import Array, Fields

_ENCODINGS = ("raw", "base64", "zlib raw", "zlib base64", "ascii")


def write(root: Path, fields: Fields) -> Iterator[tuple[str, Path]]:
    """Write every mesh below `root`; yields its name in the tables and its path."""
    for kind in ("f4", "f8"):
        path = root / f"wake_{kind}.vtu"
        _write_xml(vtkXMLUnstructuredGridWriter(), path, _wake(fields, kind), "raw")
        yield f"VTU raw, wake {kind}", path
    wake = _wake(fields, "f4")
    for encoding in _ENCODINGS[1:]:
        path = root / f"wake_{encoding.replace(' ', '_')}.vtu"
        _write_xml(vtkXMLUnstructuredGridWriter(), path, wake, encoding)
        yield f"VTU {encoding}, wake f4", path
    path = root / "wake.vtk"
    wake.save(path, binary=True)
    yield "VTK legacy binary, wake f4", path
    box = _box(fields)
    path = root / "box.vtu"
    _write_xml(vtkXMLUnstructuredGridWriter(), path, box.cast_to_unstructured_grid(), "raw")
    yield "VTU raw, turbulence f4", path
    yield from _surfaces(root, box)


def _surfaces(root: Path, box: pyvista.ImageData) -> Iterator[tuple[str, Path]]:
    middle = float(np.median(box.point_data["speed"]))
    surface = box.contour([middle], scalars="speed").triangulate()
    surface = surface.compute_normals(cell_normals=False)
    for encoding in ("raw", "zlib raw"):
        path = root / f"surface_{encoding.replace(' ', '_')}.vtp"
        _write_xml(vtkXMLPolyDataWriter(), path, surface, encoding)
        yield f"VTP {encoding}, isosurface", path
    path = root / "surface.stl"
    surface.save(path, binary=True)
    yield "STL binary, isosurface", path
    path = root / "body.stl"
    body = pyvista.ParametricEllipsoid(2.0, 1.0, 0.7, u_res=300, v_res=150).triangulate()
    body.save(path, binary=True)
    yield "STL binary, ellipsoid", path


def _wake(fields: Fields, kind: str) -> pyvista.UnstructuredGrid:
    """The last snapshot on a mesh of quadrilaterals."""
    values = fields.wake_nodes(kind)
    _, length, width = fields.wake["pressure"].shape
    first = (np.arange(length - 1)[:, None] * width + np.arange(width - 1)).ravel()
    corners: Array = np.stack([first, first + width, first + width + 1, first + 1], axis=-1)
    grid = pyvista.UnstructuredGrid({pyvista.CellType.QUAD: corners}, values.pop("points"))
    for name, array in values.items():
        grid.point_data[name] = array
    return grid


def _box(fields: Fields) -> pyvista.ImageData:
    box = pyvista.ImageData(dimensions=fields.turbulence.shape[1:])
    velocity = fields.turbulence_nodes()
    box.point_data["velocity"] = velocity
    box.point_data["speed"] = np.linalg.norm(velocity, axis=1)
    return box


def _write_xml(writer: Any, path: Path, mesh: Any, encoding: str) -> None:
    if not encoding.startswith("zlib"):
        writer.SetCompressorTypeToNone()
    if encoding.endswith("raw"):
        writer.SetDataModeToAppended()
        writer.EncodeAppendedDataOff()
    elif encoding == "ascii":
        writer.SetDataModeToAscii()
    else:
        writer.SetDataModeToBinary()
    writer.SetInputData(mesh)
    writer.SetFileName(str(path))
    if not writer.Write():
        raise OSError(f"VTK could not write {path}")
