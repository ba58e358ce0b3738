"""The fields that every sample file is made of, and their shapes as mesh values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudfs_benchmarks.compression import turbulence, wake

Array = NDArray[Any]

_NAMES = ("velocity_x", "velocity_y", "pressure", "vorticity")


@dataclass(frozen=True, slots=True)
class Effort:
    """How large the runs are; the default takes half a minute of one core."""

    wake_width: int = 160
    settle_steps: int = 6000
    snapshots: int = 12
    stride_steps: int = 120
    box_points: int = 64
    box_steps: int = 60


@dataclass(frozen=True, slots=True)
class Fields:
    """What the solvers gave, in float64.

    `wake` maps a name to (snapshots, length, width), `turbulence` is velocity, (3, n, n, n).
    """

    wake: dict[str, Array]
    turbulence: Array

    def wake_nodes(self, number: str) -> dict[str, Array]:
        """The last snapshot node by node as `number` (f4, f8); vectors have three components."""
        last = {name: values[-1].ravel() for name, values in self.wake.items()}
        _, length, width = self.wake["pressure"].shape
        x, y = np.meshgrid(np.arange(length) / width, np.arange(width) / width, indexing="ij")
        zero = np.zeros(x.size)
        nodes = {
            "points": np.stack([x.ravel(), y.ravel(), zero], axis=-1),
            "velocity": np.stack([last["velocity_x"], last["velocity_y"], zero], axis=-1),
            "pressure": last["pressure"],
            "vorticity": last["vorticity"],
        }
        return {name: values.astype(number) for name, values in nodes.items()}

    def turbulence_nodes(self) -> Array:
        """The velocity of the box as (n^3, 3) float32."""
        return np.moveaxis(self.turbulence, 0, -1).reshape(-1, 3).astype(np.float32)


def solve(effort: Effort) -> Fields:
    """Run both solvers."""
    snapshots = list(
        wake.shed(
            effort.wake_width * 5 // 2,
            effort.wake_width,
            settle_steps=effort.settle_steps,
            snapshots=effort.snapshots,
            stride_steps=effort.stride_steps,
        )
    )
    return Fields(
        wake={name: np.stack([getattr(at, name) for at in snapshots]) for name in _NAMES},
        turbulence=turbulence.decay(effort.box_points, effort.box_steps, seed=1),
    )
