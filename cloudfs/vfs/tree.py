"""Directory tree of one store: names looked up and listed through the caches, else at the store.

Owned by the trio loop. A name is answered from the dentry cache, from the persistent cache that
earlier mounts of the node have filled, or from the store, in this order.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final

import trio

from cloudfs.vfs.dentry_cache import DentryCache
from cloudfs.vfs.errors import NoSuchEntryError, NotADirectoryEntryError
from cloudfs.vfs.inode import Inode, is_same_version
from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.listing import DirectoryListing, HiddenNames
from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs.vfs.metadata.requests import LookupResponse, MetadataRequests, TooManyPagesError
from cloudfs.vfs.metadata.singleflight import SingleFlight
from cloudfs.vfs.metadata.ttl import TtlPolicy
from cloudfs.vfs.metadata.validity import MetadataValidity
from cloudfs_backends.api import ObjectStore
from cloudfs_backends.errors import StoreError

log = logging.getLogger(__name__)

_LOOKUPS_BEFORE_LISTING: Final = 8
_AHEAD_PAGES_MAX: Final = 20
_REVALIDATE_GRACE_S: Final = 1.0


class Tree:
    """The directory tree of one store.

    `on_invalidated` is called with each name (inode number of the directory, name) that the kernel
    may have cached and must not use any more.
    """

    def __init__(
        self,
        store: ObjectStore,
        policy: TtlPolicy,
        nursery: trio.Nursery,
        *,
        on_invalidated: Callable[[int, bytes], None],
        persistent: PersistentMetadata | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.persistent = persistent or PersistentMetadata(None, store.identity)
        self.policy = policy
        self._validity = MetadataValidity(policy, clock)
        self.dentries = DentryCache(self._validity, self.persistent, on_invalidated)
        self.inodes = self.dentries.inodes
        self.hidden = HiddenNames()
        self._requests = MetadataRequests(store, clock, self.hidden)
        self._nursery = nursery
        self._lookup_flights: SingleFlight[LookupResponse] = SingleFlight(nursery)
        self._list_flights: SingleFlight[DirectoryListing] = SingleFlight(nursery)
        self._load_flights: SingleFlight[None] = SingleFlight(nursery)

    def has_final_attributes(self, inode: Inode) -> bool:
        """Return whether a HEAD would add nothing to an inode's attributes.

        Its user metadata is known already, or no object of the store was seen to need it.
        """
        return inode.info is None or inode.info.has_metadata or not self._has_metadata_mtimes()

    async def lookup(self, parent: Inode, name: bytes) -> Inode:
        """Return the inode of `name` in `parent`. Raises NoSuchEntryError and store errors."""
        if not parent.is_directory:
            raise NotADirectoryEntryError(parent.key)
        if names.hidden_reason(names.to_part(name)) is not None:
            raise NoSuchEntryError(name)
        known = self.dentries.lookup(parent, name)
        if known is None and await self._load_listing(parent):
            known = self.dentries.lookup(parent, name)
        if known is not None:
            return known
        response = await self._request_lookup(parent, name)
        if response.entry is None:
            self.dentries.enter_missing(parent, name, response.requested_at)
            raise NoSuchEntryError(name)
        return self.dentries.enter(parent, response.entry, response.requested_at)

    async def listing(self, directory: Inode) -> DirectoryListing:
        """Return all entries of a directory. Raises NoSuchEntryError when it is gone."""
        if not directory.is_directory:
            raise NotADirectoryEntryError(directory.key)
        found = self.dentries.listing(directory)
        if found is None and await self._load_listing(directory):
            found = self.dentries.listing(directory)
        if found is not None:
            return found
        flight = directory.ino, self.dentries.generation
        return await self._list_flights.do(flight, lambda: self._list(directory))

    async def refresh(self, inode: Inode) -> None:
        """Request a file's metadata again. Afterwards it is validated or stale."""
        if not self.has_final_attributes(inode) and await self._load_attributes(inode):
            return
        parent = inode.parent
        assert parent is not None
        response = await self._request_lookup(parent, inode.name)
        if response.entry is None:
            self.dentries.mark_changed(inode)
        else:
            found = self.dentries.enter(parent, response.entry, response.requested_at)
            self.inodes.collect(found)

    async def revalidate(self, inode: Inode) -> None:
        """`refresh` a file whose metadata is older than its TTL, or was invalidated."""
        age_s = self._validity.now() - inode.validated_at
        is_expired = age_s > max(self.policy.ttl_s(inode.key), _REVALIDATE_GRACE_S)
        if is_expired or self._validity.is_entry_invalidated(inode.key, inode.validated_at):
            await self.refresh(inode)

    def _has_metadata_mtimes(self) -> bool:
        return self._requests.metadata_mtimes or self.persistent.metadata_mtimes

    async def _load_listing(self, directory: Inode) -> bool:
        """Load a directory's listing from the persistent cache; return False when it was asked
        within the TTL already."""
        ttl_s = self.policy.ttl_s(directory.key)
        if ttl_s <= 0 or self._validity.now() - directory.loaded_at < ttl_s:
            return False

        async def load() -> None:
            found = await self.persistent.listing(directory.key, ttl_s)
            directory.loaded_at = self._validity.now()
            if found is not None:
                self.dentries.enter_listing(directory, found)

        await self._load_flights.do((directory.ino, self.dentries.generation), load)
        return True

    async def _load_attributes(self, inode: Inode) -> bool:
        """Load what a HEAD showed of this version of a file from the persistent cache; return
        whether that was there and is valid."""
        found = await self.persistent.attributes(inode.key, self.policy.ttl_s(inode.key))
        if found is None or inode.is_stale or not is_same_version(inode.info, found[0]):
            return False
        if not self._validity.is_entry_valid(inode.key, found[1]):
            return False
        inode.add_metadata(found[0])
        inode.validated_at = max(inode.validated_at, found[1])
        return True

    async def _request_lookup(self, parent: Inode, name: bytes) -> LookupResponse:
        flight = parent.ino, name, self.dentries.generation
        return await self._lookup_flights.do(flight, lambda: self._look_up(parent, name))

    async def _look_up(self, parent: Inode, name: bytes) -> LookupResponse:
        self._list_if_busy(parent)
        response = await self._requests.lookup(parent.key + names.to_part(name), name)
        self._store_metadata_mtimes()
        info = None if response.entry is None else response.entry.info
        # Only what a listing of this store does not show: the rest is stored with the listing.
        if (
            info is not None
            and self._has_metadata_mtimes()
            and self._validity.is_entry_valid(info.key, response.requested_at)
        ):
            ttl_s = self.policy.ttl_s(info.key)
            self.persistent.store_attributes(info, response.requested_at, ttl_s)
        return response

    def _list_if_busy(self, directory: Inode) -> None:
        """List a directory, once per TTL and beside the lookups, when many of its names are looked
        up: a shuffled list of files is then two requests a file only for the first few."""
        directory.lookups_since_listing += 1
        if directory.lookups_since_listing == _LOOKUPS_BEFORE_LISTING:
            self._nursery.start_soon(self._list_ahead, directory)

    async def _list_ahead(self, directory: Inode) -> None:
        flight = directory.ino, self.dentries.generation, _AHEAD_PAGES_MAX
        try:
            await self._list_flights.do(flight, lambda: self._list(directory, _AHEAD_PAGES_MAX))
        except (StoreError, NoSuchEntryError, TooManyPagesError) as error:
            log.debug("cannot list %r ahead: %r", directory.key, error)

    async def _list(self, directory: Inode, pages_max: float = math.inf) -> DirectoryListing:
        requested_at = self._validity.now()
        found = await self._requests.listing(directory.key, pages_max)
        if found is None:
            if directory is not self.inodes.root:
                self.dentries.mark_changed(directory)
                raise NoSuchEntryError(directory.name)
            found = DirectoryListing((), {}, requested_at)
        self._store_metadata_mtimes()
        if self.dentries.enter_listing(directory, found):
            ttl_s = self.policy.ttl_s(directory.key)
            self.persistent.store_listing(directory.key, found, ttl_s)
        return found

    def _store_metadata_mtimes(self) -> None:
        if self._requests.metadata_mtimes:
            self.persistent.store_metadata_mtimes()
