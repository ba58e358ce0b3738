"""The solvers behind the compression figures: what they give must look like flow."""

from __future__ import annotations

import numpy as np
import pytest

from cloudfs_benchmarks.compression import turbulence, wake
from cloudfs_benchmarks.compression.fields import Effort, Fields, solve


@pytest.fixture(scope="module")
def fields() -> Fields:
    return solve(
        Effort(wake_width=40, settle_steps=200, snapshots=2, stride_steps=20, box_points=16)
    )


def test_the_stream_is_slower_behind_the_cylinder(fields: Fields) -> None:
    along = fields.wake["velocity_x"][-1]
    assert along[0] == pytest.approx(0.1, abs=0.01)
    behind = along[30, 18:23].mean()
    beside = along[20, 2:6].mean()
    assert behind < 0.05
    assert beside > 0.1


def test_the_wake_moves_and_keeps_its_mass(fields: Fields) -> None:
    first, second = fields.wake["velocity_y"]
    assert np.abs(first - second).max() > 1e-4
    assert fields.wake["pressure"].mean() == pytest.approx(1 / 3, rel=0.02)


def test_snapshots_come_a_stride_apart() -> None:
    shed = {"settle_steps": 5, "snapshots": 2, "stride_steps": 3}
    later = list(wake.shed(50, 20, **shed))[1]
    alone = next(wake.shed(50, 20, settle_steps=8, snapshots=1, stride_steps=3))
    assert np.array_equal(later.density, alone.density)


def test_vorticity_is_the_rotation_of_the_velocity() -> None:
    x, y = np.meshgrid(np.arange(8.0), np.arange(6.0), indexing="ij")
    turning = wake.Snapshot(density=np.ones_like(x), velocity_x=-2 * y, velocity_y=2 * x)
    assert turning.vorticity == pytest.approx(np.full((8, 6), 4.0))


def test_turbulence_has_no_divergence(fields: Fields) -> None:
    velocity = np.fft.fftn(fields.turbulence, axes=(1, 2, 3))
    frequency = np.fft.fftfreq(16, 1 / 16)
    waves = np.stack(np.meshgrid(frequency, frequency, frequency, indexing="ij"))
    divergence = np.abs(np.sum(waves * velocity, axis=0)).max()
    assert divergence < 1e-9 * np.abs(waves * velocity).max()


def test_turbulence_decays() -> None:
    energy = [np.mean(turbulence.decay(16, steps, seed=3) ** 2) for steps in (0, 20, 40)]
    assert energy[0] == pytest.approx(1.0)
    assert energy[0] > energy[1] > energy[2] > 0.1


def test_nodes_carry_the_last_snapshot(fields: Fields) -> None:
    nodes = fields.wake_nodes("f4")
    assert {name: values.shape[1:] for name, values in nodes.items()} == {
        "points": (3,),
        "velocity": (3,),
        "pressure": (),
        "vorticity": (),
    }
    assert all(values.dtype == np.float32 for values in nodes.values())
    expected = fields.wake["velocity_y"][-1].ravel().astype(np.float32)
    assert np.array_equal(nodes["velocity"][:, 1], expected)
    assert fields.turbulence_nodes().shape == (16**3, 3)
