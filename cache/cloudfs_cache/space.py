"""How much the SSD tier may occupy: a byte limit and a floor of free space on the file system.

Owned by the trio loop. `statvfs` is asked at most once a second; what was written since is
estimated from the tier's own reservations.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

_STATVFS_INTERVAL_S = 1.0
_FREE_FRACTION = 0.8
_FLOOR_BYTES = 1 << 30
_FLOOR_FRACTION = 0.05


@dataclass(frozen=True, slots=True)
class SpaceLimits:
    """Bytes the tier may occupy, and bytes of the file system it leaves free."""

    capacity_bytes: int
    min_free_bytes: int


def derive_limits(
    directory: str, capacity_bytes: int | None, min_free_bytes: int | None, used_bytes: int
) -> SpaceLimits:
    """Fill in what was not given: leave max(1 GiB, 5 %) free, use 80 % of the rest."""
    disk = os.statvfs(directory)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if min_free_bytes is None:
        min_free_bytes = max(_FLOOR_BYTES, int(total * _FLOOR_FRACTION))
    if capacity_bytes is None:
        capacity_bytes = max(0, int((free + used_bytes - min_free_bytes) * _FREE_FRACTION))
    return SpaceLimits(capacity_bytes, min_free_bytes)


class Space:
    """Counts what is used and says how much must go before more can be written."""

    def __init__(self, directory: str, limits: SpaceLimits, used_bytes: int) -> None:
        self._directory = directory
        self.limits = limits
        self.used_bytes = used_bytes
        self._free_bytes = 0
        self._asked_at = float("-inf")

    def free_bytes(self) -> int:
        """Free bytes of the file system, at most a second old."""
        now = time.monotonic()
        if now - self._asked_at >= _STATVFS_INTERVAL_S:
            disk = os.statvfs(self._directory)
            self._free_bytes = disk.f_bavail * disk.f_frsize
            self._asked_at = now
        return self._free_bytes

    def excess(self, wanted_bytes: int) -> int:
        """Bytes that must be evicted before `wanted_bytes` can be written; 0 if they fit."""
        over_limit = self.used_bytes + wanted_bytes - self.limits.capacity_bytes
        under_floor = self.limits.min_free_bytes + wanted_bytes - self.free_bytes()
        return max(0, over_limit, under_floor)

    def reserve(self, wanted_bytes: int) -> None:
        """Count bytes that are about to be written."""
        self.used_bytes += wanted_bytes
        self._free_bytes -= wanted_bytes

    def release(self, freed_bytes: int) -> None:
        """Count bytes that were evicted or not written after all."""
        self.used_bytes -= freed_bytes
        self._free_bytes += freed_bytes
