"""Checksums of a stored block: one per chunk, tied to the block's identity.

A chunk can be checked without reading the rest, so a small random read costs a small disk read.
The seed is made from the object version and the block index: right bytes in the wrong place do not
match. Pure functions; they hold no lock and may run in any thread.
"""

from __future__ import annotations

import struct

import xxhash

from cloudfs_cache.api import Buffer

CHUNK_BYTES = 64 << 10
"""Unit that is read and checked on its own; the last chunk of a block may be shorter."""

_SUM = struct.Struct("<I")
_MASK = 0xFFFFFFFF


def block_seed(digest: bytes, index: int) -> int:
    """The seed of block `index` of the version that `digest` (16 bytes) names."""
    return (int.from_bytes(digest[:8], "little") + index) & 0xFFFFFFFFFFFFFFFF


def chunk_checksums(stored: Buffer, seed: int) -> bytes:
    """The low 32 bits of xxh3-64 of each checksum chunk, 4 bytes each, little-endian."""
    view = memoryview(stored)
    return b"".join(
        _SUM.pack(xxhash.xxh3_64_intdigest(view[at : at + CHUNK_BYTES], seed) & _MASK)
        for at in range(0, len(view), CHUNK_BYTES)
    )


def chunks_match(stored: Buffer, seed: int, checksums: bytes, first: int = 0) -> bool:
    """Whether `stored`, which begins with checksum chunk `first`, is what `sums` were made from."""
    found = chunk_checksums(stored, seed)
    return found == checksums[first * _SUM.size : first * _SUM.size + len(found)]
