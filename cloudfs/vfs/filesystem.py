"""The filesystem that FUSE shows: inodes, handles and bytes, without a word of FUSE.

Owned by the trio loop. Everything a kernel request can ask for is one method here; the FUSE layer
decodes, calls and encodes. Raises the errors of vfs.errors and of the store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence

from cloudfs.vfs.content import ObjectContents
from cloudfs.vfs.errors import (
    IsADirectoryEntryError,
    NotADirectoryEntryError,
    StaleObjectError,
)
from cloudfs.vfs.handles import DirectoryHandle, FileHandle, HandleTable
from cloudfs.vfs.inodes import Inode
from cloudfs.vfs.metadata.entries import DirectoryEntry
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ObjectChangedError, ObjectNotFoundError, ObjectStore
from cloudfs_cache.api import Buffer, KeyRange, ObjectVersion, Placement, WaitsFor
from cloudfs_cache.cache import TieredCache

log = logging.getLogger(__name__)

ETAG_XATTR = b"user.cloudfs.etag"
CACHED_XATTR = b"user.cloudfs.cached"


class FileSystem:
    """One mounted store. `read_ahead_bytes` bounds the window of one stream; `placement_of` says
    how the object of a key is to be cached; `count_local` finds the local bytes and all bytes below
    a directory, given its key without the slash."""

    def __init__(
        self,
        store: ObjectStore,
        tree: Tree,
        cache: TieredCache,
        *,
        read_ahead_bytes: int,
        placement_of: Callable[[str], Placement],
        count_local: Callable[[str], Awaitable[tuple[int, int]]],
    ) -> None:
        self.tree = tree
        self._store = store
        self._cache = cache
        self._contents = ObjectContents(
            cache, read_ahead_bytes=read_ahead_bytes, placement_of=placement_of
        )
        self._count_local = count_local
        self.files: HandleTable[FileHandle] = HandleTable()
        self._directories: HandleTable[DirectoryHandle] = HandleTable()
        # The inode of each `open` that waits for its content, as often as it is being opened.
        self._opening: list[Inode] = []

    async def lookup(self, parent_ino: int, name: bytes) -> Inode:
        """Return the inode of a name and count a reference of the kernel to it."""
        parent = self.tree.inodes.get(parent_ino)
        if name == b".":
            inode = parent
        elif name == b"..":
            inode = parent.parent or parent
        else:
            inode = await self.tree.lookup(parent, name)
        inode.lookups += 1
        return inode

    async def attributes(self, ino: int) -> Inode:
        """Return the inode with attributes as exact as this bucket allows."""
        inode = self.tree.inodes.get(ino)
        if not self.tree.attributes_final(inode) and not inode.superseded:
            await self.tree.refresh(inode)
        return inode

    async def open(self, ino: int, flags: int) -> int:
        """Open a file for reading and return its handle.

        Raises StaleObjectError when the inode's object was overwritten: the kernel then looks the
        name up again and opens the new version.
        """
        inode = self.tree.inodes.get(ino)
        if inode.is_directory:
            raise IsADirectoryEntryError(inode.key)
        await self.tree.revalidate(inode)
        if inode.superseded:
            raise StaleObjectError(inode.key)
        inode.opens += 1
        try:
            version = self._version(inode)
            self._opening.append(inode)
            try:
                content = await self._contents.open(version)
            finally:
                self._opening.remove(inode)
        except BaseException:
            self.tree.inodes.closed(inode)
            raise
        log.debug("open %r, etag %s, %d bytes", inode.key, version.etag, version.size)
        return self.files.add(FileHandle(inode, content, bool(flags & os.O_DIRECT)))

    def path_of(self, ino: int) -> str:
        """The path of an inode in the mount, "." for the root, for people; "" when it is gone."""
        if ino not in self.tree.inodes:
            return ""
        return self.tree.inodes.get(ino).key.rstrip("/") or "."

    def open_waits_for(self, ino: int) -> WaitsFor:
        """Return what an `open` of an inode, which has not returned, waits for."""
        is_opening = any(inode.ino == ino for inode in self._opening)
        return WaitsFor.DISK if is_opening else WaitsFor.STORE

    async def read(self, handle: FileHandle, offset: int, size: int) -> Buffer:
        """Wait for bytes that `read_nowait` of the content did not have."""
        try:
            return await handle.content.read(offset, size)
        except (ObjectChangedError, ObjectNotFoundError):
            self.tree.mark_changed(handle.inode)
            raise

    def release(self, handle: int) -> None:
        """Close a file handle."""
        file = self.files.remove(handle)
        file.content.close()
        self.tree.inodes.closed(file.inode)

    async def open_directory(self, ino: int) -> int:
        """Open a directory: its entries are those of this moment (or of a fresh listing)."""
        inode = self.tree.inodes.get(ino)
        if not inode.is_directory:
            raise NotADirectoryEntryError(inode.key)
        listing = await self.tree.listing(inode)
        inode.opens += 1
        return self._directories.add(DirectoryHandle(inode, listing.entries, listing.listed_at))

    def directory(self, handle: int) -> DirectoryHandle:
        """The open directory of a handle number."""
        return self._directories.get(handle)

    def enter(self, directory: DirectoryHandle, entry: DirectoryEntry) -> Inode:
        """The inode of an entry of an open directory. The caller counts the reference."""
        return self.tree.enter(directory.inode, entry, directory.listed_at)

    def release_directory(self, handle: int) -> None:
        """Close a directory handle."""
        directory = self._directories.remove(handle)
        self.tree.inodes.closed(directory.inode)

    async def invalidate(self, ranges: Sequence[KeyRange]) -> int:
        """Believe nothing that is known of these names; returns how many the kernel remembered."""
        return sum(self.tree.invalidate(keys.key, subtree=keys.subtree) for keys in ranges)

    async def xattr(self, ino: int, name: bytes) -> bytes | None:
        """The value of an extended attribute, or None when the inode has no such."""
        inode = self.tree.inodes.get(ino)
        if name == CACHED_XATTR:
            return await self._cached_xattr(inode)
        if name == ETAG_XATTR and inode.info is not None:
            return os.fsencode(inode.info.etag)
        return None

    def xattr_names(self, ino: int) -> tuple[bytes, ...]:
        """The extended attributes to show of an inode.

        That of a directory is answered and not shown: it lists everything below, which a program
        that copies all attributes should not cause.
        """
        is_directory = self.tree.inodes.get(ino).is_directory
        return () if is_directory else (ETAG_XATTR, CACHED_XATTR)

    async def _cached_xattr(self, inode: Inode) -> bytes:
        if inode.is_directory:
            return b"%d/%d" % await self._count_local(inode.key.removesuffix("/"))
        version = self._version(inode)
        (local,) = await self._cache.admin.local_bytes([version])
        return b"%d/%d" % (local, version.size)

    def _version(self, inode: Inode) -> ObjectVersion:
        info = inode.info
        assert info is not None
        return ObjectVersion(self._store.identity, info.key, info.etag, info.size)
