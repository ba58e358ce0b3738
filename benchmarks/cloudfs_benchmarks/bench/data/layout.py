"""How many files of which sizes a data set of the run's own has. Pure.

large/large_N.bin    45 %  throughput and random access; incompressible
small/PP/small_N.bin  5 %  opens; 4 KiB to 1 MiB, as many of each octave
cases/run_N/         25 %  training: the cases of `cloudfs_benchmarks.dataset` with a Zarr group
huge/fields.h5       12 %  training: rows of one contiguous and of one chunked array
huge/rows.npy        12 %  training: runs of rows of a memory-mapped array
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

SMALL_COUNT_MAX = 2000
_SMALL_MIN = 4 * KIB
_SMALL_MAX = MIB

_LARGE_SHARE = 0.45
_SMALL_SHARE = 0.05
_CASES_SHARE = 0.25

_LARGE_COUNT_MIN = 4
_LARGE_COUNT_USUAL = 16
_LARGE_COMFORTABLE = 64 * MIB
_LARGE_MAX = 2 * GIB

_CASE_COMFORTABLE = 4 * MIB
_CASE_MAX = 64 * MIB
_CASE_COUNT_MIN = 4
_CASE_COUNT_USUAL = 256


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in bytes. `large` and `small` have one per file; cases are all alike."""

    large: tuple[int, ...]
    small: tuple[int, ...]
    cases: int
    case_bytes: int
    huge_hdf5: int
    huge_npy: int


def lay_out(size_bytes: int, seed: int) -> Layout:
    """Files that come to about `size_bytes`; the same arguments give the same files."""
    small = _small_sizes(int(size_bytes * _SMALL_SHARE), seed)
    # What the bound on the number of small files leaves over goes to the large ones.
    large_bytes = int(size_bytes * (_LARGE_SHARE + _SMALL_SHARE)) - sum(small)
    cases_bytes = int(size_bytes * _CASES_SHARE)
    cases = _bounded(cases_bytes // _CASE_COMFORTABLE, _CASE_COUNT_MIN, _CASE_COUNT_USUAL)
    cases = max(cases, -(-cases_bytes // _CASE_MAX))
    huge = size_bytes - large_bytes - sum(small) - cases_bytes
    return Layout(
        large=_large_sizes(large_bytes),
        small=small,
        cases=cases,
        case_bytes=cases_bytes // cases,
        huge_hdf5=huge // 2,
        huge_npy=huge - huge // 2,
    )


def _large_sizes(total: int) -> tuple[int, ...]:
    """Few enough to be large, and enough for several readers and for fresh files per trial."""
    count = _bounded(total // _LARGE_COMFORTABLE, _LARGE_COUNT_MIN, _LARGE_COUNT_USUAL)
    count = max(count, -(-total // _LARGE_MAX))
    return (total // count,) * count


def _small_sizes(total: int, seed: int) -> tuple[int, ...]:
    chooser = random.Random(seed)
    sizes: list[int] = []
    left = total
    while left >= _SMALL_MIN and len(sizes) < SMALL_COUNT_MAX:
        drawn = math.exp(chooser.uniform(math.log(_SMALL_MIN), math.log(_SMALL_MAX)))
        sizes.append(min(int(drawn), left))
        left -= sizes[-1]
    return tuple(sizes)


def _bounded(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
