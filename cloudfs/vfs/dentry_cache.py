"""Dentry cache: what the mount knows of names, and whether it may still be used.

Owned by the trio loop; no I/O. The state is the inode table (with the last listing of each
directory), the negative cache, and the invalidations. Everything is dated by when its request was
sent: what is known from a later moment is never undone by an older response.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from cloudfs.vfs.errors import NoSuchEntryError
from cloudfs.vfs.inode import Inode
from cloudfs.vfs.inode_table import InodeTable
from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.entries import DirectoryEntry
from cloudfs.vfs.metadata.listing import DirectoryListing
from cloudfs.vfs.metadata.negative import NegativeCache
from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs.vfs.metadata.validity import MetadataValidity


class DentryCache:
    """The names of one mount.

    What is invalidated here is removed from `persistent` too. `on_invalidated` is called with each
    name (inode number of the directory, name) that the kernel may have cached and must not use any
    more.
    """

    def __init__(
        self,
        validity: MetadataValidity,
        persistent: PersistentMetadata,
        on_invalidated: Callable[[int, bytes], None],
    ) -> None:
        self.inodes = InodeTable()
        self.inodes.root.validated_at = math.inf
        self.generation = 0
        """Grows with each `invalidate`: requests sent before it must not be waited for after it."""
        self._validity = validity
        self._invalidations = validity.invalidations
        self._persistent = persistent
        self._on_invalidated = on_invalidated
        self._negative = NegativeCache()
        self._negative_ttl_s = validity.policy.negative_ttl_s

    def lookup(self, parent: Inode, name: bytes) -> Inode | None:
        """Return the inode of a name; None when nothing valid is known of it.

        Raises NoSuchEntryError when the name is known to be missing.
        """
        child = parent.children.get(name)
        listing = self.listing(parent)
        listed_at = -math.inf if listing is None else listing.requested_at
        is_newer = child is not None and child.validated_at >= listed_at
        if child is not None and is_newer:
            if self._validity.is_entry_valid(child.key, child.validated_at):
                return child
        elif listing is not None:
            entry = listing.by_name.get(name)
            if entry is None:
                self._negative.add(parent.ino, name, listed_at, ttl_s=self._negative_ttl_s)
            elif self._validity.is_entry_valid(entry.key_in(parent.key), listed_at):
                return self.enter(parent, entry, listed_at)
        if self._is_missing(parent, name):
            raise NoSuchEntryError(name)
        return None

    def listing(self, directory: Inode) -> DirectoryListing | None:
        """Return the last listing of a directory while it is valid."""
        found = directory.listing
        if found is None or self._validity.is_listing_valid(directory.key, found.requested_at):
            return found
        directory.drop_listing()
        return None

    def entry_valid_s(self, inode: Inode) -> float:
        """Return how much longer an inode's name and size are valid, in seconds."""
        if inode.is_stale:
            return 0.0
        return self._validity.entry_valid_s(inode.key, inode.validated_at)

    def enter(self, parent: Inode, entry: DirectoryEntry, requested_at: float) -> Inode:
        """Return the inode of an entry that a request of this moment found.

        An older entry does not replace a newer one: an open directory shows old entries.
        """
        if not self._negative.discard_older(parent.ino, entry.name, requested_at):
            requested_at = -math.inf
        before = parent.children.get(entry.name)
        if before is not None and before.validated_at > requested_at:
            before.add_metadata(entry.info)
            return before
        inode = self.inodes.enter(parent, entry)
        inode.validated_at = max(inode.validated_at, requested_at)
        if before is not None and before is not inode:
            if parent.listing is None or parent.listing.requested_at < requested_at:
                self._invalidate_listing(parent)  # It would bring the old version back.
            self._notify_stale(before)
        return inode

    def enter_listing(self, directory: Inode, listing: DirectoryListing) -> bool:
        """Take a listing for what a directory holds; return False when newer things are known."""
        known = directory.listing
        is_outdated = known is not None and known.requested_at > listing.requested_at
        if is_outdated or self._validity.is_listing_invalidated(
            directory.key, listing.requested_at
        ):
            return False
        directory.listing = listing
        for name, child in list(directory.children.items()):
            entry = listing.by_name.get(name)
            if entry is not None:
                self.inodes.collect(self.enter(directory, entry, listing.requested_at))
            elif child.validated_at <= listing.requested_at:
                self.inodes.mark_stale(child)
                self._notify_stale(child)
        return True

    def enter_missing(self, parent: Inode, name: bytes, requested_at: float) -> None:
        """Take it that a request of this moment did not find a name."""
        child = parent.children.get(name)
        if child is not None and child.validated_at <= requested_at:
            self.mark_changed(child)
        self._negative.add(parent.ino, name, requested_at, ttl_s=self._negative_ttl_s)

    def mark_changed(self, inode: Inode) -> None:
        """Take it that the inode's object was overwritten or deleted just now."""
        if inode.is_stale:
            return
        if inode.parent is not None:
            self._invalidate_listing(inode.parent)
            # It says only that what was requested before is outdated: the name may exist again.
            self._negative.add(inode.parent.ino, inode.name, self._validity.now(), ttl_s=0.0)
        if not inode.is_directory:
            self._persistent.remove_attributes(inode.key)
        self.inodes.mark_stale(inode)
        self._notify_stale(inode)

    def invalidate(self, key: str, *, subtree: bool) -> int:
        """Invalidate all that is known of `key` and, with `subtree`, of what is below it.

        `key` has no slash at its end; "" is the root. The next access asks the store, for all
        mounts that share the catalog. Versions that did not change keep their inodes and blocks.
        Returns how many names the kernel may have cached.
        """
        now = self._validity.now()
        self.generation += 1
        if key:
            above = key.rpartition("/")[0]
            if self.inodes.find(above) is None:
                self.invalidate(above, subtree=False)  # It may have been found missing.
            above = above + "/" if above else ""
            self._invalidations.add(above, now)
            self._persistent.remove_listing(above)
            self._invalidations.add(key, now)
            self._persistent.remove_attributes(key)
        directory = key + "/" if key else ""
        if subtree:
            self._invalidations.add_subtree(directory, now)
            self._persistent.remove_subtree(directory)
        else:
            self._invalidations.add(directory, now)
            self._persistent.remove_listing(directory)
        known = list(self._kernel_names(key, subtree=subtree))
        for parent_ino, name in known:
            self._on_invalidated(parent_ino, name)
        return len(known)

    def _is_missing(self, parent: Inode, name: bytes) -> bool:
        found = self._negative.get(parent.ino, name)
        if found is None or self._validity.now() >= found.expires_at:
            return False
        key = parent.key + names.to_part(name)
        return not self._validity.is_entry_invalidated(key, found.requested_at)

    def _invalidate_listing(self, directory: Inode) -> None:
        directory.drop_listing()
        self._invalidations.add(directory.key, self._validity.now())
        self._persistent.remove_listing(directory.key)

    def _notify_stale(self, inode: Inode) -> None:
        if inode.is_directory:
            # Should the name become a directory again, it will not be this one.
            self._invalidations.add_subtree(inode.key, self._validity.now())
            self._persistent.remove_subtree(inode.key)
        if inode.lookups > 0 and inode.parent is not None:
            self._on_invalidated(inode.parent.ino, inode.name)

    def _kernel_names(self, key: str, *, subtree: bool) -> Iterator[tuple[int, bytes]]:
        """Yield the names that the kernel may have cached, those in use first.

        What is below a name goes with it in the kernel too, except where it is in use.
        """
        top: Inode | None = self.inodes.root
        if key:
            above, _, part = key.rpartition("/")
            parent = self.inodes.find(above)
            if parent is None:
                return
            name = names.to_name(part)
            yield parent.ino, name
            top = parent.children.get(name)
        if top is None or not subtree:
            return
        below = sorted(self.inodes.below(top), key=lambda inode: (not inode.opens, len(inode.key)))
        in_use = sum(inode.opens > 0 for inode in below)
        yield from _names(below[:in_use])
        yield from [missing for missing in self._negative if missing[0] == top.ino]
        yield from _names(below[in_use:])


def _names(inodes: Iterable[Inode]) -> Iterator[tuple[int, bytes]]:
    for inode in inodes:
        if inode.parent is not None:
            yield inode.parent.ino, inode.name
