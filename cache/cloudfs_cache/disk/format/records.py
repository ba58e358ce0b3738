"""What one disk holds of one object version, as this mount knows it. Owned by the trio loop.

The truth is the index of the cache directory (disk_index.py), which other mounts change too: a
record here may be out of date, and then the bytes do not match its checksums.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

from cloudfs_cache.api import ObjectVersion, Placement, key_bytes
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.eviction.policy import VisitRecord

EXTENT_BLOCKS = 64
"""Adjacent blocks that are evicted together; a small object is one extent."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """How a block is stored: `stored` bytes in `codec`, with the checksums of their pieces."""

    stored: int
    codec: Codec
    sums: bytes


class DiskObject:
    """Records of the blocks and visits of one version in one cache directory.

    `object_id` is its row in the index, None until a block was written; `disk` says which of
    several disks it is on.
    """

    __slots__ = (
        "__weakref__",
        "digest",
        "disk",
        "group",
        "object_id",
        "placement",
        "records",
        "version",
        "visits",
    )

    def __init__(self, version: ObjectVersion, placement: Placement) -> None:
        self.version = version
        self.placement = placement
        self.group = _group_of(version)
        self.digest = bytes.fromhex(version.digest())
        self.disk = 0
        self.object_id: int | None = None
        self.records: dict[int, BlockRecord] = {}
        self.visits: dict[int, VisitRecord] = {}

    def extent_blocks(self, number: int) -> range:
        """The indices of the blocks of an extent."""
        first = number * EXTENT_BLOCKS
        return range(first, min(first + EXTENT_BLOCKS, self.version.block_count))


@dataclass(frozen=True, slots=True)
class ObjectFiles:
    """The data files of an object: blocks as they are, and blocks that were recoded."""

    raw: str
    recoded: str

    def of(self, codec: Codec) -> str:
        """The file that holds blocks of this codec."""
        return self.raw if codec is Codec.RAW else self.recoded


def object_files(objects_directory: str, digest: bytes) -> ObjectFiles:
    """The paths of a version's files."""
    name = digest.hex()
    base = os.path.join(objects_directory, name[:2], name)
    return ObjectFiles(base + ".raw", base + ".lz4")


def _group_of(version: ObjectVersion) -> int:
    """0 to 255, the same for objects that are probably of one dataset: same store, same first
    directory. (Two levels would make a group of each case of a dataset.)"""
    name = f"{version.store_id}/{version.key.partition('/')[0]}"
    return zlib.crc32(key_bytes(name)) & 0xFF
