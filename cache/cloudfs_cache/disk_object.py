"""What the SSD tier holds of one object version. Owned by the trio loop.

`checksums` maps the index of each block on disk to the xxh3 of its bytes; only the loop changes it.
`lock` serialises writes and evictions of the object; reads need no lock, because a block that was
evicted meanwhile no longer matches its checksum.
"""

from __future__ import annotations

import os

import trio

from cloudfs_cache.api import ObjectVersion

EXTENT_BLOCKS = 64


class DiskObject:
    """Paths and block checksums of one version."""

    __slots__ = ("__weakref__", "checksums", "data_path", "digest", "index_path", "lock", "version")

    def __init__(self, objects_directory: str, version: ObjectVersion) -> None:
        self.version = version
        self.digest = version.digest()
        self.data_path, self.index_path = object_paths(objects_directory, self.digest)
        self.checksums: dict[int, int] = {}
        self.lock = trio.Lock()


def object_paths(objects_directory: str, digest: str) -> tuple[str, str]:
    """The data and the index file of a version."""
    base = os.path.join(objects_directory, digest[:2], digest)
    return base + ".data", base + ".index"
