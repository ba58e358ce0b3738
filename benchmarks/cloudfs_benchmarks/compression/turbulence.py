"""Decaying isotropic turbulence in a periodic box, by a pseudo-spectral solver.

The method is textbook material (C. Canuto et al., *Spectral Methods in Fluid Dynamics*): velocity
in Fourier space, the nonlinear term in rotational form on the grid, the 2/3 rule against aliasing,
projection to zero divergence, Heun's two-stage step, and viscosity treated exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ComplexArray = NDArray[np.complex128]
FloatArray = NDArray[np.float64]

_VISCOSITY = 2e-3
_STEP_S = 5e-3


def decay(points: int, steps: int, seed: int) -> FloatArray:
    """Velocity, (3, points, points, points) float64, `steps` after a start with random phases."""
    box = _Box(points)
    generator = np.random.default_rng(seed)
    spectrum: ComplexArray = np.fft.rfftn(
        generator.standard_normal((3, *[points] * 3)), axes=(1, 2, 3)
    )
    spectrum *= np.where(box.square > 0, np.maximum(box.square, 1.0) ** (-11 / 12), 0.0)
    spectrum = box.project(spectrum)
    spectrum /= np.sqrt(np.mean(box.grid(spectrum) ** 2))
    for _ in range(steps):
        spectrum = box.step(spectrum)
    return box.grid(spectrum)


class _Box:
    def __init__(self, points: int) -> None:
        full = np.fft.fftfreq(points, 1 / points)
        half = np.fft.rfftfreq(points, 1 / points)
        self._shape = (points,) * 3
        self._waves = np.stack(np.meshgrid(full, full, half, indexing="ij"))
        self.square = np.sum(self._waves**2, axis=0)
        self._resolved = np.all(np.abs(self._waves) < points / 3, axis=0)
        self._damping = np.exp(-_VISCOSITY * self.square * _STEP_S)

    def grid(self, spectrum: ComplexArray) -> FloatArray:
        return np.asarray(np.fft.irfftn(spectrum, s=self._shape, axes=(1, 2, 3)))

    def project(self, spectrum: ComplexArray) -> ComplexArray:
        """Drop what is not resolved and what has divergence."""
        along = np.sum(self._waves * spectrum, axis=0) / np.maximum(self.square, 1.0)
        return np.asarray((spectrum - self._waves * along) * self._resolved)

    def step(self, spectrum: ComplexArray) -> ComplexArray:
        first = self._push(spectrum)
        ahead = (spectrum + _STEP_S * first) * self._damping
        second = self._push(ahead)
        return np.asarray(
            (spectrum + 0.5 * _STEP_S * first) * self._damping + 0.5 * _STEP_S * second
        )

    def _push(self, spectrum: ComplexArray) -> ComplexArray:
        velocity = self.grid(spectrum)
        swirl = self.grid(1j * np.cross(self._waves, spectrum, axis=0))
        push: ComplexArray = np.fft.rfftn(np.cross(velocity, swirl, axis=0), axes=(1, 2, 3))
        return self.project(push)
