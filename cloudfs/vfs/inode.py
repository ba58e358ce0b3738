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
    """A file or a directory; `info` is the object that the store has for it, if it has one.

    `lookups` counts the kernel's references, `opens` the open handles, `checked_at` is when the
    store last confirmed it (seconds of the loop's clock). `superseded` says that the name now
    stands for something else. A directory has its last `listing`, in `asked` how many of its names
    were asked for since, and in `children` the inodes of those entries that the kernel knows.
    """

    ino: int
    parent: Inode | None
    name: bytes
    key: str
    kind: InodeKind
    info: ObjectInfo | None = None
    checked_at: float = -math.inf
    lookups: int = 0
    opens: int = 0
    superseded: bool = False
    children: dict[bytes, Inode] = field(default_factory=dict)
    listing: DirectoryListing | None = None
    asked: int = 0
    recalled_at: float = -math.inf

    @property
    def is_directory(self) -> bool:
        """It may have children."""
        return self.kind is InodeKind.DIRECTORY

    def shows(self, entry: DirectoryEntry) -> bool:
        """Return whether an entry of this name leads to this inode: same kind, same version."""
        return self.kind is entry.kind and is_same_version(self.info, entry.info)

    def update(self, info: ObjectInfo | None) -> None:
        """Take the metadata that a newer response shows of the same version."""
        known = self.info
        # A listing shows less than a HEAD.
        if info is None or known is None or info.has_metadata or not known.has_metadata:
            self.info = info

    def add_metadata(self, info: ObjectInfo | None) -> None:
        """Take metadata that was missing from an older response, if it is about this version."""
        known = self.info
        if info is None or known is None or known.has_metadata:
            return
        if info.has_metadata and is_same_version(known, info):
            self.info = info


def is_same_version(old: ObjectInfo | None, new: ObjectInfo | None) -> bool:
    """Return whether both are the same version of one object, or both no object."""
    if old is None or new is None:
        return old is new
    return old.etag == new.etag and old.size == new.size
