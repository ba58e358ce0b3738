"""Capacity of a cache directory: a byte limit and a floor of free space on its disk.

What is used is counted by the index, for all mounts together. Every function asks the file system,
so they belong into worker threads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cloudfs_cache.api import BLOCK_BYTES

_FREE_FRACTION = 0.8
_FLOOR_BYTES = 1 << 30
_FLOOR_FRACTION = 0.05
_SPARE_BYTES = 8 << 20
_SPARE_SHARE = 16


@dataclass(frozen=True, slots=True)
class CapacityLimits:
    """Bytes the tier may occupy, and bytes of the file system it leaves free."""

    capacity_bytes: int
    min_free_bytes: int


def derive_limits(
    directory: str, capacity_bytes: int | None, min_free_bytes: int | None, used_bytes: int
) -> CapacityLimits:
    """Fill in what was not given: leave max(1 GiB, 5 %) free, use 80 % of the rest."""
    disk = os.statvfs(directory)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if min_free_bytes is None:
        min_free_bytes = max(_FLOOR_BYTES, int(total * _FLOOR_FRACTION))
    if capacity_bytes is None:
        capacity_bytes = max(0, int((free + used_bytes - min_free_bytes) * _FREE_FRACTION))
    return CapacityLimits(capacity_bytes, min_free_bytes)


class Capacity:
    """Says whether more can be written. Any thread may ask.

    `spare_bytes` of the capacity are left for recompression, which needs room before it makes any.
    """

    def __init__(self, directory: str, limits: CapacityLimits, *, recompression: bool) -> None:
        self._directory = directory
        self.limits = limits
        share = limits.capacity_bytes // _SPARE_SHARE
        self.spare_bytes = (
            min(_SPARE_BYTES, share // BLOCK_BYTES * BLOCK_BYTES) if recompression else 0
        )

    def free_bytes(self) -> int:
        """Free bytes of the file system now. Blocks for as long as the file system does."""
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    def excess(self, used_bytes: int, wanted_bytes: int, announced_bytes: int = 0) -> int:
        """Bytes that must go before `wanted_bytes` can be written beside `used_bytes`, or 0.

        `announced_bytes` of what is used may not be on the disk yet.
        """
        over_limit = used_bytes + wanted_bytes + self.spare_bytes - self.limits.capacity_bytes
        return max(0, over_limit, self._under_floor(wanted_bytes + announced_bytes))

    def fits_with_spare(self, used_bytes: int, wanted_bytes: int, announced_bytes: int = 0) -> bool:
        """Whether recompression may write `wanted_bytes` beside `used_bytes`."""
        within_limit = used_bytes + wanted_bytes <= self.limits.capacity_bytes
        return within_limit and self._under_floor(wanted_bytes + announced_bytes) <= 0

    def _under_floor(self, wanted_bytes: int) -> int:
        return self.limits.min_free_bytes + wanted_bytes - self.free_bytes()
