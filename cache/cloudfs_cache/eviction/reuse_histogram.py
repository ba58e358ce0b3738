"""Reuse-age histograms: at which age extents are accessed again, and the arithmetic on that.

The age of an extent is the number of bytes that readers were given since its last access. A
histogram counts, for one class of extents, the ages at which accesses came, and how many extents
still wait for theirs at which age. Those count too: no access *yet* says nothing about later
ages (this is the Kaplan-Meier estimate of a survival curve). Pure, bounded, deterministic.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import expm1, log1p
from operator import mul
from typing import Any

_FIRST_BITS = 22
"""Ages below 4 MiB are one bucket; above, each doubling has four."""
BUCKETS = 1 + 4 * (60 - _FIRST_BITS)
_BINS_MAX = 96
_BIN_OF_AGE = 6
"""A bin of waiting extents spans at most 1/6 of its age, as far as _BINS_MAX allows."""
_WINDOW = 4
"""Accesses are remembered up to this many times the number of extents that wait, then halved."""
_WINDOW_MIN = 1024
_MARGIN = 2
"""Buckets beyond the oldest extent for which a hazard is assumed."""
_MUCH = 2.0**62
_DENSITY_MIN = 2.0**-90
"""Hits per byte of time below this are all the same."""


def bucket_of(age: int) -> int:
    """Return the number of the bucket that an age falls into."""
    bits = age.bit_length()
    if bits <= _FIRST_BITS or age < 0:
        return 0
    number = ((bits - _FIRST_BITS - 1) << 2) + ((age >> (bits - 3)) & 3) + 1
    return number if number < BUCKETS else BUCKETS - 1


def _start_of(bucket: int) -> int:
    if bucket == 0:
        return 0
    octave, quarter = divmod(bucket - 1, 4)
    return (4 + quarter) << (octave + _FIRST_BITS - 2)


STARTS = tuple(_start_of(bucket) for bucket in range(BUCKETS + 1))
"""Where each bucket begins; one more than there are buckets."""
_WIDTHS = tuple(STARTS[bucket + 1] - STARTS[bucket] for bucket in range(BUCKETS))
_MIDDLES = tuple((STARTS[bucket] + STARTS[bucket + 1]) / 2 for bucket in range(BUCKETS))


class ReuseHistogram:
    """The ages of one class of extents."""

    def __init__(self) -> None:
        self.again = [0.0] * BUCKETS
        """Accesses that came at this age; faded, so that new ones count more."""
        self.again_total = 0.0
        self.waiting_total = 0.0
        self.active_at = -1
        """Clock when the last extent came or left; -1 when none ever did."""
        self.longest_gap = 0.0
        """Between two such events; forgotten over some eight times its own length."""
        self._bin_starts: list[int] = []
        self._bin_counts: list[float] = []

    @property
    def oldest(self) -> int:
        """The last bucket in which an access came, -1 when none did."""
        again = self.again
        return next((i for i in range(BUCKETS - 1, -1, -1) if again[i] > 0), -1)

    def began(self, clock: int) -> None:
        """An extent of the class was accessed: it waits for its next access."""
        starts, counts = self._bin_starts, self._bin_counts
        if starts and clock - starts[-1] < STARTS[1]:
            counts[-1] += 1
        else:
            starts.append(clock)
            counts.append(1)
            if len(starts) > 2 * _BINS_MAX:
                self._merge_bins(clock)
        self.waiting_total += 1
        self._note_active(clock)

    def ended(self, accessed_at: int, clock: int) -> None:
        """An extent that was accessed at that clock is accessed again, maybe in another class."""
        self._note_active(clock)
        self.lost(accessed_at)

    def lost(self, accessed_at: int) -> None:
        """An extent that was accessed at that clock is not watched any more."""
        number = bisect_right(self._bin_starts, accessed_at) - 1
        if number >= 0 and self._bin_counts[number] >= 1:
            self._bin_counts[number] -= 1
            self.waiting_total -= 1

    @property
    def mean_age(self) -> float:
        """At which accesses came; 0 when none did."""
        total = self.again_total
        return sum(map(mul, self.again, _MIDDLES)) / total if total else 0.0

    def came_again(self, age: int, clock: int) -> None:
        """A access came at this age."""
        self.again[bucket_of(age)] += 1
        self.again_total += 1
        if self.again_total > max(_WINDOW_MIN, _WINDOW * self.waiting_total):
            self._fade(clock)

    def at_risk(self, clock: int) -> list[float]:
        """Return, per bucket, how many extents reached it unvisited: could be accessed there."""
        waiting, passed = [0.0] * BUCKETS, [0.0] * BUCKETS
        ends = [*self._bin_starts[1:], clock][: len(self._bin_starts)]
        for start, end, count in zip(self._bin_starts, ends, self._bin_counts, strict=True):
            age = clock - (start + end) // 2
            bucket = bucket_of(age)
            waiting[bucket] += count
            passed[bucket] += count * max(0, age - STARTS[bucket]) / _WIDTHS[bucket]
        reached = 0.0
        for bucket in range(BUCKETS - 1, -1, -1):
            # Who waits in a bucket was at risk in the part of it that lies behind.
            passed[bucket] += reached + self.again[bucket]
            reached += waiting[bucket] + self.again[bucket]
        return passed

    def hazards(self, prior: Sequence[float], events: float, clock: int) -> list[float]:
        """Return, per bucket, how likely the access comes there if it came in none before.

        In each bucket `prior` counts like `events` accesses at its rate.
        """
        return [
            (again + events) / (risk + events / before) if before > 0 else again / (risk + 1)
            for again, before, risk in zip(self.again, prior, self.at_risk(clock), strict=True)
        ]

    def hazards_alone(self, events: float, clock: int) -> list[float]:
        """Return the hazards where nothing else is known: each bucket's prior is the one before.

        The first takes the average. They go a little beyond the ages that were reached: extents
        grow older until the next time that this is computed.
        """
        risk = self.at_risk(clock)
        last = next((i for i in range(BUCKETS - 1, -1, -1) if risk[i] > 0), -1)
        waited = sum(map(mul, risk, _WIDTHS))
        hazards = [0.0] * BUCKETS
        if not self.again_total or not waited:
            return hazards
        rate = self.again_total / waited
        for bucket in range(min(BUCKETS, last + 1 + _MARGIN)):
            before = -expm1(-rate * _WIDTHS[bucket])
            hazard = (self.again[bucket] + events) / (risk[bucket] + events / before)
            hazards[bucket] = hazard
            rate = -log1p(-min(hazard, 0.999)) / _WIDTHS[bucket]
        return hazards

    def dump(self) -> dict[str, object]:
        """Return what is known, ready for JSON."""
        return {
            "active_at": self.active_at,
            "longest_gap": round(self.longest_gap),
            "again": {str(i): round(count, 3) for i, count in enumerate(self.again) if count},
            "bins": [
                [start, round(count, 3)]
                for start, count in zip(self._bin_starts, self._bin_counts, strict=True)
                if count
            ],
        }

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> ReuseHistogram:
        """Return what `dump` gave; raises KeyError, TypeError or ValueError for anything else."""
        ages = cls()
        ages.active_at = int(state["active_at"])
        ages.longest_gap = _amount(state["longest_gap"])
        again = {int(bucket): _amount(count) for bucket, count in state["again"].items()}
        ages.again = [again.pop(bucket, 0.0) for bucket in range(BUCKETS)]
        bins = sorted((int(start), _amount(count)) for start, count in state["bins"])
        if again or len(bins) > 2 * _BINS_MAX:
            raise ValueError("more than dump gives")
        ages._bin_starts = [start for start, _ in bins]
        ages._bin_counts = [count for _, count in bins]
        ages.again_total = sum(ages.again)
        ages.waiting_total = sum(ages._bin_counts)
        return ages

    def _note_active(self, clock: int) -> None:
        gap = clock - self.active_at if self.active_at >= 0 else 0
        self.longest_gap = max(float(gap), self.longest_gap - gap / 8)
        self.active_at = max(clock, self.active_at)

    def _fade(self, clock: int) -> None:
        """Halve the accesses, and those that wait longer than any access took: they are dead."""
        dead_before = clock - STARTS[self.oldest + 1]
        self.again = [count / 2 if count > 0.01 else 0.0 for count in self.again]
        self.again_total = sum(self.again)
        self._bin_counts = [
            count / 2 if start < dead_before else count
            for start, count in zip(self._bin_starts, self._bin_counts, strict=True)
        ]
        self.waiting_total = sum(self._bin_counts)

    def _merge_bins(self, clock: int) -> None:
        starts, counts = [self._bin_starts[0]], [self._bin_counts[0]]
        excess = len(self._bin_starts) - _BINS_MAX
        for start, count in zip(self._bin_starts[1:], self._bin_counts[1:], strict=True):
            if (start - starts[-1]) * _BIN_OF_AGE <= clock - start:
                counts[-1] += count
                excess -= 1
            else:
                starts.append(start)
                counts.append(count)
        while excess > 0:
            del starts[1]
            counts[0] += counts.pop(1)
            excess -= 1
        self._bin_starts, self._bin_counts = starts, counts


def _amount(number: Any) -> float:
    amount = float(number)
    if not 0 <= amount < _MUCH:
        raise ValueError(f"{amount} is no count")
    return amount


def hit_densities(hazards: Sequence[float], last: int) -> list[float]:
    """Return, for an extent in each bucket up to `last`, its hits per byte of time at best.

    At best: kept until the age at which the quotient of (chance of an access until then) and (time
    until the access or then) is largest. That is the slope of the concave hull of the curve of
    (time waited, chance), seen from the extent's own age; also known as the Gittins index.
    """
    times, chances = [0.0], [0.0]
    alive = 1.0
    for bucket in range(last + 1):
        came = alive * min(0.999, hazards[bucket])
        times.append(times[-1] + _WIDTHS[bucket] * (alive - came / 2))
        chances.append(chances[-1] + came)
        alive -= came
    densities = [_DENSITY_MIN] * (last + 1)
    hull = [last + 1]
    for bucket in range(last, -1, -1):
        here = _slope(times, chances, bucket, hull[-1])
        while len(hull) > 1 and here <= (beyond := _slope(times, chances, bucket, hull[-2])):
            here = beyond
            hull.pop()
        densities[bucket] = max(_DENSITY_MIN, here)
        hull.append(bucket)
    return densities


def _slope(times: Sequence[float], chances: Sequence[float], left: int, right: int) -> float:
    waited = times[right] - times[left]
    return (chances[right] - chances[left]) / waited if waited > 0 else 0.0
