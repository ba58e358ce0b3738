"""What the store is asked about names, and how the answers are read. Believes nothing.

Owned by the trio loop. Raises the store's errors; a name that is not there is an answer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import trio

from cloudfs.vfs.metadata import listing as listings
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs.vfs.metadata.listing import DirectoryListing, HiddenNames
from cloudfs_backends.api import ListPage, ObjectInfo, ObjectNotFoundError, ObjectStore, StoreError

log = logging.getLogger(__name__)

_METADATA_PROBES = 8

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name stood for when the store was asked at `asked_at`; None: nothing."""

    entry: DirectoryEntry | None
    asked_at: float


class TooLargeError(Exception):
    """A directory has more pages than are worth listing before anybody asks for it."""


class Questions:
    """Asks one store. `metadata_mtimes` says that objects were seen whose mtime is in metadata
    that a listing does not show; `hidden` counts the keys that no path can name."""

    def __init__(self, store: ObjectStore, clock: Callable[[], float]) -> None:
        self.hidden = HiddenNames()
        self.metadata_in_list = store.capabilities.metadata_in_list
        self.metadata_mtimes = False
        self._store = store
        self._clock = clock
        self._probes_left = 0 if self.metadata_in_list else _METADATA_PROBES

    async def entry(self, key: str, name: bytes) -> Answer:
        """Ask for the object and for anything below it at once; a directory wins."""
        asked_at = self._clock()
        log.debug("asking for %r", key)
        info, page = await _both(
            lambda: self._head(key),
            lambda: self._store.list_page(key + "/", limit=1),
        )
        if isinstance(page, Exception):
            raise page
        if page.objects or page.prefixes:
            # A refused HEAD does not matter here: an identity may list what it cannot read.
            if isinstance(info, ObjectInfo):
                self.hidden.note(key, "a directory has the same name")
            return Answer(DirectoryEntry(name, InodeKind.DIRECTORY), asked_at)
        if isinstance(info, Exception):
            raise info
        entry = None if info is None else DirectoryEntry(name, InodeKind.FILE, info)
        return Answer(entry, asked_at)

    async def listing(self, directory: str, pages_max: float = math.inf) -> DirectoryListing | None:
        """List a directory; None when there is nothing, not even a marker.

        Raises TooLargeError when it has more than `pages_max` pages.
        """
        asked_at = self._clock()
        log.debug("listing %r", directory)
        pages: list[ListPage] = []
        token: str | None = None
        while not pages or token is not None:
            if len(pages) >= pages_max:
                raise TooLargeError(directory)
            page = await self._store.list_page(directory, delimiter="/", token=token)
            pages.append(page)
            token = page.next_token
        if not any(page.objects or page.prefixes for page in pages):
            return None
        found = listings.build(directory, pages, self.hidden, asked_at)
        await self._probe_metadata(found)
        return found

    async def _head(self, key: str) -> ObjectInfo | None:
        try:
            info = await self._store.head(key)
        except ObjectNotFoundError:
            return None
        unlisted = info.metadata_mtime and not self.metadata_in_list
        self.metadata_mtimes = self.metadata_mtimes or unlisted
        return info

    async def _probe_metadata(self, found: DirectoryListing) -> None:
        """Find out, on the first few listings, whether this bucket's mtimes are in metadata."""
        if self.metadata_mtimes or self._probes_left == 0:
            return
        sample = next((entry.info for entry in found.entries if entry.info is not None), None)
        if sample is not None:
            self._probes_left -= 1
            try:
                await self._head(sample.key)
            except StoreError as error:
                log.debug("cannot look for an mtime: %s", error.describe())


async def _both(
    first: Callable[[], Awaitable[First]], second: Callable[[], Awaitable[Second]]
) -> tuple[First | Exception, Second | Exception]:
    """Run two requests at once; an error is returned as the value of its request."""
    seconds: list[Second | Exception] = []

    async def run_second() -> None:
        seconds.append(await _settled(second))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_second)
        answer = await _settled(first)
    return answer, seconds[0]


async def _settled(work: Callable[[], Awaitable[First]]) -> First | Exception:
    try:
        return await work()
    except Exception as error:
        return error
