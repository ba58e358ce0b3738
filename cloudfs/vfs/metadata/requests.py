"""Uncached metadata requests: lookup (HEAD and LIST) and directory listing.

Owned by the trio loop. Raises the store's errors; a name that is missing is no error.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from cloudfs.vfs.metadata import listing as listings
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs.vfs.metadata.listing import DirectoryListing, HiddenNames
from cloudfs_backends.api import ListPage, ObjectInfo, ObjectStore
from cloudfs_backends.errors import ObjectNotFoundError, StoreError

log = logging.getLogger(__name__)

_METADATA_PROBES: Final = 8

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(frozen=True, slots=True)
class LookupResponse:
    """The entry that a lookup sent at `requested_at` found; None: the name is missing."""

    entry: DirectoryEntry | None
    requested_at: float


class TooManyPagesError(Exception):
    """A directory is too large to list it before it is opened."""


class MetadataRequests:
    """Requests to one store. `metadata_mtimes` becomes true with the first object whose mtime is in
    user metadata that a listing does not show; `hidden` counts the keys that no path can name."""

    def __init__(self, store: ObjectStore, clock: Callable[[], float], hidden: HiddenNames) -> None:
        self.metadata_mtimes = False
        self._store = store
        self._clock = clock
        self._hidden = hidden
        self._metadata_in_list = store.capabilities.metadata_in_list
        self._probes_left = 0 if self._metadata_in_list else _METADATA_PROBES

    async def lookup(self, key: str, name: bytes) -> LookupResponse:
        """Request the object and anything below it at once; a directory wins."""
        requested_at = self._clock()
        log.debug("looking up %r", key)
        info, page = await _both(
            lambda: self._head(key),
            lambda: self._store.list_page(key + "/", limit=1),
        )
        if isinstance(page, Exception):
            raise page
        if page.objects or page.prefixes:
            # A refused HEAD does not matter here: an identity may list what it cannot read.
            if isinstance(info, ObjectInfo):
                self._hidden.note(key, "a directory has the same name")
            return LookupResponse(DirectoryEntry(name, InodeKind.DIRECTORY), requested_at)
        if isinstance(info, Exception):
            raise info
        entry = None if info is None else DirectoryEntry(name, InodeKind.FILE, info)
        return LookupResponse(entry, requested_at)

    async def listing(self, directory: str, pages_max: float = math.inf) -> DirectoryListing | None:
        """List a directory; None when there is nothing, not even a marker.

        Raises TooManyPagesError when it has more than `pages_max` pages.
        """
        requested_at = self._clock()
        log.debug("listing %r", directory)
        pages: list[ListPage] = []
        token: str | None = None
        while not pages or token is not None:
            if len(pages) >= pages_max:
                raise TooManyPagesError(directory)
            page = await self._store.list_page(directory, delimiter="/", token=token)
            pages.append(page)
            token = page.next_token
        if not any(page.objects or page.prefixes for page in pages):
            return None
        found = listings.build(directory, pages, self._hidden, requested_at)
        await self._probe_metadata(found)
        return found

    async def _head(self, key: str) -> ObjectInfo | None:
        try:
            info = await self._store.head(key)
        except ObjectNotFoundError:
            return None
        unlisted = info.metadata_mtime and not self._metadata_in_list
        self.metadata_mtimes = self.metadata_mtimes or unlisted
        return info

    async def _probe_metadata(self, found: DirectoryListing) -> None:
        """Find out, on the first few listings, whether this bucket has mtimes in metadata."""
        if self.metadata_mtimes or self._probes_left == 0:
            return
        sample = next((entry.info for entry in found.entries if entry.info is not None), None)
        if sample is not None:
            self._probes_left -= 1
            try:
                await self._head(sample.key)
            except StoreError as error:
                log.debug("cannot probe for mtimes in metadata: %s", error.describe())


async def _both(
    first: Callable[[], Awaitable[First]], second: Callable[[], Awaitable[Second]]
) -> tuple[First | Exception, Second | Exception]:
    """Run two requests at once; an error is returned as the value of its request."""
    seconds: list[Second | Exception] = []

    async def run_second() -> None:
        seconds.append(await _settled(second))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_second)
        result = await _settled(first)
    return result, seconds[0]


async def _settled(work: Callable[[], Awaitable[First]]) -> First | Exception:
    try:
        return await work()
    except Exception as error:
        return error
