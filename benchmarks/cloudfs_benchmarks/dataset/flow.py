"""Potential flow round a Joukowski aerofoil, in closed form.

The formulas are textbook material (L. M. Milne-Thomson, *Theoretical Aerodynamics*, chapter VII;
J. Katz and A. Plotkin, *Low-Speed Aerodynamics*, section 6.6). In the plane of zeta the body is a
circle with centre mu and radius R = |c - mu| that passes through zeta = c; the map
z = zeta + c^2 / zeta turns it into an aerofoil with a sharp (cusped) trailing edge at z = 2c. With
Z = zeta - mu the complex potential of a stream of speed U at incidence alpha is

    W(zeta) = U (exp(-i alpha) Z + exp(i alpha) R^2 / Z) + i Gamma / (2 pi) log(Z / R)

and the velocity is u - i v = (dW/dzeta) / (dz/dzeta). The Kutta condition, a finite velocity at the
trailing edge, fixes the circulation (clockwise, so that it lifts):

    Gamma = 4 pi U R sin(alpha + beta),   beta = asin(Im(mu) / R)

Pressure follows from Bernoulli's equation, Cp = 1 - |V|^2 / U^2, lift from Kutta and Joukowski,
L = rho U Gamma per metre of span, and drag is zero (d'Alembert). All lengths are in metres, angles
in radians, speeds in m/s.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ComplexArray = NDArray[np.complex128]
FloatArray = NDArray[np.float64]

MAP_CONSTANT_M = 0.25
"""c of the map, in metres: the reference chord is then 4c = 1 m."""

CHORD_M = 4 * MAP_CONSTANT_M
AIR_DENSITY_KG_M3 = 1.225

_TRAILING_EDGE_RADIUS = 1e-9
"""Within this distance of zeta = c, in units of c, the velocity is its limit (0/0 otherwise)."""


@dataclass(frozen=True, slots=True)
class JoukowskiFlow:
    """One aerofoil in one stream.

    `thickness` and `camber` place the circle's centre at mu = c (-thickness + i camber);
    `thickness` > 0 keeps the leading edge round.
    """

    thickness: float
    camber: float
    incidence_rad: float
    speed_m_s: float

    @property
    def centre(self) -> complex:
        """The circle's centre mu in the plane of zeta."""
        return MAP_CONSTANT_M * complex(-self.thickness, self.camber)

    @property
    def radius_m(self) -> float:
        """The circle's radius R."""
        return abs(MAP_CONSTANT_M - self.centre)

    @property
    def zero_lift_rad(self) -> float:
        """beta: lift vanishes at an incidence of -beta."""
        return math.asin(self.centre.imag / self.radius_m)

    @property
    def circulation_m2_s(self) -> float:
        """Gamma by the Kutta condition, positive when it lifts."""
        sine = math.sin(self.incidence_rad + self.zero_lift_rad)
        return 4 * math.pi * self.speed_m_s * self.radius_m * sine

    @property
    def lift_coefficient(self) -> float:
        """Lift per metre of span over (rho U^2 / 2) times the chord of 4c."""
        return 2 * self.circulation_m2_s / (self.speed_m_s * CHORD_M)

    def circle(self, angle_rad: FloatArray, ratio: FloatArray | float = 1.0) -> ComplexArray:
        """zeta at `ratio` radii from the centre; an angle of 0 points at the trailing edge."""
        turned = np.exp(1j * (angle_rad - self.zero_lift_rad))
        return np.asarray(self.centre + ratio * self.radius_m * turned)

    def position(self, zeta: ComplexArray) -> ComplexArray:
        """z = x + i y of a point of the plane of zeta."""
        return zeta + MAP_CONSTANT_M**2 / zeta

    def velocity(self, zeta: ComplexArray) -> ComplexArray:
        """u + i v in m/s at `zeta`, on or outside the circle; finite at the trailing edge."""
        stretch = 1 - (MAP_CONSTANT_M / zeta) ** 2
        at_edge = np.abs(zeta - MAP_CONSTANT_M) < _TRAILING_EDGE_RADIUS * MAP_CONSTANT_M
        regular = self._potential_slope(zeta) / np.where(at_edge, 1.0, stretch)
        return np.conj(np.where(at_edge, self._edge_velocity(), regular))

    def pressure_coefficient(self, velocity: ComplexArray) -> FloatArray:
        """Cp where the velocity is `velocity`."""
        return 1 - np.abs(velocity) ** 2 / self.speed_m_s**2

    def stream_function(self, zeta: ComplexArray) -> FloatArray:
        """Im W in m^2/s: constant along streamlines, zero on the wall."""
        offset = zeta - self.centre
        stream = self.speed_m_s * (
            cmath.exp(-1j * self.incidence_rad) * offset
            + cmath.exp(1j * self.incidence_rad) * self.radius_m**2 / offset
        )
        swirl = self.circulation_m2_s / (2 * math.pi) * np.log(np.abs(offset) / self.radius_m)
        return stream.imag + swirl

    def _potential_slope(self, zeta: ComplexArray) -> ComplexArray:
        offset = zeta - self.centre
        dipole = cmath.exp(1j * self.incidence_rad) * (self.radius_m / offset) ** 2
        stream = self.speed_m_s * (cmath.exp(-1j * self.incidence_rad) - dipole)
        return np.asarray(stream + 1j * self.circulation_m2_s / (2 * math.pi * offset))

    def _edge_velocity(self) -> complex:
        """u - i v at zeta = c by l'Hopital's rule: W'' / z'' with z''(c) = 2 / c."""
        offset = MAP_CONSTANT_M - self.centre
        dipole = 2 * self.speed_m_s * cmath.exp(1j * self.incidence_rad) * self.radius_m**2
        swirl = 1j * self.circulation_m2_s / (2 * math.pi)
        return (dipole / offset**3 - swirl / offset**2) * MAP_CONSTANT_M / 2


@dataclass(frozen=True, slots=True)
class Surface:
    """The wall, point by point and counter-clockwise, starting at the trailing edge.

    `element` is dz per point (a length in metres along the wall), so that a sum over points is an
    integral over the wall; the outward normal is -i times its direction.
    """

    position: ComplexArray
    element: ComplexArray
    velocity: ComplexArray
    pressure_coefficient: FloatArray

    @property
    def normal(self) -> ComplexArray:
        """The outward unit normal; zero at the cusp of the trailing edge, where there is none."""
        length = np.abs(self.element)
        return np.asarray(-1j * self.element / np.where(length > 0, length, 1.0))


@dataclass(frozen=True, slots=True)
class Loads:
    """What the stream does to the aerofoil per metre of span, over (rho U^2 / 2) and the chord.

    `moment` is about the quarter chord (x = -c), positive nose up.
    """

    drag: float
    lift: float
    moment: float


def sample_surface(flow: JoukowskiFlow, points: int) -> Surface:
    """The wall at `points` equal steps of the circle's angle."""
    step_rad = 2 * math.pi / points
    zeta = flow.circle(step_rad * np.arange(points, dtype=np.float64))
    stretch = 1 - (MAP_CONSTANT_M / zeta) ** 2
    stretch[0] = 0.0
    velocity = flow.velocity(zeta)
    return Surface(
        position=flow.position(zeta),
        element=stretch * 1j * (zeta - flow.centre) * step_rad,
        velocity=velocity,
        pressure_coefficient=flow.pressure_coefficient(velocity),
    )


def integrate_loads(flow: JoukowskiFlow, surface: Surface) -> Loads:
    """The loads from the pressure alone: F = i times the integral of p dz, counter-clockwise."""
    force = 1j * surface.pressure_coefficient * surface.element / CHORD_M
    total = complex(force.sum()) * cmath.exp(-1j * flow.incidence_rad)
    arm = surface.position + MAP_CONSTANT_M
    nose_up = -float((np.conj(arm) * force).imag.sum()) / CHORD_M
    return Loads(drag=total.real, lift=total.imag, moment=nose_up)
