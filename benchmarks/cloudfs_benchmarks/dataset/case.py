"""One case of the dataset: its parameters, its arrays, and its files.

A case is a folder `run_i/` with

    volume_i.vtu           triangle mesh: velocity, pressure coefficient, stream function
    fields_i.h5            one set of points at several incidences: contiguous and chunked arrays
    surface_i.npz          the wall: position, normal, length, velocity, pressure coefficient
    geo_parameters_i.csv   the geometry and the stream
    force_mom_i.csv        drag, lift and moment coefficients

The same `CaseSpec` always gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudfs_benchmarks.dataset.flow import (
    ComplexArray,
    JoukowskiFlow,
    integrate_loads,
    sample_surface,
)
from cloudfs_benchmarks.dataset.hdf5 import create_hdf5
from cloudfs_benchmarks.dataset.mesh import (
    FAR_FIELD_RADII,
    build_mesh,
    node_count,
    triangle_count,
)
from cloudfs_benchmarks.dataset.vtu import write_triangles

SWEEP_INCIDENCES_DEG = (-4.0, 0.0, 4.0, 8.0)
"""The incidences of `fields_i.h5`."""

_CHUNK_ROWS_MAX = 4096
_VOLUME_NODE_BYTES = 4 * (3 + 3 + 1 + 1)
_VOLUME_TRIANGLE_BYTES = 4 * 3 + 4 + 1
_FIELD_POINT_BYTES = 4 * (2 + 3 * len(SWEEP_INCIDENCES_DEG))
_SURFACE_POINT_BYTES = 4 * (2 + 2 + 1 + 2 + 1)
_VOLUME_SHARE = 0.5
_FIELD_SHARE = 0.4
_AROUND_MIN = 16


@dataclass(frozen=True, slots=True)
class Resolution:
    """How fine a case is: wall cells of the mesh, points of the sweep, points of the wall."""

    around: int
    field_points: int
    surface_points: int


@dataclass(frozen=True, slots=True)
class CaseSpec:
    """Everything that decides a case's bytes: its number, the dataset's seed and its resolution."""

    number: int
    seed: int
    resolution: Resolution

    @property
    def folder(self) -> str:
        """The case's folder, relative to the dataset."""
        return f"run_{self.number}"


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A written case: its folder, and each file's name and size in bytes."""

    folder: str
    files: dict[str, int]


def resolution_for(case_bytes: int) -> Resolution:
    """The resolution at which a case takes about `case_bytes` (at least a few tens of KB)."""
    around = _AROUND_MIN
    while _volume_bytes(around + 1) <= case_bytes * _VOLUME_SHARE:
        around += 1
    rest = case_bytes - _volume_bytes(around)
    surface_share = 1 - _VOLUME_SHARE - _FIELD_SHARE
    field_bytes = rest * _FIELD_SHARE / (_FIELD_SHARE + surface_share)
    return Resolution(
        around=around,
        field_points=max(64, int(field_bytes / _FIELD_POINT_BYTES)),
        surface_points=max(64, int((rest - field_bytes) / _SURFACE_POINT_BYTES)),
    )


def draw_flow(spec: CaseSpec) -> JoukowskiFlow:
    """The case's aerofoil and stream: attached flow at ordinary thickness, camber and incidence."""
    rng = np.random.default_rng([spec.seed, spec.number, 0])
    return JoukowskiFlow(
        thickness=float(rng.uniform(0.08, 0.15)),
        camber=float(rng.uniform(0.0, 0.10)),
        incidence_rad=math.radians(float(rng.uniform(-4.0, 8.0))),
        speed_m_s=float(rng.uniform(20.0, 60.0)),
    )


def write_case(root: Path, spec: CaseSpec) -> CaseRecord:
    """Write the case below `root`; an existing file of the same name is replaced."""
    folder = root / spec.folder
    folder.mkdir(parents=True, exist_ok=True)
    flow = draw_flow(spec)
    rng = np.random.default_rng([spec.seed, spec.number, 1])
    number = spec.number
    _write_volume(folder / f"volume_{number}.vtu", flow, spec.resolution.around, rng)
    _write_fields(folder / f"fields_{number}.h5", flow, spec.resolution.field_points, rng)
    _write_surface(folder / f"surface_{number}.npz", flow, spec.resolution.surface_points)
    _write_parameters(folder / f"geo_parameters_{number}.csv", flow)
    _write_loads(folder / f"force_mom_{number}.csv", flow, spec.resolution.surface_points)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return CaseRecord(spec.folder, files)


def _volume_bytes(around: int) -> int:
    nodes = _VOLUME_NODE_BYTES * node_count(around)
    return nodes + _VOLUME_TRIANGLE_BYTES * triangle_count(around)


def _pairs(values: ComplexArray) -> NDArray[np.float32]:
    """Complex numbers as (n, 2) single-precision pairs."""
    return np.stack([values.real, values.imag], axis=-1).astype(np.float32)


def _triples(values: ComplexArray) -> NDArray[np.float32]:
    """Complex numbers as vectors in the plane of three dimensions, (n, 3)."""
    zero = np.zeros(values.shape)
    return np.stack([values.real, values.imag, zero], axis=-1).astype(np.float32)


def _write_volume(path: Path, flow: JoukowskiFlow, around: int, rng: np.random.Generator) -> None:
    mesh = build_mesh(flow, around, rng)
    velocity = flow.velocity(mesh.zeta)
    write_triangles(
        path,
        points=_triples(flow.position(mesh.zeta)),
        triangles=mesh.triangles,
        point_data={
            "velocity": _triples(velocity),
            "pressure_coefficient": flow.pressure_coefficient(velocity).astype(np.float32),
            "stream_function": flow.stream_function(mesh.zeta).astype(np.float32),
        },
    )


def _write_fields(path: Path, flow: JoukowskiFlow, points: int, rng: np.random.Generator) -> None:
    ratio = np.exp(rng.uniform(0.0, math.log(FAR_FIELD_RADII), size=points))
    zeta = flow.circle(rng.uniform(0.0, 2 * math.pi, size=points), ratio)
    sweep = [
        dataclasses.replace(flow, incidence_rad=math.radians(incidence_deg))
        for incidence_deg in SWEEP_INCIDENCES_DEG
    ]
    velocity = [at.velocity(zeta) for at in sweep]
    pressure = [at.pressure_coefficient(speed) for at, speed in zip(sweep, velocity, strict=True)]
    with create_hdf5(path) as file:
        file.attrs["speed_m_s"] = flow.speed_m_s
        file["incidence_deg"] = np.array(SWEEP_INCIDENCES_DEG, dtype=np.float32)
        file["points"] = _pairs(flow.position(zeta))
        file["pressure_coefficient"] = np.stack(pressure).astype(np.float32)
        file.create_dataset(
            "velocity",
            data=np.stack([_pairs(at) for at in velocity]),
            chunks=(1, _chunk_rows(points), 2),
        )


def _chunk_rows(points: int) -> int:
    """Rows per chunk such that equal chunks cover the points: HDF5 stores the last one in full."""
    return -(-points // -(-points // _CHUNK_ROWS_MAX))


def _write_surface(path: Path, flow: JoukowskiFlow, points: int) -> None:
    surface = sample_surface(flow, points)
    np.savez(
        path,
        position=_pairs(surface.position),
        normal=_pairs(surface.normal),
        length=np.abs(surface.element).astype(np.float32),
        velocity=_pairs(surface.velocity),
        pressure_coefficient=surface.pressure_coefficient.astype(np.float32),
    )


def _write_parameters(path: Path, flow: JoukowskiFlow) -> None:
    values = [
        flow.thickness,
        flow.camber,
        math.degrees(flow.incidence_rad),
        flow.speed_m_s,
    ]
    numbers = ",".join(f"{value:.9g}" for value in values)
    path.write_text(f"thickness,camber,incidence_deg,speed_m_s\n{numbers}\n", encoding="ascii")


def _write_loads(path: Path, flow: JoukowskiFlow, points: int) -> None:
    loads = integrate_loads(flow, sample_surface(flow, points))
    # Adding zero turns the -0.0 that a rounded drag may be into 0.0.
    values = [round(value, 6) + 0.0 for value in (loads.drag, loads.lift, loads.moment)]
    numbers = ",".join(f"{value:.6f}" for value in values)
    path.write_text(f"cd,cl,cm\n{numbers}\n", encoding="ascii")
