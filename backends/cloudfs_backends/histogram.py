"""Histograms of durations, all over one set of bounds.

A histogram is a list of counts, one for each bound and one for longer durations. Counts are not
cumulative.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds in seconds, inclusive: from a read out of memory to a retry budget."""


def empty_histogram() -> list[int]:
    """Return an empty histogram."""
    return [0] * (len(BOUNDS_S) + 1)


def bucket_of(seconds: float) -> int:
    """Return the index of the count that a duration belongs to."""
    return bisect_left(BOUNDS_S, seconds)
