"""What every simulated cache is: the one protocol, and what a trace is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Visit(NamedTuple):
    """One read of one extent."""

    key: int
    size_bytes: int
    group: int
    """The dataset, as the cache sees it."""
    part: int
    """Which part of the trace this belongs to; caches do not look at it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Visits to replay through a cache of a given size."""

    name: str
    capacity_bytes: int
    visits: Sequence[Visit]
    judged: frozenset[int]
    """The parts whose hits count; the others are for warming up or for disturbing."""
    is_epoch: bool = False
    """Epochs of one dataset: measured by Belady's optimum, the others by the best reference."""


class Cache(Protocol):
    """A cache under test."""

    def access(self, visit: Visit) -> int:
        """Read an extent; return how many of its bytes were there."""


def replay(trace: Trace, cache: Cache) -> list[int]:
    """Return the bytes hit at each visit."""
    return [cache.access(visit) for visit in trace.visits]


def hit_ratio(trace: Trace, hits: Sequence[int], parts: frozenset[int]) -> float:
    """Return bytes hit over bytes read in the given parts."""
    hit = read = 0
    for visit, hit_bytes in zip(trace.visits, hits, strict=True):
        if visit.part in parts:
            hit += hit_bytes
            read += visit.size_bytes
    return hit / read if read else 0.0
