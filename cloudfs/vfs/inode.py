"""Inodes: what the kernel holds numbers of.

A file's inode stands for one version of one object, for ever: when the object is overwritten its
name gets a new inode, as rename(2) over a file would do. So everything the kernel caches by inode
(pages, size, mappings) can never mix two versions, and pages may be kept across opens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs.vfs.metadata.listing import DirectoryListing
from cloudfs_backends.api import ObjectInfo


@dataclass(slots=True, eq=False)
class Inode:
    """A file or a directory. Moments are seconds of the tree's clock.

    `info` is the object that the store has for it, if there is one. `validated_at` is when the
    request was sent that last confirmed it. `lookups` counts the kernel's references, `opens` the
    open handles. `is_stale`: the name is gone, or stands for another inode now.

    Of directories: `children` are the inodes of those entries that the kernel knows, `listing` the
    last listing, `lookups_since_listing` the lookups that it did not answer, and `loaded_at` when
    the persistent cache was last asked for it.
    """

    ino: int
    parent: Inode | None
    name: bytes
    key: str
    kind: InodeKind
    info: ObjectInfo | None = None
    validated_at: float = -math.inf
    lookups: int = 0
    opens: int = 0
    is_stale: bool = False
    children: dict[bytes, Inode] = field(default_factory=dict)
    listing: DirectoryListing | None = None
    lookups_since_listing: int = 0
    loaded_at: float = -math.inf

    @property
    def is_directory(self) -> bool:
        """Whether it may have children."""
        return self.kind is InodeKind.DIRECTORY

    def matches(self, entry: DirectoryEntry) -> bool:
        """Return whether an entry of its name shows this inode: same kind, same version."""
        return self.kind is entry.kind and is_same_version(self.info, entry.info)

    def update(self, info: ObjectInfo | None) -> None:
        """Take the metadata that a newer response shows of the same version."""
        known = self.info
        # A listing shows less than a HEAD.
        if info is None or known is None or info.has_metadata or not known.has_metadata:
            self.info = info

    def add_metadata(self, info: ObjectInfo | None) -> None:
        """Take from an older response the metadata that is missing, if the version is the same."""
        known = self.info
        if info is None or known is None or known.has_metadata:
            return
        if info.has_metadata and is_same_version(known, info):
            self.info = info

    def drop_listing(self) -> None:
        """Forget the last listing of a directory."""
        self.listing, self.lookups_since_listing = None, 0


def is_same_version(old: ObjectInfo | None, new: ObjectInfo | None) -> bool:
    """Return whether both are the same version of one object, or both no object."""
    if old is None or new is None:
        return old is new
    return old.etag == new.etag and old.size == new.size
