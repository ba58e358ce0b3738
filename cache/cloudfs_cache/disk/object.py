"""One disk's copy of one object version, as this mount knows it. Owned by the trio loop.

The truth is the index of the cache directory, which other mounts change too: a record here may be
out of date, and then the bytes do not match its checksums.
"""

from __future__ import annotations

import zlib

from cloudfs_cache.api import ObjectVersion, Placement, key_bytes
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, BlockRecord
from cloudfs_cache.eviction.policy import AccessRecord


class DiskObject:
    """Records of the blocks and accesses of one version in one cache directory.

    `object_id` is its row in the index, None until a block was written.
    """

    __slots__ = (
        "accesses",
        "digest",
        "group",
        "object_id",
        "placement",
        "records",
        "version",
    )

    def __init__(self, version: ObjectVersion, placement: Placement) -> None:
        self.version = version
        self.placement = placement
        self.group = _group_of(version)
        self.digest = bytes.fromhex(version.digest())
        self.object_id: int | None = None
        self.records: dict[int, BlockRecord] = {}
        self.accesses: dict[int, AccessRecord] = {}

    def extent_blocks(self, number: int) -> range:
        """The indices of the blocks of an extent."""
        first = number * EXTENT_BLOCKS
        return range(first, min(first + EXTENT_BLOCKS, self.version.block_count))


def _group_of(version: ObjectVersion) -> int:
    """0 to 255, the same for objects that are probably of one dataset: same store, same first
    directory. (Two levels would make a group of each case of a dataset.)"""
    name = f"{version.store_id}/{version.key.partition('/')[0]}"
    return zlib.crc32(key_bytes(name)) & 0xFF
