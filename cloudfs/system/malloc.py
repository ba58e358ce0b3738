"""Tuning of glibc's malloc, so that it keeps freed chunks instead of returning them to the kernel.

Chunks from the network are allocated and freed thousands of times a second; with the default
thresholds many of them are mapped and unmapped each time, and the first touch of a fresh page costs
more than the copy. Few arenas keep the total small. No effect on other C libraries.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def tune_malloc() -> None:
    """Set the thresholds of this process; to be called once, before threads are started."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 4)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
