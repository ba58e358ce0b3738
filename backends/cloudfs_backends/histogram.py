"""How durations are counted: one set of bounds for every histogram of a mount.

A histogram is a list of counts, one for each bound and one for what took longer. Counts are not
cumulative. It does not know what took so long.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds in seconds, each included: from an answer out of memory to a retry budget."""


def empty_histogram() -> list[int]:
    """Return an empty histogram."""
    return [0] * (len(BOUNDS_S) + 1)


def bucket_of(seconds: float) -> int:
    """Return which count of a histogram a duration belongs to."""
    return bisect_left(BOUNDS_S, seconds)
