"""Compression ratios of what was tried, with what the cache uses among it.

Each block is compressed by one method, whether it saves or not: the sums show what a method is
worth by itself, without a probe and without rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lz4.block
import numpy as np
from numcodecs import blosc

Method = Callable[[bytes], bytes]


def _lz4(block: bytes, **options: object) -> bytes:
    return bytes(lz4.block.compress(block, store_size=False, **options))


def _shuffled(block: bytes, stride: int) -> bytes:
    source = np.frombuffer(block, np.uint8)
    whole = len(source) - len(source) % stride
    planes = source[:whole].reshape(-1, stride).T
    return planes.tobytes() + source[whole:].tobytes()


def _byte_delta(block: bytes) -> bytes:
    source = np.frombuffer(block, np.uint8)
    return np.diff(source, prepend=np.uint8(0)).tobytes()


def _word_xor(block: bytes) -> bytes:
    words = np.frombuffer(block, "<u4", count=len(block) // 4)
    changed = words.copy()
    changed[1:] ^= words[:-1]
    return changed.tobytes()


def _blosc(block: bytes, name: bytes, level: int, mode: int) -> bytes:
    words = np.frombuffer(block, "<u4", count=len(block) // 4)
    return bytes(blosc.compress(words, name, level, mode))


def _stride(stride: int) -> Method:
    return lambda block: _lz4(_shuffled(block, stride))


METHODS: dict[str, Method] = {
    "lz4": _lz4,
    "lz4 fast 8": lambda block: _lz4(block, mode="fast", acceleration=8),
    **{f"shuffle {stride}": _stride(stride) for stride in (2, 4, 8, 12, 16, 24, 50)},
    "shuffle 4, byte delta": lambda block: _lz4(_byte_delta(_shuffled(block, 4))),
    "xor, shuffle 4": lambda block: _lz4(_shuffled(_word_xor(block), 4)),
    "bit shuffle 4": lambda block: _blosc(block, b"lz4", 5, blosc.BITSHUFFLE),
    "shuffle 4, zstd 1": lambda block: _blosc(block, b"zstd", 1, blosc.SHUFFLE),
}


def ratios(blocks: Sequence[bytes]) -> dict[str, float]:
    """Raw bytes over compressed bytes by method."""
    raw = sum(map(len, blocks))
    return {
        name: raw / sum(len(method(block)) for block in blocks) for name, method in METHODS.items()
    }
