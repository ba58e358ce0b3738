"""The index file beside each data file of the SSD tier: which blocks it holds, with checksums.

    magic        8 bytes   b"cloudfs" and the format number
    length       u32       of the identity
    identity     JSON      {"url", "key", "etag", "size", "block_bytes"}
    records      16 bytes each, appended: u32 block index, u32 state, u64 xxh3 of the block's bytes

Integers are little-endian. The last record of a block counts: state 1 means present, 0 evicted.
A record is appended after the block's bytes were written, so a crash in between loses the block; a
record whose bytes did not reach the disk is found out by its checksum. Pure encoding and decoding.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion

FORMAT = 1
_MAGIC = b"cloudfs" + bytes([FORMAT])
_LENGTH = struct.Struct("<I")
_RECORD = struct.Struct("<IIQ")


def encode_header(version: ObjectVersion) -> bytes:
    """Everything that stands in front of the records."""
    identity = json.dumps(
        {
            "url": version.store_url,
            "key": version.key,
            "etag": version.etag,
            "size": version.size,
            "block_bytes": BLOCK_BYTES,
        }
    ).encode("ascii")
    return _MAGIC + _LENGTH.pack(len(identity)) + identity


def encode_present(checksums: Iterable[tuple[int, int]]) -> bytes:
    """Records of blocks that were written: (block index, checksum) each."""
    return b"".join(_RECORD.pack(index, 1, checksum) for index, checksum in checksums)


def encode_evicted(indices: Iterable[int]) -> bytes:
    """Records of blocks that are gone."""
    return b"".join(_RECORD.pack(index, 0, 0) for index in indices)


def decode(data: bytes, version: ObjectVersion) -> tuple[dict[int, int], int] | None:
    """Return the checksums of the blocks present and the length of the sound part of the file.

    None when the file belongs to another version or is damaged. A torn last record is left out of
    the sound length: the caller cuts the file there before it appends.
    """
    header = encode_header(version)
    if not data.startswith(header):
        return None
    sound = len(data) - (len(data) - len(header)) % _RECORD.size
    checksums: dict[int, int] = {}
    for index, state, checksum in _RECORD.iter_unpack(data[len(header) : sound]):
        if index >= version.block_count:
            return None
        if state:
            checksums[index] = checksum
        else:
            checksums.pop(index, None)
    return checksums, sound


def decode_indices(data: bytes) -> set[int]:
    """The blocks that an index of any version says are present; empty when it is damaged.

    For the scan at start-up, which only counts.
    """
    if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + _LENGTH.size:
        return set()
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    start = len(_MAGIC) + _LENGTH.size + length
    body = data[start:]
    present: set[int] = set()
    for index, state, _ in _RECORD.iter_unpack(body[: len(body) - len(body) % _RECORD.size]):
        if state:
            present.add(index)
        else:
            present.discard(index)
    return present
