"""Checksums of what is stored of a block: one per piece, tied to the block's identity.

A piece can be checked without reading the rest, so a small random read costs a small disk read.
The seed is made from the object version and the block index: right bytes in the wrong place do not
match. Pure functions; they hold no lock and may run in any thread.
"""

from __future__ import annotations

import struct

import xxhash

from cloudfs_cache.api import Buffer

PIECE_BYTES = 64 << 10
"""Unit that can be read and checked on its own; the last piece of a block may be shorter."""

_SUM = struct.Struct("<I")
_MASK = 0xFFFFFFFF


def block_seed(digest: bytes, index: int) -> int:
    """The seed of block `index` of the version that `digest` (16 bytes) names."""
    return (int.from_bytes(digest[:8], "little") + index) & 0xFFFFFFFFFFFFFFFF


def piece_sums(stored: Buffer, seed: int) -> bytes:
    """The low 32 bits of xxh3-64 of each piece, 4 bytes each, little-endian."""
    view = memoryview(stored)
    return b"".join(
        _SUM.pack(xxhash.xxh3_64_intdigest(view[at : at + PIECE_BYTES], seed) & _MASK)
        for at in range(0, len(view), PIECE_BYTES)
    )


def pieces_match(stored: Buffer, seed: int, sums: bytes, first: int = 0) -> bool:
    """Whether `stored`, which begins with piece `first`, is what `sums` were made from."""
    found = piece_sums(stored, seed)
    return found == sums[first * _SUM.size : first * _SUM.size + len(found)]
