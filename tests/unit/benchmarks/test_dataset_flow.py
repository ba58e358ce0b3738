"""The physics of the dataset: each test is a law that the closed form has to obey."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloudfs_benchmarks.dataset.flow import (
    AIR_DENSITY_KG_M3,
    CHORD_M,
    MAP_CONSTANT_M,
    ComplexArray,
    JoukowskiFlow,
    integrate_loads,
    sample_surface,
)
from cloudfs_benchmarks.dataset.mesh import FAR_FIELD_RADII, build_mesh, node_count, triangle_count

FLOWS = [
    JoukowskiFlow(thickness=0.1, camber=0.0, incidence_rad=0.0, speed_m_s=30.0),
    JoukowskiFlow(thickness=0.08, camber=0.1, incidence_rad=math.radians(8), speed_m_s=60.0),
    JoukowskiFlow(thickness=0.15, camber=0.04, incidence_rad=math.radians(-4), speed_m_s=20.0),
]


@pytest.fixture(params=FLOWS, ids=["symmetric", "cambered", "thick"])
def flow(request: pytest.FixtureRequest) -> JoukowskiFlow:
    """Corners of the range that cases are drawn from."""
    chosen: JoukowskiFlow = request.param
    return chosen


def _field_points(flow: JoukowskiFlow) -> ComplexArray:
    rng = np.random.default_rng(1)
    angle_rad = rng.uniform(0, 2 * math.pi, 200)
    return flow.circle(angle_rad, rng.uniform(1.2, FAR_FIELD_RADII, 200))


def test_no_flow_passes_the_wall(flow: JoukowskiFlow) -> None:
    surface = sample_surface(flow, 400)
    through = (surface.velocity * np.conj(surface.normal)).real
    assert np.abs(through).max() < 1e-9 * flow.speed_m_s


def test_the_wall_is_a_streamline(flow: JoukowskiFlow) -> None:
    wall = flow.circle(np.linspace(0, 2 * math.pi, 100))
    assert np.abs(flow.stream_function(wall)).max() < 1e-12 * flow.speed_m_s


def test_velocity_has_neither_divergence_nor_curl(flow: JoukowskiFlow) -> None:
    zeta = _field_points(flow)
    stretch = 1 - (MAP_CONSTANT_M / zeta) ** 2
    step_m = 1e-5
    along_x = _difference(flow, zeta, step_m / stretch) / step_m
    along_y = _difference(flow, zeta, 1j * step_m / stretch) / step_m
    divergence = along_x.real + along_y.imag
    curl = along_x.imag - along_y.real
    scale = flow.speed_m_s / CHORD_M
    assert np.abs(divergence).max() < 1e-5 * scale
    assert np.abs(curl).max() < 1e-5 * scale


def _difference(flow: JoukowskiFlow, zeta: ComplexArray, step: ComplexArray) -> ComplexArray:
    return flow.velocity(zeta + step / 2) - flow.velocity(zeta - step / 2)


def test_the_stream_function_is_the_flux(flow: JoukowskiFlow) -> None:
    ratio = np.linspace(1.0, 3.0, 2001)
    zeta = flow.circle(np.full(2001, 1.0), ratio)
    velocity, position = flow.velocity(zeta), flow.position(zeta)
    middle = (velocity[1:] + velocity[:-1]) / 2
    flux = (np.conj(middle) * np.diff(position)).imag.sum()
    assert flux == pytest.approx(flow.stream_function(zeta[-1:])[0], rel=1e-5)


def test_far_away_the_stream_is_undisturbed(flow: JoukowskiFlow) -> None:
    far = flow.velocity(flow.circle(np.linspace(0, 6, 7), 1e6))
    stream = flow.speed_m_s * np.exp(1j * flow.incidence_rad)
    assert far == pytest.approx(np.full(7, stream), rel=1e-5)


def test_the_trailing_edge_velocity_is_the_limit(flow: JoukowskiFlow) -> None:
    edge, near = flow.velocity(flow.circle(np.array([0.0, 1e-5])))
    assert edge == pytest.approx(near, rel=1e-3)
    assert 0 < abs(edge) < 2 * flow.speed_m_s


def test_lift_of_the_pressure_is_kutta_joukowski(flow: JoukowskiFlow) -> None:
    loads = integrate_loads(flow, sample_surface(flow, 1000))
    lift_n_m = AIR_DENSITY_KG_M3 * flow.speed_m_s * flow.circulation_m2_s
    dynamic_pa = AIR_DENSITY_KG_M3 * flow.speed_m_s**2 / 2
    assert loads.lift == pytest.approx(lift_n_m / (dynamic_pa * CHORD_M), abs=1e-9)
    assert loads.lift == pytest.approx(flow.lift_coefficient, abs=1e-9)
    assert loads.drag == pytest.approx(0, abs=1e-9)


def test_a_thin_aerofoil_lifts_two_pi_per_radian_at_the_quarter_chord() -> None:
    flow = JoukowskiFlow(thickness=1e-3, camber=0.0, incidence_rad=0.05, speed_m_s=30.0)
    loads = integrate_loads(flow, sample_surface(flow, 4000))
    assert loads.lift == pytest.approx(2 * math.pi * 0.05, rel=5e-3)
    assert loads.moment == pytest.approx(0, abs=1e-3)


def test_camber_pitches_the_nose_down() -> None:
    flow = JoukowskiFlow(thickness=1e-3, camber=0.02, incidence_rad=0.0, speed_m_s=30.0)
    loads = integrate_loads(flow, sample_surface(flow, 4000))
    # Thin-aerofoil theory for a circular arc of height h: cm = -pi h / chord, h = 2 c camber.
    assert loads.moment == pytest.approx(-math.pi * 0.02 / 2, rel=2e-2)


def test_the_mesh_is_valid(flow: JoukowskiFlow) -> None:
    mesh = build_mesh(flow, 96, np.random.default_rng(1))
    assert mesh.zeta.size == node_count(96)
    assert len(mesh.triangles) == triangle_count(96)
    corners = flow.position(mesh.zeta)[mesh.triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area_m2 = (np.conj(first) * second).imag / 2
    assert (area_m2 > 0).all()
    used = np.unique(mesh.triangles)
    assert (used == np.arange(mesh.zeta.size)).all()
