"""Records of stored blocks, and where the files of an object are."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cloudfs_cache.disk.format.codec import Codec

EXTENT_BLOCKS = 64
"""Adjacent blocks that are evicted together; a small object is one extent."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """How a block is stored: `stored` bytes in `codec`, with one checksum per chunk."""

    stored: int
    codec: Codec
    checksums: bytes


@dataclass(frozen=True, slots=True)
class ObjectFiles:
    """The data files of an object: blocks as they are, and blocks that were recompressed."""

    raw: str
    recompressed: str

    def of(self, codec: Codec) -> str:
        """The file that holds blocks of this codec."""
        return self.raw if codec is Codec.RAW else self.recompressed


def object_files(objects_directory: str, digest: bytes) -> ObjectFiles:
    """The paths of a version's files."""
    name = digest.hex()
    base = os.path.join(objects_directory, name[:2], name)
    return ObjectFiles(base + ".raw", base + ".lz4")
