"""Limits of a cache directory: a size, a floor of free space, and room for recompression."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudfs_cache.disk.capacity import Capacity, CapacityLimits, derive_limits
from tests.support import disks

MIB = 1 << 20


def capacity(path: Path, capacity: int, floor: int = 0, *, recompression: bool = False) -> Capacity:
    return Capacity(str(path), CapacityLimits(capacity, floor), recompression=recompression)


def test_what_does_not_fit_is_in_excess(tmp_path: Path) -> None:
    limited = capacity(tmp_path, 100 * MIB)
    assert limited.excess(90 * MIB, 10 * MIB) == 0
    assert limited.excess(90 * MIB, 11 * MIB) == MIB
    assert limited.excess(120 * MIB, 0) == 20 * MIB


def test_recompressing_may_use_the_spare_room_that_writes_may_not(tmp_path: Path) -> None:
    limited = capacity(tmp_path, 64 * MIB, recompression=True)
    assert limited.spare_bytes == 4 * MIB
    assert limited.excess(60 * MIB, 0) == 0
    assert limited.excess(60 * MIB, MIB) == MIB
    assert limited.fits_with_spare(60 * MIB, 4 * MIB)
    assert not limited.fits_with_spare(60 * MIB, 5 * MIB)
    assert capacity(tmp_path, 1 << 40, recompression=True).spare_bytes == 8 * MIB
    assert capacity(tmp_path, 3 * MIB, recompression=True).spare_bytes == 0


def test_the_floor_counts_what_is_announced(tmp_path: Path) -> None:
    if reason := disks.why_no_tmpfs():
        pytest.skip(reason)
    with disks.small_tmpfs(tmp_path / "disk", 32 * MIB) as disk:
        free = disk.free_bytes()
        limited = capacity(disk.path, 1 << 40, free - 10 * MIB)
        assert limited.excess(0, 10 * MIB) == 0
        assert limited.excess(0, 11 * MIB) == MIB
        assert limited.excess(0, 8 * MIB, announced_bytes=4 * MIB) == 2 * MIB
        assert limited.fits_with_spare(0, 10 * MIB)
        assert not limited.fits_with_spare(0, 8 * MIB, announced_bytes=4 * MIB)
        disk.fill(free - 16 * MIB)
        assert limited.excess(0, 0) == 6 * MIB


def test_limits_are_derived_from_the_free_space(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    found = derive_limits(str(tmp_path), None, None, 5 << 30)
    assert found.min_free_bytes == max(1 << 30, int(total * 0.05))
    expected = (free + (5 << 30) - found.min_free_bytes) * 0.8
    assert found.capacity_bytes == pytest.approx(expected, rel=0.01)
    assert derive_limits(str(tmp_path), 7, 8, 0) == CapacityLimits(7, 8)
    assert derive_limits(str(tmp_path), None, 1 << 60, 0).capacity_bytes == 0
