"""Inode table: numbers, their inodes, and how long each lives. Owned by the trio loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloudfs.vfs.inode import Inode
from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind

ROOT_INO: Final = 1


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
        stale and lives on while the kernel or a handle uses it.
        """
        known = parent.children.get(entry.name)
        if known is not None:
            if known.matches(entry):
                known.update(entry.info)
                return known
            self.mark_stale(known)
        key = entry.key_in(parent.key)
        inode = Inode(self._next, parent, entry.name, key, entry.kind, entry.info)
        self._next += 1
        self._inodes[inode.ino] = inode
        parent.children[entry.name] = inode
        return inode

    def mark_stale(self, inode: Inode) -> None:
        """Separate an inode from its name, which is gone or stands for another one."""
        inode.is_stale = True
        if inode.parent is not None and inode.parent.children.get(inode.name) is inode:
            del inode.parent.children[inode.name]
        self.collect(inode)

    def forget(self, ino: int, lookups: int) -> None:
        """Take `lookups` references back from the kernel."""
        inode = self._inodes.get(ino)
        if inode is not None and inode is not self.root:
            inode.lookups -= lookups
            self.collect(inode)

    def close(self, inode: Inode) -> None:
        """Count one open handle of an inode less."""
        inode.opens -= 1
        self.collect(inode)

    def collect(self, inode: Inode) -> None:
        """Remove an inode that nothing uses, and the directories that lived for it alone."""
        while inode is not self.root and not (inode.lookups > 0 or inode.opens or inode.children):
            self._inodes.pop(inode.ino, None)
            parent = inode.parent
            assert parent is not None
            if parent.children.get(inode.name) is inode:
                del parent.children[inode.name]
            inode = parent
