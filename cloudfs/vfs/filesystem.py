"""The filesystem of one mount: inodes, handles and bytes, as the FUSE layer asks for them.

Owned by the trio loop. The FUSE layer decodes, calls and encodes; it takes inodes for values, and
references are counted here. Raises the errors of vfs.errors and of the store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from cloudfs.vfs.content import ObjectContents
from cloudfs.vfs.errors import (
    IsADirectoryEntryError,
    NotADirectoryEntryError,
    StaleObjectError,
)
from cloudfs.vfs.handles import DirectoryHandle, FileHandle, HandleTable
from cloudfs.vfs.inode import Inode
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ObjectStore
from cloudfs_backends.errors import ObjectChangedError, ObjectNotFoundError
from cloudfs_cache.api import Buffer, KeyRange, ObjectVersion, Placement, WaitsFor
from cloudfs_cache.cache import TieredCache

log = logging.getLogger(__name__)

ETAG_XATTR: Final = b"user.cloudfs.etag"
CACHED_XATTR: Final = b"user.cloudfs.cached"

_DOTS: Final = 2


class FileSystem:
    """One mounted store. `read_ahead_bytes` bounds the window of one stream; `placement_of` gives
    how the object of a key is to be cached; `count_local` returns the cached bytes and all bytes
    below a directory, given its key without the slash."""

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
        self.files: HandleTable[FileHandle] = HandleTable()
        self.negative_ttl_s = tree.policy.negative_ttl_s
        self._store = store
        self._tree = tree
        self._dentries = tree.dentries
        self._inodes = tree.inodes
        self._cache = cache
        self._contents = ObjectContents(
            cache, read_ahead_bytes=read_ahead_bytes, placement_of=placement_of
        )
        self._count_local = count_local
        self._directories: HandleTable[DirectoryHandle] = HandleTable()
        # The inode of each `open` that waits for its content, as often as it is being opened.
        self._opening: list[Inode] = []

    def ttls_s(self, inode: Inode) -> tuple[float, float]:
        """Return how long the kernel may cache an inode's name, and its attributes, in seconds."""
        entry_s = self._dentries.entry_valid_s(inode)
        return entry_s, entry_s if self._tree.has_final_attributes(inode) else 0.0

    async def lookup(self, parent_ino: int, name: bytes) -> Inode:
        """Return the inode of a name and count a reference of the kernel to it."""
        parent = self._inodes.get(parent_ino)
        if name == b".":
            inode = parent
        elif name == b"..":
            inode = parent.parent or parent
        else:
            inode = await self._tree.lookup(parent, name)
        inode.lookups += 1
        return inode

    def forget(self, ino: int, lookups: int) -> None:
        """Give references of the kernel back; what nothing references is dropped."""
        self._inodes.forget(ino, lookups)

    async def attributes(self, ino: int) -> Inode:
        """Return the inode with attributes as exact as this bucket allows."""
        inode = self._inodes.get(ino)
        if not self._tree.has_final_attributes(inode) and not inode.is_stale:
            await self._tree.refresh(inode)
        return inode

    async def open(self, ino: int, flags: int) -> int:
        """Open a file for reading and return its handle.

        Raises StaleObjectError when the inode's object was overwritten: the kernel then looks the
        name up again and opens the new version.
        """
        inode = self._inodes.get(ino)
        if inode.is_directory:
            raise IsADirectoryEntryError(inode.key)
        await self._tree.revalidate(inode)
        if inode.is_stale:
            raise StaleObjectError(inode.key)
        inode.opens += 1
        self._opening.append(inode)
        try:
            version = self._version(inode)
            content = await self._contents.open(version)
        except BaseException:
            self._inodes.close(inode)
            raise
        finally:
            self._opening.remove(inode)
        log.debug("open %r, etag %s, %d bytes", inode.key, version.etag, version.size)
        return self.files.add(FileHandle(inode, content, bool(flags & os.O_DIRECT)))

    def open_waits_for(self, ino: int) -> WaitsFor:
        """Return what an `open` of an inode, which has not returned, waits for."""
        is_opening = any(inode.ino == ino for inode in self._opening)
        return WaitsFor.DISK if is_opening else WaitsFor.STORE

    async def read(self, handle: FileHandle, offset: int, size: int) -> Buffer:
        """Wait for bytes that `read_nowait` of the content did not have."""
        try:
            return await handle.content.read(offset, size)
        except (ObjectChangedError, ObjectNotFoundError):
            self._dentries.mark_changed(handle.inode)
            raise

    def release(self, fh: int) -> None:
        """Close a file handle."""
        handle = self.files.remove(fh)
        handle.content.close()
        self._inodes.close(handle.inode)

    async def open_directory(self, ino: int) -> int:
        """Open a directory and return its handle, which keeps the entries of this moment."""
        inode = self._inodes.get(ino)
        if not inode.is_directory:
            raise NotADirectoryEntryError(inode.key)
        listing = await self._tree.listing(inode)
        inode.opens += 1
        return self._directories.add(DirectoryHandle(inode, listing.entries, listing.requested_at))

    def read_directory(
        self, fh: int, start: int, emit: Callable[[bytes, Inode, int], bool]
    ) -> None:
        """Emit the entries of an open directory from position `start` on, `.` and `..` first.

        `emit(name, inode, next_position)` returns False when the entry did not fit and was not
        sent. Each other one is a reference of the kernel, except those of `.` and `..`.
        """
        handle = self._directories.get(fh)
        inode = handle.inode
        dots = ((b".", inode), (b"..", inode.parent or inode))
        for position, (name, dot) in enumerate(dots[start:], start):
            if not emit(name, dot, position + 1):
                return
        entries = handle.entries
        for index in range(max(0, start - _DOTS), len(entries)):
            entry = entries[index]
            child = self._dentries.enter(inode, entry, handle.requested_at)
            if not emit(entry.name, child, index + _DOTS + 1):
                self._inodes.collect(child)
                return
            child.lookups += 1

    def release_directory(self, fh: int) -> None:
        """Close a directory handle."""
        self._inodes.close(self._directories.remove(fh).inode)

    async def invalidate(self, ranges: Sequence[KeyRange]) -> int:
        """Invalidate all metadata of these names; return how many the kernel may have cached."""
        return sum(self._dentries.invalidate(keys.key, subtree=keys.subtree) for keys in ranges)

    async def xattr(self, ino: int, name: bytes) -> bytes | None:
        """Return the value of an extended attribute, or None when the inode has none such."""
        inode = self._inodes.get(ino)
        if name == CACHED_XATTR:
            return await self._cached_xattr(inode)
        if name == ETAG_XATTR and inode.info is not None:
            return os.fsencode(inode.info.etag)
        return None

    def xattr_names(self, ino: int) -> tuple[bytes, ...]:
        """Return the extended attributes to show of an inode.

        A directory's are answered and not shown: CACHED_XATTR lists everything below it, which a
        program that copies all attributes should not cause.
        """
        is_directory = self._inodes.get(ino).is_directory
        return () if is_directory else (ETAG_XATTR, CACHED_XATTR)

    def path_of(self, ino: int) -> str:
        """Return the path of an inode in the mount, "." for the root, "" when it is gone."""
        if ino not in self._inodes:
            return ""
        return self._inodes.get(ino).key.rstrip("/") or "."

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
