"""The wake of a circular cylinder, by a lattice Boltzmann solver: fields that no formula gives.

The scheme is textbook material (T. Krüger et al., *The Lattice Boltzmann Method*, chapters 3-5):
nine velocities in the plane (D2Q9), one relaxation time (BGK), bounce-back at the cylinder, a
stream of fixed speed at the inlet, zero gradient at the outlet, periodic across. At a Reynolds
number of 200 the wake sheds vortices. All quantities are in lattice units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_DIRECTIONS = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))
_OPPOSITE = (0, 3, 4, 1, 2, 7, 8, 5, 6)
_WEIGHTS = np.array([4 / 9, *([1 / 9] * 4), *([1 / 36] * 4)])
_SPEED = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One instant on a grid of (length, width) nodes; all fields are float64."""

    density: FloatArray
    velocity_x: FloatArray
    velocity_y: FloatArray

    @property
    def pressure(self) -> FloatArray:
        """An isothermal lattice gas: a third of the density."""
        return self.density / 3

    @property
    def vorticity(self) -> FloatArray:
        """dv/dx - du/dy by central differences."""
        rise = np.gradient(self.velocity_y, axis=0) - np.gradient(self.velocity_x, axis=1)
        return np.asarray(rise)


def shed(
    length: int, width: int, *, settle_steps: int, snapshots: int, stride_steps: int
) -> Iterator[Snapshot]:
    """Run the solver; yields `snapshots` instants, `stride_steps` apart, after `settle_steps`."""
    solver = _Solver(length, width)
    for _ in range(settle_steps):
        solver.step()
    for _ in range(snapshots):
        for _ in range(stride_steps):
            solver.step()
        density, velocity_x, velocity_y = solver.moments()
        yield Snapshot(density, velocity_x, velocity_y)


class _Solver:
    def __init__(self, length: int, width: int) -> None:
        diameter = 0.15 * width
        x, y = np.meshgrid(np.arange(length), np.arange(width), indexing="ij")
        # Off the middle line, so that the wake does not stay symmetric.
        self._inside = (x - 0.2 * length) ** 2 + (y - 0.51 * width) ** 2 < (diameter / 2) ** 2
        self._rate = 1 / (0.5 + 3 * _SPEED * diameter / 200)
        sway = _SPEED * 0.05 * np.sin(2 * np.pi * y / width)
        self._inflow = _equilibrium(
            np.ones((1, width)), np.full((1, width), _SPEED), np.zeros((1, width))
        )
        self._populations = _equilibrium(np.ones_like(sway), _SPEED + sway, sway)

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        f = self._populations
        density = f.sum(axis=0)
        along = (f[1] + f[5] + f[8] - f[3] - f[6] - f[7]) / density
        across = (f[2] + f[5] + f[6] - f[4] - f[7] - f[8]) / density
        return density, along, across

    def step(self) -> None:
        f = self._populations
        relaxed = _equilibrium(*self.moments())
        relaxed -= f
        relaxed *= self._rate
        relaxed += f
        for number, opposite in enumerate(_OPPOSITE):
            relaxed[number][self._inside] = f[opposite][self._inside]
        for number, shift in enumerate(_DIRECTIONS):
            f[number] = np.roll(relaxed[number], shift, axis=(0, 1))
        f[:, :1] = self._inflow
        f[:, -1] = f[:, -2]


def _equilibrium(density: FloatArray, along: FloatArray, across: FloatArray) -> FloatArray:
    common = 1 - 1.5 * (along * along + across * across)
    result = np.empty((9, *density.shape))
    for number, (x, y) in enumerate(_DIRECTIONS):
        drift = 3 * (x * along + y * across)
        result[number] = _WEIGHTS[number] * density * (common + drift * (1 + 0.5 * drift))
    return result
