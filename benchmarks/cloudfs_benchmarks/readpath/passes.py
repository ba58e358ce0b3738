"""What the reader process did, and what the daemon spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.readpath import reader
from cloudfs_benchmarks.readpath.mounting import Usage

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Pass:
    """All readers of one pass: wall time from the first start to the last end, in seconds."""

    seconds: float
    first_s: float
    bytes: int
    names: int
    digests: tuple[int, ...]
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.bytes / 1e6 / self.seconds

    @classmethod
    def of(cls, tallies: Sequence[dict[str, float]]) -> Pass:
        """The pass in which the readers did `tallies`."""
        # JSON of the reader process: its fields are what `Tally` has.
        records = [reader.Tally(**tally) for tally in tallies]  # type: ignore[arg-type]
        return cls(
            seconds=max(r.ended for r in records) - min(r.started for r in records),
            first_s=min(r.first_s for r in records),
            bytes=sum(r.bytes for r in records),
            names=sum(r.names for r in records),
            digests=tuple(r.digest for r in records),
            latencies=tuple(latency for r in records for latency in r.latencies),
        )


@dataclass(frozen=True, slots=True)
class Timed:
    """A pass, and what the daemon did in that time."""

    done: Pass
    used: Usage

    @property
    def cpu_per_gib(self) -> float:
        """CPU seconds of the daemon per GiB that was read."""
        return self.used.cpu_s * _GIB / self.done.bytes
