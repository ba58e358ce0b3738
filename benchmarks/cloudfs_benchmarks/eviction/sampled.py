"""A cache that evicts as the SSD tier does: the production policy on random samples."""

from __future__ import annotations

import random

from cloudfs_benchmarks.eviction.cache import Visit
from cloudfs_cache.eviction.policy import AccessRecord, Candidate, EvictionPolicy, choose_victims

GHOSTS_PER_RESIDENT = 4
"""Ghosts above this go at random: dropping the oldest would hide the long intervals."""


class SampledCache:
    """Residents in a list, so that drawing a sample costs the same however many there are."""

    def __init__(
        self, capacity_bytes: int, policy: EvictionPolicy, *, sample: int = 64, seed: int = 0
    ) -> None:
        self.policy = policy
        self.admitted_bytes = 0
        self._capacity = self._free = capacity_bytes
        self._sample = sample
        self._random = random.Random(seed)
        self._clock = 0
        self._keys: list[int] = []
        self._places: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._records: dict[int, AccessRecord] = {}
        self._ghosts: dict[int, AccessRecord] = {}
        self._ghost_keys: list[int] = []

    def access(self, visit: Visit) -> int:
        """Read an extent; return how many of its bytes were there."""
        key = visit.key
        resident = key in self._places
        known = self._records[key] if resident else self._recall(key)
        record = self.policy.access(known, self._clock, visit.group, resident=resident)
        if resident:
            self._records[key] = record
        elif self._make_room(visit.size_bytes, record):
            self._admit(visit, record)
        else:
            self._remember(key, record)
        self._clock += visit.size_bytes
        return visit.size_bytes if resident else 0

    def _recall(self, key: int) -> AccessRecord | None:
        """Take the record of a ghost."""
        if len(self._ghost_keys) > 2 * len(self._ghosts) + 64:
            self._ghost_keys = list(self._ghosts)
        return self._ghosts.pop(key, None)

    def _make_room(self, size_bytes: int, newcomer: AccessRecord) -> bool:
        if size_bytes > self._capacity:
            return False
        while self._free < size_bytes:
            victims = choose_victims(
                self.policy,
                self._draw(),
                size_bytes - self._free,
                self._clock,
                newcomer,
            )
            if victims is None:
                return False
            for key in victims:
                self._evict(key)
        return True

    def _draw(self) -> list[Candidate[int]]:
        count = min(self._sample, len(self._keys))
        return [
            Candidate(key, self._sizes[key], self._records[key])
            for key in self._random.sample(self._keys, count)
        ]

    def _admit(self, visit: Visit, record: AccessRecord) -> None:
        self._places[visit.key] = len(self._keys)
        self._keys.append(visit.key)
        self._sizes[visit.key] = visit.size_bytes
        self._records[visit.key] = record
        self._free -= visit.size_bytes
        self.admitted_bytes += visit.size_bytes

    def _evict(self, key: int) -> None:
        place, last = self._places.pop(key), self._keys.pop()
        if last != key:
            self._keys[place] = last
            self._places[last] = place
        self._free += self._sizes.pop(key)
        self._remember(key, self._records.pop(key))

    def _remember(self, key: int, record: AccessRecord) -> None:
        self._ghosts[key] = record
        self._ghost_keys.append(key)
        while len(self._ghosts) > GHOSTS_PER_RESIDENT * max(1, len(self._keys)):
            forgotten = self._ghosts.pop(self._take_random_ghost_key(), None)
            if forgotten is not None:
                self.policy.forget(forgotten)

    def _take_random_ghost_key(self) -> int:
        """A key that is, or was until it came back, a ghost."""
        keys = self._ghost_keys
        place = self._random.randrange(len(keys))
        keys[place], keys[-1] = keys[-1], keys[place]
        return keys.pop()
