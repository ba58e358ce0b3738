"""Eviction: frees space in a cache directory, from the least worthy extents of random samples.

Blocking, for worker threads. One mount makes room once at a time; mounts that do it at the same
moment take different extents, because each extent is taken in a transaction of the index.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from cloudfs_cache.disk.capacity import Capacity
from cloudfs_cache.disk.index.blocks import DiskIndex
from cloudfs_cache.disk.index.queries import IndexQueries
from cloudfs_cache.disk.index.rows import ExtentRow, Intent
from cloudfs_cache.eviction.policy import AccessRecord, Candidate, EvictionPolicy, choose_victims

_SAMPLE: Final = 64
_ROUNDS_MAX: Final = 64
# More than was asked for, so that small files do not cost a sample each.
_STEP_BYTES: Final = 16 << 20


class SharedPolicy:
    """A policy that several threads may ask: one at a time."""

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()

    @contextmanager
    def at_once(self) -> Iterator[EvictionPolicy | None]:
        """Yield the policy, or None when a thread is at it: the loop must not wait for that."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._policy
        finally:
            self._lock.release()

    def choose(
        self,
        sample: list[Candidate[ExtentRow]],
        needed_bytes: int,
        clock: int,
        newcomer: AccessRecord | None,
    ) -> list[ExtentRow] | None:
        """See `choose_victims`."""
        with self._lock:
            return choose_victims(self._policy, sample, needed_bytes, clock, newcomer)

    def least_worthy(
        self, sample: list[Candidate[ExtentRow]], clock: int
    ) -> Candidate[ExtentRow] | None:
        """The candidate that would go first."""
        with self._lock:
            return min(sample, key=lambda c: self._policy.worth(c.record, clock), default=None)

    def forget(self, records: Sequence[AccessRecord]) -> None:
        """See EvictionPolicy."""
        with self._lock:
            for record in records:
                self._policy.forget(record)

    def dump(self) -> dict[str, object]:
        """See EvictionPolicy."""
        with self._lock:
            return self._policy.dump()


@dataclass(slots=True)
class Evicted:
    """What went: the extents, the bytes that are free now, and whether they are enough."""

    extents: list[ExtentRow] = field(default_factory=list)
    freed_bytes: int = 0
    enough: bool = False


class Evictor:
    """Evicts from one cache directory. `finish` clears the files of an intent and ends it."""

    def __init__(
        self,
        index: DiskIndex,
        queries: IndexQueries,
        capacity: Capacity,
        policy: SharedPolicy,
        finish: Callable[[Intent], None],
    ) -> None:
        self._index = index
        self._queries = queries
        self._capacity = capacity
        self._policy = policy
        self._finish = finish
        self._lock = threading.Lock()
        self._random = random.Random()

    def make(self, wanted_bytes: int, newcomer: AccessRecord | None, clock: int) -> Evicted:
        """Evict until `wanted_bytes` fit. Without a newcomer, room is made whatever has to go.

        It is not enough when the newcomer is not worth it or nothing is left that may go. What went
        before that was worth less, and stays gone.
        """
        evicted = Evicted()
        with self._lock:
            # Once: some file systems give freed space back later, and must not be emptied for that.
            totals = self._queries.totals()
            announced = totals.announced_bytes
            excess = self._capacity.excess(totals.used_bytes, wanted_bytes, announced)
            for _ in range(_ROUNDS_MAX):
                if evicted.freed_bytes >= excess:
                    evicted.enough = True
                    break
                victims = self._victims(excess - evicted.freed_bytes, newcomer, clock)
                if not victims or not self.remove(victims, evicted):
                    break
        return evicted

    def _victims(
        self, excess: int, newcomer: AccessRecord | None, clock: int
    ) -> list[ExtentRow] | None:
        """At least `excess` bytes, and some more if these are worth less than the newcomer too."""
        sample = self.sample()
        for size_bytes in (excess + _STEP_BYTES, excess):
            victims = self._policy.choose(sample, size_bytes, clock, newcomer)
            if victims:
                return victims
        return None

    def sample(self) -> list[Candidate[ExtentRow]]:
        """Return resident extents drawn at random."""
        return self._queries.sample(_SAMPLE, self._random.randint)

    def remove(self, extents: list[ExtentRow], evicted: Evicted) -> bool:
        """Evict these extents, less those in use or pinned. False when none could be."""
        taken = self._index.take(extents)
        evicted.extents += [extent.row for extent in taken]
        failure: OSError | sqlite3.Error | None = None
        for extent in taken:
            try:
                self._finish(extent.intent)
            except (OSError, sqlite3.Error) as error:
                # The others have intents that want to be ended, too.
                failure = error
            else:
                evicted.freed_bytes += extent.freed_bytes
        if failure is not None:
            raise failure
        return bool(taken)
