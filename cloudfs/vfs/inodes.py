"""Inodes: what the kernel holds a number for, and for how long.

Owned by the trio loop. A file's inode stands for one version of one object, for ever: when the
object is overwritten its name gets a new inode, as rename(2) over a file would do. So everything
the kernel caches by inode (pages, size, mappings) can never mix two versions, and pages may be kept
across opens without asking.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs.vfs.metadata.listing import DirectoryListing
from cloudfs_backends.api import ObjectInfo

ROOT_INO = 1


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

    def learn(self, info: ObjectInfo | None) -> None:
        """Take what an answer, also an older one, tells of the same version: its metadata."""
        if is_same_version(self.info, info):
            self.info = _better_known(info, self.info)


class InodeTable:
    """Numbers and their inodes. An inode lives while it is referenced, open, or has children."""

    def __init__(self) -> None:
        self.root = Inode(ROOT_INO, None, b"", "", InodeKind.DIRECTORY, lookups=1)
        self._inodes: dict[int, Inode] = {ROOT_INO: self.root}
        self._next = ROOT_INO + 1

    def __len__(self) -> int:
        return len(self._inodes)

    def __contains__(self, ino: object) -> bool:
        return ino in self._inodes

    def __iter__(self) -> Iterator[Inode]:
        return iter(self._inodes.values())

    def get(self, ino: int) -> Inode:
        """Return a live inode. KeyError means the kernel used a number it had given back."""
        return self._inodes[ino]

    def find(self, key: str) -> Inode | None:
        """Return the inode of a path below the root ("" is the root), if there is one now."""
        inode: Inode | None = self.root
        for part in key.split("/") if key else ():
            inode = None if inode is None else inode.children.get(names.to_name(part))
        return inode

    def below(self, top: Inode) -> Iterator[Inode]:
        """Yield the inodes below one, each after the directory it is in."""
        waiting = list(top.children.values())
        while waiting:
            inode = waiting.pop()
            yield inode
            waiting.extend(inode.children.values())

    def enter(self, parent: Inode, entry: DirectoryEntry) -> Inode:
        """Return the inode of a directory entry as the store shows it now.

        The existing one while its kind and version are the same, else a new one; the old one is
        superseded and lives on for those who hold it.
        """
        known = parent.children.get(entry.name)
        if known is not None:
            if known.shows(entry):
                known.info = _better_known(known.info, entry.info)
                return known
            self.supersede(known)
        key = entry.key_in(parent.key)
        inode = Inode(self._next, parent, entry.name, key, entry.kind, entry.info)
        self._next += 1
        self._inodes[inode.ino] = inode
        parent.children[entry.name] = inode
        return inode

    def supersede(self, inode: Inode) -> None:
        """The name no longer stands for this inode."""
        inode.superseded = True
        if inode.parent is not None and inode.parent.children.get(inode.name) is inode:
            del inode.parent.children[inode.name]
        self._collect(inode)

    def forget(self, ino: int, lookups: int) -> None:
        """The kernel gives `lookups` references back."""
        inode = self._inodes.get(ino)
        if inode is not None and inode is not self.root:
            inode.lookups -= lookups
            self._collect(inode)

    def closed(self, inode: Inode) -> None:
        """A handle of the inode was closed."""
        inode.opens -= 1
        self._collect(inode)

    def drop_unreferenced(self, inode: Inode) -> None:
        """Remove an inode that was entered but not handed to the kernel after all."""
        self._collect(inode)

    def _collect(self, inode: Inode) -> None:
        while inode is not self.root and not (inode.lookups > 0 or inode.opens or inode.children):
            self._inodes.pop(inode.ino, None)
            parent = inode.parent
            assert parent is not None
            if parent.children.get(inode.name) is inode:
                del parent.children[inode.name]
            inode = parent


def is_same_version(old: ObjectInfo | None, new: ObjectInfo | None) -> bool:
    """Return whether both are the same version of one object, or both no object."""
    if old is None or new is None:
        return old is new
    return old.etag == new.etag and old.size == new.size


def _better_known(old: ObjectInfo | None, new: ObjectInfo | None) -> ObjectInfo | None:
    """A listing knows less than a HEAD: do not lose the metadata of the same version."""
    if old is not None and new is not None and old.has_metadata and not new.has_metadata:
        return old
    return new
