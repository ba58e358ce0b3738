"""The volume of a case as a Zarr group `fields_i.zarr`: scattered points in chunks of 1 MB."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cloudfs_benchmarks.dataset.case import CaseSpec, draw_flow
from cloudfs_benchmarks.dataset.mesh import FAR_FIELD_RADII
from cloudfs_benchmarks.dataset.zarr_group import write_group

CHUNK_BYTES = 1_000_000
_POINT_BYTES = 4 * (2 + 2 + 1)


def write_zarr_fields(root: Path, spec: CaseSpec, size_bytes: int) -> Path:
    """Write the group below `root` into the case's folder; it takes about `size_bytes`.

    The same arguments always give the same bytes. Returns the group's folder.
    """
    flow = draw_flow(spec)
    rng = np.random.default_rng([spec.seed, spec.number, 2])
    points = max(1, size_bytes // _POINT_BYTES)
    ratio = np.exp(rng.uniform(0.0, math.log(FAR_FIELD_RADII), size=points))
    zeta = flow.circle(rng.uniform(0.0, 2 * math.pi, size=points), ratio)
    velocity = flow.velocity(zeta)
    position = flow.position(zeta)
    arrays = {
        "points": np.stack([position.real, position.imag], axis=-1).astype(np.float32),
        "velocity": np.stack([velocity.real, velocity.imag], axis=-1).astype(np.float32),
        "pressure_coefficient": flow.pressure_coefficient(velocity).astype(np.float32),
    }
    folder = root / spec.folder / f"fields_{spec.number}.zarr"
    write_group(folder, arrays, chunk_bytes=CHUNK_BYTES)
    return folder
