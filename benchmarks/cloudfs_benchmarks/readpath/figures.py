"""Figures of repeated trials and the rows a report is made of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one thing over the trials of a run, in the order they were measured."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def over(self, other: Series) -> Series:
        """Trial by trial, this divided by `other`: both were measured next to each other."""
        pairs = zip(self.values, other.values, strict=True)
        return Series(tuple(mine / theirs for mine, theirs in pairs))

    def show(self, digits: int | None = None) -> str:
        """`median (least-most)`, with three digits or so unless their number is given."""
        if digits is None:
            largest = max(self.values)
            digits = 0 if largest >= 100 else 1 if largest >= 10 else 2
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report.

    `ratio` is trial-wise against `against`; `target` is the least ratio, or with `at_most` the most
    of the value itself, that meets the requirement. `notes` are further figures worth a glance.
    `backend` is the URL scheme of the store where a case compares several.
    """

    case: str
    what: str
    unit: str
    values: Series
    ratio: Series | None = None
    against: str = ""
    target: float | None = None
    at_most: float | None = None
    notes: str = ""
    backend: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is not None and self.ratio is not None:
            return self.ratio.median >= self.target
        if self.at_most is not None:
            return self.values.median <= self.at_most
        return None


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of `values` do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
