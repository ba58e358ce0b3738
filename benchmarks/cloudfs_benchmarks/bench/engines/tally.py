"""What one reader of our own has done so far."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloudfs_benchmarks.bench.engines.bins import bin_of
from cloudfs_benchmarks.bench.results import Latency

CLOCK = time.perf_counter
"""Seconds of the clock that all processes of a machine share."""

_KEPT_AT_MAX = 100_000


@dataclass(slots=True)
class Latencies:
    """Microseconds of single operations; beyond 100,000 as counts of bins, to bound the memory."""

    kept: array[float] = field(default_factory=lambda: array("d"))
    counts: Counter[float] = field(default_factory=Counter)
    most: float = 0.0

    def add(self, microseconds: float) -> None:
        """Count one."""
        self.kept.append(microseconds)
        if len(self.kept) >= _KEPT_AT_MAX:
            self.fold()

    def fold(self) -> None:
        """Let go of single values."""
        if self.kept:
            self.most = max(self.most, *self.kept)
            self.counts.update(map(bin_of, self.kept))
            self.kept = array("d")


@dataclass(slots=True)
class Tally:
    """Counts of one reader; `path` is where it is or was last, for what goes wrong there."""

    path: str = ""
    bytes: int = 0
    operations: int = 0
    files: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def note(self, length: int, began: float) -> None:
        """Count an operation of `length` bytes that began then and ends now."""
        self.latencies.add((CLOCK() - began) * 1e6)
        self.operations += 1
        self.bytes += length


def latency_over(readers: Sequence[Latencies]) -> Latency | None:
    """Of all operations of all readers, exact while there are few; None when none was timed."""
    # Imported when no reader is to be forked any more: numpy starts threads.
    from cloudfs_benchmarks.bench.statistics import (  # noqa: PLC0415
        latency_of,
        latency_of_histogram,
    )

    if not any(reader.counts for reader in readers):
        values = [value for reader in readers for value in reader.kept]
        return latency_of(values) if values else None
    for reader in readers:
        reader.fold()
    pairs = (pair for reader in readers for pair in reader.counts.items())
    return latency_of_histogram(pairs, max(reader.most for reader in readers))
