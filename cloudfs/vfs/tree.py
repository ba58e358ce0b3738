"""Names over key prefixes: finds entries, lists directories, and knows how long to believe it.

Owned by the trio loop. A positive answer is believed for the metadata TTL, a negative one for the
negative TTL; in between nobody is asked. The state is the inode table (with the last
listing of each directory) and the names that were not there.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import trio

from cloudfs.vfs import listing as listings
from cloudfs.vfs import names
from cloudfs.vfs.errors import NoSuchEntryError, NotADirectoryEntryError
from cloudfs.vfs.inodes import Inode, InodeTable
from cloudfs.vfs.listing import Entry, HiddenNames, Listing
from cloudfs.vfs.singleflight import SingleFlight
from cloudfs_backends.api import ListPage, ObjectInfo, ObjectNotFoundError, ObjectStore, StoreError

log = logging.getLogger(__name__)

_ABSENCES_MAX = 65_536
_METADATA_PROBES = 8
_LOOKUPS_BEFORE_LISTING = 8
_AHEAD_PAGES_MAX = 20
_REVALIDATE_GRACE_S = 1.0

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(frozen=True, slots=True)
class FreshnessPolicy:
    """How long answers of the store are believed, in seconds (`math.inf`: for ever)."""

    metadata_ttl_s: float
    negative_ttl_s: float


@dataclass(frozen=True, slots=True)
class _Absence:
    """A name that was found missing or changed at `noted_at`; nobody is asked about it until
    `believed_until`, and nothing older brings it back (seconds of the tree's clock)."""

    noted_at: float
    believed_until: float


class _TooLargeError(Exception):
    """A directory has more pages than are worth listing before anybody asks for it."""


class Tree:
    """The directory tree of one store. `on_superseded` hears of names that changed meaning."""

    def __init__(
        self,
        store: ObjectStore,
        policy: FreshnessPolicy,
        nursery: trio.Nursery,
        *,
        on_superseded: Callable[[Inode], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inodes = InodeTable()
        self.hidden = HiddenNames()
        self._store = store
        self._policy = policy
        self._nursery = nursery
        self._on_superseded = on_superseded
        self._clock = clock
        self._absences: OrderedDict[tuple[int, bytes], _Absence] = OrderedDict()
        self._entry_flights: SingleFlight[tuple[Entry, float]] = SingleFlight(nursery)
        self._list_flights: SingleFlight[Listing] = SingleFlight(nursery)
        self._metadata_mtimes = store.capabilities.metadata_in_list
        self._probes_left = 0 if store.capabilities.metadata_in_list else _METADATA_PROBES
        self.inodes.root.checked_at = math.inf

    @property
    def negative_ttl_s(self) -> float:
        """How long the kernel may remember that a name does not exist."""
        return self._policy.negative_ttl_s

    def entry_ttl_s(self, inode: Inode) -> float:
        """How much longer the kernel may believe this inode's name and size, in seconds."""
        if inode.superseded:
            return 0.0
        age = self._clock() - inode.checked_at
        return max(0.0, self._policy.metadata_ttl_s - max(0.0, age))

    def attributes_final(self, inode: Inode) -> bool:
        """The attributes need no HEAD: user metadata was looked at, or this mount never saw any."""
        return inode.info is None or inode.info.has_metadata or not self._metadata_mtimes

    async def lookup(self, parent: Inode, name: bytes) -> Inode:
        """Return the inode of `name` in `parent`. Raises NoSuchEntryError and store errors."""
        if not parent.is_directory:
            raise NotADirectoryEntryError(parent.key)
        if names.hidden_reason(names.to_part(name)) is not None:
            raise NoSuchEntryError(name)
        known = self._believed(parent, name)
        if known is not None:
            return known
        try:
            entry, asked_at = await self._entry_flights.do(
                (parent.ino, name), lambda: self._ask(parent, name)
            )
        except NoSuchEntryError:
            self._note_missing(parent, name)
            raise
        return self.enter(parent, entry, asked_at)

    async def listing(self, directory: Inode) -> Listing:
        """Return all entries of a directory. Raises NoSuchEntryError when it is gone."""
        if not directory.is_directory:
            raise NotADirectoryEntryError(directory.key)
        found = self._fresh_listing(directory)
        if found is not None:
            return found
        return await self._list_flights.do(directory.ino, lambda: self._list(directory))

    def enter(self, parent: Inode, entry: Entry, checked_at: float) -> Inode:
        """Return the inode of an entry that the store showed at `checked_at`.

        What is known from a later moment is not undone: an open directory shows old entries.
        """
        absence = self._absences.get((parent.ino, entry.name))
        if absence is not None and absence.noted_at > checked_at:
            checked_at = -math.inf
        else:
            self._absences.pop((parent.ino, entry.name), None)
        before = parent.children.get(entry.name)
        if before is not None and before.checked_at > checked_at:
            return before
        slash = "/" if entry.info is None else ""
        key = parent.key + names.to_part(entry.name) + slash
        inode = self.inodes.enter(parent, entry.name, key, entry.info)
        inode.checked_at = max(inode.checked_at, checked_at)
        if before is not None and before is not inode:
            self._on_superseded(before)
        return inode

    async def refresh(self, inode: Inode) -> None:
        """Ask the store about a file again. Afterwards it is confirmed or superseded."""
        parent = inode.parent
        assert parent is not None
        try:
            entry, asked_at = await self._entry_flights.do(
                (parent.ino, inode.name), lambda: self._ask(parent, inode.name)
            )
        except NoSuchEntryError:
            self.mark_changed(inode)
            return
        self.inodes.drop_unreferenced(self.enter(parent, entry, asked_at))

    async def revalidate(self, inode: Inode) -> None:
        """`refresh` when the last answer is older than the TTL."""
        age = self._clock() - inode.checked_at
        if age > max(self._policy.metadata_ttl_s, _REVALIDATE_GRACE_S):
            await self.refresh(inode)

    def mark_changed(self, inode: Inode) -> None:
        """The store says that the inode's object is no longer what it was."""
        if inode.superseded:
            return
        if inode.parent is not None:
            inode.parent.listing, inode.parent.asked = None, 0
            self._note_absence(inode.parent, inode.name, believed_s=0.0)
        self.inodes.supersede(inode)
        self._on_superseded(inode)

    def forget(self, ino: int, lookups: int) -> None:
        """The kernel gives references back; what nobody references is dropped."""
        self.inodes.forget(ino, lookups)

    def _believed(self, parent: Inode, name: bytes) -> Inode | None:
        """The inode by what is known already; raises NoSuchEntryError when that is known."""
        now = self._clock()
        child = parent.children.get(name)
        found = self._fresh_listing(parent)
        if (
            child is not None
            and now - child.checked_at < self._policy.metadata_ttl_s
            and (found is None or child.checked_at >= found.listed_at)
        ):
            return child
        if found is not None:
            entry = found.by_name.get(name)
            if entry is not None:
                return self.enter(parent, entry, found.listed_at)
            if now - found.listed_at < self._policy.negative_ttl_s:
                raise NoSuchEntryError(name)
        absence = self._absences.get((parent.ino, name))
        if absence is not None and now < absence.believed_until:
            raise NoSuchEntryError(name)
        return None

    def _list_if_busy(self, directory: Inode) -> None:
        """List a directory, once per TTL and beside the lookups, when many of its names are asked
        for: a shuffled list of files is then two requests a file only for the first few."""
        directory.asked += 1
        if directory.asked == _LOOKUPS_BEFORE_LISTING:
            self._nursery.start_soon(self._list_ahead, directory)

    async def _list_ahead(self, directory: Inode) -> None:
        try:
            await self._list_flights.do(
                (directory.ino, _AHEAD_PAGES_MAX), lambda: self._list(directory, _AHEAD_PAGES_MAX)
            )
        except (StoreError, NoSuchEntryError, _TooLargeError) as error:
            log.debug("cannot list %r ahead: %r", directory.key, error)

    def _fresh_listing(self, directory: Inode) -> Listing | None:
        found = directory.listing
        if found is None or self._clock() - found.listed_at >= self._policy.metadata_ttl_s:
            if found is not None:
                directory.listing, directory.asked = None, 0
            return None
        return found

    def _note_missing(self, parent: Inode, name: bytes) -> None:
        child = parent.children.get(name)
        if child is not None:
            self.mark_changed(child)
        self._note_absence(parent, name, believed_s=self._policy.negative_ttl_s)

    def _note_absence(self, parent: Inode, name: bytes, *, believed_s: float) -> None:
        now = self._clock()
        self._absences[(parent.ino, name)] = _Absence(now, now + believed_s)
        while len(self._absences) > _ABSENCES_MAX:
            self._absences.popitem(last=False)

    async def _ask(self, parent: Inode, name: bytes) -> tuple[Entry, float]:
        """Ask for the object and for anything below it at once; a directory wins."""
        asked_at = self._clock()
        key = parent.key + names.to_part(name)
        self._list_if_busy(parent)
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
            return Entry(name, None), asked_at
        if isinstance(info, Exception):
            raise info
        if info is None:
            raise NoSuchEntryError(name)
        return Entry(name, info), asked_at

    async def _head(self, key: str) -> ObjectInfo | None:
        try:
            info = await self._store.head(key)
        except ObjectNotFoundError:
            return None
        self._metadata_mtimes = self._metadata_mtimes or info.metadata_mtime
        return info

    async def _list(self, directory: Inode, pages_max: float = math.inf) -> Listing:
        asked_at = self._clock()
        log.debug("listing %r", directory.key)
        pages: list[ListPage] = []
        token: str | None = None
        while not pages or token is not None:
            if len(pages) >= pages_max:
                raise _TooLargeError(directory.key)
            page = await self._store.list_page(directory.key, delimiter="/", token=token)
            pages.append(page)
            token = page.next_token
        if directory is not self.inodes.root and not any(p.objects or p.prefixes for p in pages):
            self.mark_changed(directory)
            raise NoSuchEntryError(directory.name)
        found = listings.build(directory.key, pages, self.hidden, asked_at)
        await self._probe_metadata(found)
        directory.listing = found
        self._supersede_changed(directory, found)
        return found

    async def _probe_metadata(self, found: Listing) -> None:
        """Find out, on the first few listings, whether this bucket's mtimes are in metadata."""
        if self._metadata_mtimes or self._probes_left == 0:
            return
        sample = next((entry for entry in found.entries if entry.info is not None), None)
        if sample is not None and sample.info is not None:
            self._probes_left -= 1
            try:
                await self._head(sample.info.key)
            except StoreError as error:
                log.debug("cannot look for an mtime: %s", error.describe())

    def _supersede_changed(self, directory: Inode, found: Listing) -> None:
        for name, child in list(directory.children.items()):
            entry = found.by_name.get(name)
            if entry is not None:
                self.inodes.drop_unreferenced(self.enter(directory, entry, found.listed_at))
            elif child.checked_at <= found.listed_at:
                self.inodes.supersede(child)
                self._on_superseded(child)


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
