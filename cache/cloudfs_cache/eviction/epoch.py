"""Epoch-aware eviction, the default: learns at which age extents are accessed again.

An extent is worth its expected hits per byte of time that it stays. In training, where each epoch
reads everything once in a new order, what was just read comes back last, and what was not read for
long comes soon: so newcomers are refused and the set that is held stays, which is the best there
is. Where some extents are popular, young and often accessed ones are worth most. Nothing of this is
built in: it follows from the ages that occurred. docs/eviction.md explains and measures it.

What is known is kept per group (dataset) and number of accesses. A class that knows little borrows
from the next lower number of accesses in its group, and that of first accesses from all groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from operator import mul
from typing import Any

from cloudfs_cache.eviction.policy import AccessRecord
from cloudfs_cache.eviction.reuse_histogram import BUCKETS, ReuseHistogram, bucket_of, hit_densities

_FORMAT = 1
_CLASSES = 6
"""Visited once, twice, 3-4, 5-8, 9-16 times, more often."""
_PRIOR_EVENTS = 4.0
"""What is borrowed counts like this many accesses in each bucket of age."""
_REFRESH_VISITS = 64
_REFRESH_OF_AGE = 16
"""Worth is computed anew after so many accesses, and when time goes on by 1/16 of an interval."""

# Worth is the binary logarithm of hits per byte of time, which is never below 2**-90.
_UNKNOWN = -100.0
"""No extent was accessed twice yet."""
_DEAD = -200.0
"""Older than any age at which an access came."""
_EXPECTED_GAPS = 4
"""Extents that are accessed at random are silent for so long in one of 50 cases."""
_SILENT_SHARE = 8
"""What is silent for 1/8 of its usual interval longer than it should is worth half."""


class EpochAware:
    """Hits per byte of time, learnt by age. See the module."""

    margin = 0.2
    """About 15%: estimates that differ by less are the same."""

    def __init__(self, *, same_access_bytes: int = 256 << 20) -> None:
        """Touches of an extent that are less than `same_access_bytes` apart are one access.

        Reading an extent takes many reads, between which other readers get theirs. Too large does
        little harm; too small makes each access look like an extent that is read again at once.
        """
        self._same_visit_bytes = same_access_bytes
        self._everything = _Group()
        self._groups: dict[int, _Group] = {}

    def access(
        self, known: AccessRecord | None, clock: int, group: int, *, resident: bool
    ) -> AccessRecord:
        """Return the record after a demand read of an extent, and learn from it."""
        del resident
        if known is None:
            record = AccessRecord(clock, 0, 1, group)
        else:
            age = clock - known.accessed_at
            if age < self._same_visit_bytes // 8 and known.group == group:
                return known
            record = AccessRecord(clock, age, known.accesses + 1, group)
            if age < self._same_visit_bytes:
                record = AccessRecord(clock, known.interval, known.accesses, group)
        self._everything.note(known, record, first_only=True)
        if group not in self._groups:
            self._groups[group] = _Group()
        self._groups[group].note(known, record, first_only=False)
        return record

    def forget(self, record: AccessRecord) -> None:
        """The record of an extent is dropped: whether it is accessed again will not be known."""
        number = _class_of(record.accesses)
        if record.group in self._groups:
            self._groups[record.group].classes[number].lost(record.accessed_at)
        if number == 0:
            self._everything.classes[0].lost(record.accessed_at)

    def worth(self, record: AccessRecord, clock: int) -> float:
        """The binary logarithm of the expected hits per byte of time; lower goes first."""
        group = self._groups.get(record.group, self._everything)
        if group.is_stale(clock):
            if self._everything.is_stale(clock):
                self._everything.learn(None, clock)
            if group is not self._everything:
                group.learn(self._everything.hazards, clock)
        number = _class_of(record.accesses)
        table = group.tables[number]
        bucket = bucket_of(clock - record.accessed_at)
        # Among the dead the oldest go first.
        beyond = _DEAD - bucket if table else _UNKNOWN
        worth = table[bucket] if bucket < len(table) else beyond
        return worth - group.doubt(number, clock)

    def dump(self) -> dict[str, object]:
        """Return what was learnt, ready for JSON."""
        return {
            "format": _FORMAT,
            "everything": self._everything.dump(),
            "groups": {str(number): group.dump() for number, group in self._groups.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace what was learnt; a state that makes no sense counts as nothing learnt."""
        self._everything, self._groups = _Group(), {}
        if state.get("format") != _FORMAT:
            return
        try:
            everything = _Group.load(state["everything"])
            groups = {int(number): _Group.load(group) for number, group in state["groups"].items()}
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return
        self._everything, self._groups = everything, groups


class _Group:
    """What is known of one dataset."""

    def __init__(self) -> None:
        self.classes = [ReuseHistogram() for _ in range(_CLASSES)]
        self.tables: list[list[float]] = [[] for _ in range(_CLASSES)]
        self.hazards = [0.0] * BUCKETS
        """Of those accessed once."""
        self.accessed_at = 0
        self._began_at = -1
        self._longest_gap = 0.0
        self._mean_interval = 0.0
        self._means = [0.0] * _CLASSES
        self._learnt_at = -1
        self._visits_since = 0

    def note(self, known: AccessRecord | None, record: AccessRecord, *, first_only: bool) -> None:
        """Count an access; with `first_only` just what follows on first accesses."""
        clock = record.accessed_at
        self._note_gap(clock)
        self._visits_since += 1
        if known is not None and not (first_only and known.accesses > 1):
            before = self.classes[_class_of(known.accesses)]
            before.ended(known.accessed_at, clock)
            if record.accesses > known.accesses:
                before.came_again(record.interval, clock)
        if not (first_only and record.accesses > 1):
            self.classes[_class_of(record.accesses)].began(clock)

    def is_stale(self, clock: int) -> bool:
        """Enough has happened to learn anew."""
        if self._learnt_at < 0 or self._visits_since >= _REFRESH_VISITS:
            return True
        return (clock - self._learnt_at) * _REFRESH_OF_AGE > max(
            self._mean_interval, self.accessed_at - self._began_at
        )

    def learn(self, prior: list[float] | None, clock: int) -> None:
        """Make the tables of worth by age; `prior` are the hazards of first accesses elsewhere."""
        self._learnt_at, self._visits_since = clock, 0
        hazards = prior
        for number, ages in enumerate(self.classes):
            if number and not ages.again_total and not ages.waiting_total:
                self.tables[number] = self.tables[number - 1]
                continue
            if hazards is None:
                hazards = ages.hazards_alone(_PRIOR_EVENTS, clock)
            else:
                hazards = ages.hazards(hazards, _PRIOR_EVENTS, clock)
            last = next((i for i in range(BUCKETS - 1, -1, -1) if hazards[i] > 0), -1)
            densities = hit_densities(hazards, last)
            self.tables[number] = [log2(density) for density in densities]
            if number == 0:
                self.hazards = hazards
        self._means = [ages.mean_age for ages in self.classes]
        total = sum(ages.again_total for ages in self.classes)
        again = sum(map(mul, self._means, (ages.again_total for ages in self.classes)))
        self._mean_interval = again / total if total else 0.0

    def doubt(self, number: int, clock: int) -> float:
        """Return what to subtract: extents that used to be accessed again and are no longer."""
        ages = self.classes[number]
        usual = self._means[number] or self._mean_interval or self.accessed_at - self._began_at
        expected = _EXPECTED_GAPS * usual / max(1.0, ages.waiting_total)
        longest = 2 * max(self._longest_gap, ages.longest_gap)
        excess = clock - ages.active_at - max(longest, expected)
        return log2(1 + _SILENT_SHARE * excess / (usual + 1)) if excess > 0 else 0.0

    def dump(self) -> dict[str, object]:
        """Return what is known, ready for JSON."""
        return {
            "visited_at": self.accessed_at,
            "began_at": self._began_at,
            "longest_gap": round(self._longest_gap),
            "classes": [ages.dump() for ages in self.classes],
        }

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> _Group:
        """Return what `dump` gave; raises when that makes no sense."""
        group = cls()
        group.accessed_at = int(state["visited_at"])
        group._began_at = int(state["began_at"])
        group._longest_gap = float(state["longest_gap"])
        classes = [ReuseHistogram.load(ages) for ages in state["classes"]]
        if len(classes) != _CLASSES:
            raise ValueError("another number of classes")
        group.classes = classes
        return group

    def _note_gap(self, clock: int) -> None:
        if self._began_at < 0:
            self._began_at = self.accessed_at = clock
        gap = clock - self.accessed_at
        if gap > 0:
            # Forgotten over some eight times its own length.
            self._longest_gap = max(float(gap), self._longest_gap - gap / 8)
            self.accessed_at = clock


def _class_of(accesses: int) -> int:
    return min((accesses - 1).bit_length(), _CLASSES - 1)
