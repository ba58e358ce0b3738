"""The bins of latency histograms, one latency at a time: those of `statistics`, without numpy,
which starts threads when it is imported and then stands in the way of forking."""

from __future__ import annotations

import math

_PER_DECADE = 20


def bin_of(microseconds: float) -> float:
    """The upper bound of the bin that a latency falls into, in microseconds."""
    step = math.ceil(_PER_DECADE * math.log10(max(microseconds, 1.0)))
    return float(f"{10 ** (step / _PER_DECADE):.6g}")
