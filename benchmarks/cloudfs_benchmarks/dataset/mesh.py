"""An unstructured triangle mesh round a Joukowski aerofoil.

Rings of nodes lie round the circle in the plane of zeta, where cells can be nearly square from the
wall to the far field; each node inside is moved at random, each square is cut along a random
diagonal, and nodes and cells are numbered at random, as an unstructured mesher leaves them. The map
is conformal, so the cells keep their shape in the plane of the aerofoil.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudfs_benchmarks.dataset.flow import ComplexArray, JoukowskiFlow

FAR_FIELD_RADII = 15.0
"""Where the mesh ends, in radii of the circle."""

_JITTER = 0.2
"""How far a node inside moves, in cell sizes: small enough that no triangle turns over."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Nodes in the plane of zeta, and counter-clockwise triangles of node numbers, (n, 3)."""

    zeta: ComplexArray
    triangles: NDArray[np.int32]


def ring_count(around: int) -> int:
    """Cells between wall and far field for `around` cells along the wall."""
    growth = 1 + 2 * math.pi / around
    return math.ceil(math.log(FAR_FIELD_RADII) / math.log(growth))


def node_count(around: int) -> int:
    """Nodes of the mesh with `around` cells along the wall."""
    return around * (ring_count(around) + 1)


def triangle_count(around: int) -> int:
    """Triangles of the mesh with `around` cells along the wall."""
    return 2 * around * ring_count(around)


def build_mesh(flow: JoukowskiFlow, around: int, rng: np.random.Generator) -> Mesh:
    """A mesh with `around` cells along the wall; memory grows with the square of it."""
    rings = ring_count(around)
    log_ratio = np.linspace(0.0, math.log(FAR_FIELD_RADII), rings + 1)[:, None]
    angle_rad = (2 * math.pi / around) * np.arange(around)[None, :]
    shift = rng.uniform(-_JITTER, _JITTER, size=(2, rings + 1, around))
    shift[:, [0, -1], :] = 0.0
    log_ratio = log_ratio + shift[0] * math.log(FAR_FIELD_RADII) / rings
    angle_rad = angle_rad + shift[1] * (2 * math.pi / around)
    numbers = rng.permutation(node_count(around)).astype(np.int32)
    zeta = np.empty(node_count(around), dtype=np.complex128)
    zeta[numbers] = flow.circle(angle_rad, np.exp(log_ratio)).ravel()
    return Mesh(zeta, _triangles(numbers.reshape(rings + 1, around), rng))


def _triangles(numbers: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Both halves of every square of the grid of node numbers, in random order."""
    following = np.roll(numbers, -1, axis=1)
    corners = (numbers[:-1], numbers[1:], following[1:], following[:-1])
    a, b, c, d = (corner.ravel() for corner in corners)
    rising = rng.random(a.size) < 0.5
    first = np.where(rising, np.stack([a, b, c]), np.stack([a, b, d]))
    second = np.where(rising, np.stack([a, c, d]), np.stack([b, c, d]))
    triangles = np.concatenate([first, second], axis=1).T
    return np.ascontiguousarray(rng.permutation(triangles))
