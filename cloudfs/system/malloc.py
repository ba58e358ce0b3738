"""Keeps glibc from giving freed memory back to the kernel between two chunks of data.

Chunks from the network are allocated and freed thousands of times a second; with the default
thresholds many of them are mapped and unmapped each time, and the first touch of a fresh page costs
more than the copy. Few arenas keep what is held small. No effect on other C libraries.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_freed_memory() -> None:
    """Call once at start-up, before threads are started."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 4)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
