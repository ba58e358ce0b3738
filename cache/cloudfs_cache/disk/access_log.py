"""Access log of one disk: accesses to extents that the index has not recorded yet.

Each access changes the record in the object at once, so that eviction sees it; the index gets
batches. The clock counts bytes that readers were given, by all mounts of the directory: between two
batches it goes on with this mount's own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from cloudfs_cache.api import ObjectVersion
from cloudfs_cache.disk.access_trace import AccessTrace
from cloudfs_cache.disk.evictor import SharedPolicy
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS
from cloudfs_cache.disk.object import DiskObject
from cloudfs_cache.eviction.policy import AccessRecord, EvictionPolicy

PENDING_MAX: Final = 65_536
"""Extents of which the index may have old records; more are dropped."""


@dataclass(frozen=True, slots=True)
class AccessBatch:
    """One batch for the index."""

    accesses: list[tuple[ObjectVersion, bytes, int, AccessRecord]]
    clock_bytes: int


@dataclass(frozen=True, slots=True)
class _Access:
    """An access that the policy has not learnt from yet."""

    obj: DiskObject
    number: int
    clock: int
    resident: bool


class AccessLog:
    """Turns accesses into records."""

    def __init__(self, policy: SharedPolicy, clock: int, trace: AccessTrace | None = None) -> None:
        self._policy = policy
        self.trace = trace
        self._clock_base = clock
        self._clock_bytes = 0
        self._waiting: deque[_Access] = deque()
        self._changed: dict[tuple[bytes, int], tuple[ObjectVersion, AccessRecord]] = {}

    @property
    def clock(self) -> int:
        """Bytes given to readers so far."""
        return self._clock_base + self._clock_bytes

    def note(self, obj: DiskObject, index: int, size_bytes: int, *, resident: bool) -> None:
        """A reader was given `size_bytes` of block `index`, from the disk if it was `resident`."""
        self._clock_bytes += size_bytes
        if len(self._waiting) < PENDING_MAX:
            self._waiting.append(_Access(obj, index // EXTENT_BLOCKS, self.clock, resident))
        with self._policy.at_once() as policy:
            while policy is not None and self._waiting:
                self._learn(policy, self._waiting.popleft())

    def _learn(self, policy: EvictionPolicy, access: _Access) -> None:
        obj, number = access.obj, access.number
        known = obj.accesses.get(number)
        record = policy.access(known, access.clock, obj.group, resident=access.resident)
        if self.trace is not None and (known is None or record.accesses != known.accesses):
            self.trace.note(obj, number)
        if record is not known:
            obj.accesses[number] = record
            if len(self._changed) < PENDING_MAX:
                self._changed[(obj.digest, number)] = (obj.version, record)

    def record(self, obj: DiskObject, number: int) -> AccessRecord:
        """The record of an extent that is about to be written."""
        return obj.accesses.get(number) or AccessRecord(self.clock, 0, 1, obj.group)

    def take(self) -> AccessBatch:
        """Return what changed. It is lost if the index cannot be written: hints, not data."""
        accesses = [
            (version, digest, number, record)
            for (digest, number), (version, record) in self._changed.items()
        ]
        batch = AccessBatch(accesses, self._clock_bytes)
        self._changed.clear()
        self._clock_base += self._clock_bytes
        self._clock_bytes = 0
        return batch

    def agree(self, clock: int) -> None:
        """Set the clock to that of all mounts, as the index has it."""
        self._clock_base = clock
