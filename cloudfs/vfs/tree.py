"""Names over key prefixes: finds entries, lists directories, and knows how long to believe it.

Owned by the trio loop. A positive answer is believed for the metadata TTL, a negative one for the
negative TTL; in between nobody is asked. Before the store, the catalog is asked for what an earlier
mount learnt within the TTL. The state is the inode table (with the last listing of each directory),
the names that were not there, and what was invalidated when.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator

import trio

from cloudfs.vfs.errors import NoSuchEntryError, NotADirectoryEntryError
from cloudfs.vfs.inode import Inode, is_same_version
from cloudfs.vfs.inode_table import InodeTable
from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.entries import DirectoryEntry
from cloudfs.vfs.metadata.freshness import Absences, Doubts, FreshnessPolicy
from cloudfs.vfs.metadata.listing import DirectoryListing, HiddenNames
from cloudfs.vfs.metadata.persistent import Remembered
from cloudfs.vfs.metadata.requests import Answer, Questions, TooLargeError
from cloudfs.vfs.metadata.singleflight import SingleFlight
from cloudfs_backends.api import ObjectStore, StoreError

log = logging.getLogger(__name__)

_LOOKUPS_BEFORE_LISTING = 8
_AHEAD_PAGES_MAX = 20
_REVALIDATE_GRACE_S = 1.0


class Tree:
    """The directory tree of one store.

    `on_invalidated` is called with each name (inode number of the directory, name) that the kernel
    may have cached and must not use any more.
    """

    def __init__(
        self,
        store: ObjectStore,
        policy: FreshnessPolicy,
        nursery: trio.Nursery,
        *,
        on_invalidated: Callable[[int, bytes], None],
        remembered: Remembered | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inodes = InodeTable()
        self.remembered = remembered or Remembered(None, store.identity)
        self._policy = policy
        self._nursery = nursery
        self._on_invalidated = on_invalidated
        self._clock = clock
        self._questions = Questions(store, clock)
        self._absences = Absences()
        self._doubts = Doubts()
        self._invalidations = 0
        self._entry_flights: SingleFlight[Answer] = SingleFlight(nursery)
        self._list_flights: SingleFlight[DirectoryListing] = SingleFlight(nursery)
        self._recall_flights: SingleFlight[None] = SingleFlight(nursery)
        self.inodes.root.checked_at = math.inf

    @property
    def hidden(self) -> HiddenNames:
        """The keys that no path can name."""
        return self._questions.hidden

    @property
    def negative_ttl_s(self) -> float:
        """How long the kernel may remember that a name does not exist."""
        return self._policy.negative_ttl_s

    def entry_ttl_s(self, inode: Inode) -> float:
        """How much longer the kernel may believe this inode's name and size, in seconds."""
        if inode.superseded or self._doubted(inode.key, inode.checked_at):
            return 0.0
        age = self._clock() - inode.checked_at
        return max(0.0, self._policy.ttl_s(inode.key) - max(0.0, age))

    def attributes_final(self, inode: Inode) -> bool:
        """The attributes need no HEAD: user metadata was looked at, or this mount never saw any."""
        return inode.info is None or inode.info.has_metadata or not self._metadata_mtimes()

    async def lookup(self, parent: Inode, name: bytes) -> Inode:
        """Return the inode of `name` in `parent`. Raises NoSuchEntryError and store errors."""
        if not parent.is_directory:
            raise NotADirectoryEntryError(parent.key)
        if names.hidden_reason(names.to_part(name)) is not None:
            raise NoSuchEntryError(name)
        known = self._believed(parent, name)
        if known is None and await self._recalled(parent):
            known = self._believed(parent, name)
        if known is not None:
            return known
        answer = await self._asked(parent, name)
        if answer.entry is None:
            self._note_missing(parent, name, answer.asked_at)
            raise NoSuchEntryError(name)
        return self.enter(parent, answer.entry, answer.asked_at)

    async def listing(self, directory: Inode) -> DirectoryListing:
        """Return all entries of a directory. Raises NoSuchEntryError when it is gone."""
        if not directory.is_directory:
            raise NotADirectoryEntryError(directory.key)
        found = self._fresh_listing(directory)
        if found is None and await self._recalled(directory):
            found = self._fresh_listing(directory)
        if found is not None:
            return found
        flight = directory.ino, self._invalidations
        return await self._list_flights.do(flight, lambda: self._list(directory))

    def enter(self, parent: Inode, entry: DirectoryEntry, checked_at: float) -> Inode:
        """Return the inode of an entry that the store showed at `checked_at`.

        What is known from a later moment is not undone: an open directory shows old entries.
        """
        if not self._absences.outlived(parent.ino, entry.name, checked_at):
            checked_at = -math.inf
        before = parent.children.get(entry.name)
        if before is not None and before.checked_at > checked_at:
            before.add_metadata(entry.info)
            return before
        inode = self.inodes.enter(parent, entry)
        inode.checked_at = max(inode.checked_at, checked_at)
        if before is not None and before is not inode:
            if parent.listing is None or parent.listing.listed_at < checked_at:
                self._forget_listing(parent)  # It would bring the old version back.
            self._tell_superseded(before)
        return inode

    async def refresh(self, inode: Inode) -> None:
        """Ask about a file again. Afterwards it is confirmed or superseded."""
        if not self.attributes_final(inode) and await self._recalled_attributes(inode):
            return
        parent = inode.parent
        assert parent is not None
        answer = await self._asked(parent, inode.name)
        if answer.entry is None:
            self.mark_changed(inode)
        else:
            self.inodes.drop_unreferenced(self.enter(parent, answer.entry, answer.asked_at))

    async def revalidate(self, inode: Inode) -> None:
        """`refresh` when the last answer is older than the TTL, or was invalidated."""
        age = self._clock() - inode.checked_at
        outlived = age > max(self._policy.ttl_s(inode.key), _REVALIDATE_GRACE_S)
        if outlived or self._doubted(inode.key, inode.checked_at):
            await self.refresh(inode)

    def mark_changed(self, inode: Inode) -> None:
        """The store says that the inode's object is no longer what it was."""
        if inode.superseded:
            return
        if inode.parent is not None:
            self._forget_listing(inode.parent)
            self._absences.note(inode.parent.ino, inode.name, self._clock(), believed_s=0.0)
        if not inode.is_directory:
            self.remembered.forget_attributes(inode.key)
        self.inodes.supersede(inode)
        self._tell_superseded(inode)

    def invalidate(self, key: str, *, subtree: bool) -> int:
        """Believe nothing that is known by now of `key` and, with `subtree`, of what is below it.

        `key` has no slash at its end; "" is the root. The next access asks the store, for all
        mounts that share the catalog. Versions that did not change keep their inodes and blocks.
        Returns how many names the kernel is told to ask about again.
        """
        now = self._clock()
        self._invalidations += 1
        directory = key + "/" if key else ""
        if key:
            above = key.rpartition("/")[0]
            if self.inodes.find(above) is None:
                self.invalidate(above, subtree=False)  # It may have been found missing.
            above = above + "/" if above else ""
            self._doubts.note(above, now)
            self.remembered.forget_listing(above)
            self._doubts.note(key, now)
            self.remembered.forget_attributes(key)
        if subtree:
            self._doubts.note_below(directory, now)
            self.remembered.forget_below(directory)
        else:
            self._doubts.note(directory, now)
            self.remembered.forget_listing(directory)
        known = list(self._known_names(key, subtree=subtree))
        for parent_ino, name in known:
            self._on_invalidated(parent_ino, name)
        return len(known)

    def _metadata_mtimes(self) -> bool:
        return self._questions.metadata_mtimes or self.remembered.metadata_mtimes

    def _doubted(self, key: str, known_at: float) -> bool:
        """What was known of an entry at a moment was invalidated since."""
        return self._doubts.since(key.removesuffix("/")) > known_at

    def _is_fresh(self, key: str, known_at: float) -> bool:
        """What was known of an entry at a moment is still believed."""
        age = self._clock() - known_at
        return age < self._policy.ttl_s(key) and not self._doubted(key, known_at)

    def _believed(self, parent: Inode, name: bytes) -> Inode | None:
        """The inode by what is known already; raises NoSuchEntryError when that is known."""
        child = parent.children.get(name)
        found = self._fresh_listing(parent)
        listed_at = -math.inf if found is None else found.listed_at
        known_later = child is not None and child.checked_at >= listed_at
        if child is not None and known_later and self._is_fresh(child.key, child.checked_at):
            return child
        if found is not None and not known_later:
            entry = found.by_name.get(name)
            if entry is None:
                ttl_s = self._policy.negative_ttl_s
                self._absences.note(parent.ino, name, listed_at, believed_s=ttl_s)
            elif self._is_fresh(entry.key_in(parent.key), listed_at):
                return self.enter(parent, entry, listed_at)
        absence = self._absences.get(parent.ino, name)
        if (
            absence is not None
            and self._clock() < absence.believed_until
            and not self._doubted(parent.key + names.to_part(name), absence.noted_at)
        ):
            raise NoSuchEntryError(name)
        return None

    def _fresh_listing(self, directory: Inode) -> DirectoryListing | None:
        found = directory.listing
        if found is None:
            return None
        expired = self._clock() - found.listed_at >= self._policy.ttl_s(directory.key)
        if expired or self._doubts.since(directory.key) > found.listed_at:
            directory.listing, directory.asked = None, 0
            return None
        return found

    async def _recalled(self, directory: Inode) -> bool:
        """Whether the catalog had the listing of a directory; asked once per TTL."""
        ttl_s = self._policy.ttl_s(directory.key)
        if ttl_s <= 0 or self._clock() - directory.recalled_at < ttl_s:
            return False

        async def recall() -> None:
            found = await self.remembered.listing(directory.key, ttl_s)
            directory.recalled_at = self._clock()
            if found is not None:
                self._keep(directory, found)

        await self._recall_flights.do((directory.ino, self._invalidations), recall)
        return True

    async def _recalled_attributes(self, inode: Inode) -> bool:
        """Whether the catalog had what a HEAD told of this version of a file."""
        found = await self.remembered.attributes(inode.key, self._policy.ttl_s(inode.key))
        if found is None or inode.superseded or not is_same_version(inode.info, found[0]):
            return False
        if not self._is_fresh(inode.key, found[1]):
            return False
        inode.add_metadata(found[0])
        inode.checked_at = max(inode.checked_at, found[1])
        return True

    async def _asked(self, parent: Inode, name: bytes) -> Answer:
        flight = parent.ino, name, self._invalidations
        return await self._entry_flights.do(flight, lambda: self._ask(parent, name))

    async def _ask(self, parent: Inode, name: bytes) -> Answer:
        self._list_if_busy(parent)
        answer = await self._questions.entry(parent.key + names.to_part(name), name)
        info = None if answer.entry is None else answer.entry.info
        self._note_metadata_mtimes()
        # Only what a listing of this store does not tell: the rest comes with the listing.
        if (
            info is not None
            and self._metadata_mtimes()
            and self._is_fresh(info.key, answer.asked_at)
        ):
            self.remembered.note_attributes(info, answer.asked_at, self._policy.ttl_s(info.key))
        return answer

    def _list_if_busy(self, directory: Inode) -> None:
        """List a directory, once per TTL and beside the lookups, when many of its names are asked
        for: a shuffled list of files is then two requests a file only for the first few."""
        directory.asked += 1
        if directory.asked == _LOOKUPS_BEFORE_LISTING:
            self._nursery.start_soon(self._list_ahead, directory)

    async def _list_ahead(self, directory: Inode) -> None:
        flight = directory.ino, self._invalidations, _AHEAD_PAGES_MAX
        try:
            await self._list_flights.do(flight, lambda: self._list(directory, _AHEAD_PAGES_MAX))
        except (StoreError, NoSuchEntryError, TooLargeError) as error:
            log.debug("cannot list %r ahead: %r", directory.key, error)

    async def _list(self, directory: Inode, pages_max: float = math.inf) -> DirectoryListing:
        asked_at = self._clock()
        found = await self._questions.listing(directory.key, pages_max)
        if found is None:
            if directory is not self.inodes.root:
                self.mark_changed(directory)
                raise NoSuchEntryError(directory.name)
            found = DirectoryListing((), {}, asked_at)
        self._note_metadata_mtimes()
        if self._keep(directory, found):
            ttl_s = self._policy.ttl_s(directory.key)
            self.remembered.note_listing(directory.key, found, ttl_s)
        return found

    def _keep(self, directory: Inode, found: DirectoryListing) -> bool:
        """Take a listing for what the directory holds, unless something later is known."""
        known = directory.listing
        outdated = known is not None and known.listed_at > found.listed_at
        if outdated or self._doubts.since(directory.key) > found.listed_at:
            return False
        directory.listing = found
        for name, child in list(directory.children.items()):
            entry = found.by_name.get(name)
            if entry is not None:
                self.inodes.drop_unreferenced(self.enter(directory, entry, found.listed_at))
            elif child.checked_at <= found.listed_at:
                self.inodes.supersede(child)
                self._tell_superseded(child)
        return True

    def _note_missing(self, parent: Inode, name: bytes, asked_at: float) -> None:
        child = parent.children.get(name)
        if child is not None and child.checked_at <= asked_at:
            self.mark_changed(child)
        ttl_s = self._policy.negative_ttl_s
        self._absences.note(parent.ino, name, asked_at, believed_s=ttl_s)

    def _note_metadata_mtimes(self) -> None:
        if self._questions.metadata_mtimes:
            self.remembered.note_metadata_mtimes()

    def _forget_listing(self, directory: Inode) -> None:
        directory.listing, directory.asked = None, 0
        self._doubts.note(directory.key, self._clock())
        self.remembered.forget_listing(directory.key)

    def _tell_superseded(self, inode: Inode) -> None:
        if inode.is_directory:
            # Should the name become a directory again, it will not be this one.
            self._doubts.note_below(inode.key, self._clock())
            self.remembered.forget_below(inode.key)
        if inode.lookups > 0 and inode.parent is not None:
            self._on_invalidated(inode.parent.ino, inode.name)

    def _known_names(self, key: str, *, subtree: bool) -> Iterator[tuple[int, bytes]]:
        """The names that the kernel may know, as (directory, name): the ones that matter first.

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
        yield from [absent for absent in self._absences if absent[0] == top.ino]
        yield from _names(below[in_use:])


def _names(inodes: list[Inode]) -> Iterator[tuple[int, bytes]]:
    for inode in inodes:
        if inode.parent is not None:
            yield inode.parent.ino, inode.name
