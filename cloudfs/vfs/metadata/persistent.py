"""Persistent metadata cache: listings and attributes in the catalog that mounts of a node share.

What is loaded is dated by when the store was asked, and valid only while it is younger than the TTL
by the wall clock; nothing is valid that lies in the future. What is to be stored or removed is
written behind the response, in order, by one task.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import trio

from cloudfs.vfs.metadata import codec
from cloudfs.vfs.metadata.catalog_access import CatalogAccess
from cloudfs.vfs.metadata.entries import DirectoryEntry
from cloudfs.vfs.metadata.listing import DirectoryListing
from cloudfs_backends.api import ObjectInfo
from cloudfs_cache.api import key_bytes
from cloudfs_cache.metadata.database import Catalog, CatalogRecord

_LIMIT_S: Final = 1.0
_PENDING_MAX: Final = 1024
_REMOVED_AT_ONCE: Final = 500
_COMPARED_REMOVALS: Final = 4
_SMALL_BYTES: Final = 64 << 10
_CLOCK_ERROR_S: Final = 0.001

_LISTING: Final = b"L"
_ATTRIBUTES: Final = b"A"
_METADATA_MTIMES: Final = b"M"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class PersistentMetadataStatistics:
    """The catalog's state now (see `CatalogAccess.state`), and counters since the mount was made.

    `hits` and `misses` count listings and attributes asked for, `dropped` what was not stored
    because too much was waiting or the catalog took nothing.
    """

    state: str
    hits: int
    misses: int
    stored: int
    dropped: int
    errors: int


@dataclass(frozen=True, slots=True)
class _Put:
    key: bytes
    parts: Iterable[object]
    ttl_s: float


@dataclass(frozen=True, slots=True)
class _Removal:
    prefix: bytes
    subtree: bool


class PersistentMetadata:
    """The persistent cache of one mount; owned by the trio loop. `open_catalog` None: it has none.

    `identity` names the store and how it is reached. Moments are seconds of `clock`, the tree's;
    `wall_clock` gives seconds since the epoch. `serve` must run for anything to be written.
    """

    def __init__(
        self,
        open_catalog: Callable[[], Catalog] | None,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self.metadata_mtimes = False
        self._store_digest = hashlib.blake2b(key_bytes(identity), digest_size=16).digest()
        self._clock = clock
        self._wall_clock = wall_clock
        self._limit_s = limit_s
        self._catalog = CatalogAccess(
            open_catalog, self._load_metadata_mtimes, clock=clock, limit_s=limit_s
        )
        self._pending: deque[_Put | _Removal] = deque()
        self._arrived = trio.Event()
        self._written = trio.Event()
        self._written.set()
        self._decoding = trio.CapacityLimiter(1)
        self._hits = self._misses = 0
        self._stored = self._dropped = 0

    async def listing(self, directory: str, ttl_s: float) -> DirectoryListing | None:
        """Return the listing of a directory that is not older than `ttl_s` seconds."""
        key = self._key(_LISTING, directory)
        found = await self._load(key, partial(_listing, directory), ttl_s)
        return None if found is None else DirectoryListing(tuple(found[0].values()), *found)

    async def attributes(self, key: str, ttl_s: float) -> tuple[ObjectInfo, float] | None:
        """Return the attributes of an object with the moment when they were requested."""
        return await self._load(self._key(_ATTRIBUTES, key), partial(_attributes, key), ttl_s)

    def store_listing(self, directory: str, found: DirectoryListing, ttl_s: float) -> None:
        """Store a listing of the store, behind the response."""
        requested_at = self._to_wall(found.requested_at)
        parts = codec.from_entries(requested_at, found.entries)
        self._enqueue_put(_Put(self._key(_LISTING, directory), parts, ttl_s))

    def store_attributes(self, info: ObjectInfo, requested_at: float, ttl_s: float) -> None:
        """Store what a HEAD showed, behind the response."""
        parts = codec.from_info(self._to_wall(requested_at), info)
        self._enqueue_put(_Put(self._key(_ATTRIBUTES, info.key), parts, ttl_s))

    def store_metadata_mtimes(self) -> None:
        """Store that objects of this store have their mtime in user metadata."""
        if not self.metadata_mtimes:
            self.metadata_mtimes = True
            self._enqueue_put(_Put(self._key(_METADATA_MTIMES, ""), [True], math.inf))

    def remove_listing(self, directory: str) -> None:
        """Remove the listing of a directory, behind the response."""
        self._enqueue_removal(_Removal(self._key(_LISTING, directory), subtree=False))

    def remove_attributes(self, key: str) -> None:
        """Remove the attributes of an object, behind the response."""
        self._enqueue_removal(_Removal(self._key(_ATTRIBUTES, key), subtree=False))

    def remove_subtree(self, directory: str) -> None:
        """Remove the listing of a directory and everything below it, behind the response."""
        for kind in (_LISTING, _ATTRIBUTES):
            self._enqueue_removal(_Removal(self._key(kind, directory), subtree=True))

    def statistics(self) -> PersistentMetadataStatistics:
        """Return a snapshot."""
        return PersistentMetadataStatistics(
            self._catalog.state,
            self._hits,
            self._misses,
            self._stored,
            self._dropped,
            self._catalog.errors,
        )

    async def serve(self) -> None:
        """Write what is enqueued. Runs until cancelled."""
        while True:
            while not self._pending:
                self._arrived = trio.Event()
                self._written.set()
                await self._arrived.wait()
            job = self._pending.popleft()
            if isinstance(job, _Put):
                await self._put(job)
            else:
                await self._remove(job)

    async def aclose(self) -> None:
        """Wait, within the limit, for what is still to be written; then close the catalog."""
        with trio.move_on_after(self._limit_s):
            await self._written.wait()
        await self._catalog.aclose()

    def _key(self, kind: bytes, key: str) -> bytes:
        return self._store_digest + kind + key_bytes(key)

    def _to_wall(self, moment: float) -> float:
        return self._wall_clock() - (self._clock() - moment)

    def _from_wall(self, requested_at: float, ttl_s: float) -> float | None:
        """Return a wall clock's moment on the tree's clock; None when it is no longer valid."""
        age_s = self._wall_clock() - requested_at
        return self._clock() - age_s if -_CLOCK_ERROR_S <= age_s < ttl_s else None

    def _load_metadata_mtimes(self, catalog: Catalog) -> None:
        record = catalog.get(self._key(_METADATA_MTIMES, ""))
        if record is not None and record.unpack() == [True]:
            self.metadata_mtimes = True
            # Stored anew, it is among the last to be evicted.
            catalog.put(record, ttl_s=None)

    async def _load(
        self,
        key: bytes,
        decode: Callable[[CatalogRecord], tuple[Value, float] | None],
        ttl_s: float,
    ) -> tuple[Value, float] | None:
        if ttl_s <= 0 or self._catalog.state != "ok":
            return None

        def read(catalog: Catalog) -> CatalogRecord | tuple[Value, float] | None:
            record = catalog.get(key)
            if record is None or len(record.packed) > _SMALL_BYTES:
                return record
            return decode(record)

        found = await self._catalog.run(read)
        if isinstance(found, CatalogRecord):
            # Not in the catalog's own thread: others want to read it meanwhile.
            found = await trio.to_thread.run_sync(
                decode, found, limiter=self._decoding, abandon_on_cancel=True
            )
        requested_at = None if found is None else self._from_wall(found[1], ttl_s)
        if found is None or requested_at is None:
            self._misses += 1
            return None
        self._hits += 1
        return found[0], requested_at

    def _enqueue_put(self, put: _Put) -> None:
        if self._catalog.is_off or put.ttl_s <= 0:
            return
        if len(self._pending) >= _PENDING_MAX:
            self._dropped += 1
            return
        self._enqueue(put)

    def _enqueue_removal(self, removal: _Removal) -> None:
        if self._catalog.is_off or removal in islice(reversed(self._pending), _COMPARED_REMOVALS):
            return
        if len(self._pending) >= 2 * _PENDING_MAX:
            # No removal may be lost: what they would leave is removed with all the rest.
            self._dropped += sum(isinstance(job, _Put) for job in self._pending)
            self._pending.clear()
            self.remove_subtree("")
        self._enqueue(removal)

    def _enqueue(self, job: _Put | _Removal) -> None:
        self._pending.append(job)
        self._written = trio.Event()
        self._arrived.set()

    async def _put(self, put: _Put) -> None:
        if self._catalog.state != "ok":
            self._dropped += 1
            return
        record = await trio.to_thread.run_sync(
            CatalogRecord.pack, put.key, put.parts, abandon_on_cancel=True
        )
        ttl_s = None if math.isinf(put.ttl_s) else put.ttl_s

        def write(catalog: Catalog) -> bool:
            catalog.put(record, ttl_s=ttl_s)
            return True

        if await self._catalog.run(write):
            self._stored += 1
        else:
            self._dropped += 1

    async def _remove(self, removal: _Removal) -> None:
        """Remove until nothing is left, however long the catalog takes nothing."""

        def remove(catalog: Catalog) -> bool:
            if removal.subtree:
                removed = catalog.remove_below(removal.prefix, limit=_REMOVED_AT_ONCE)
                return removed < _REMOVED_AT_ONCE
            catalog.remove(removal.prefix)
            return True

        while not self._catalog.is_off:
            if self._catalog.state != "ok":
                await trio.sleep(self._limit_s)
            elif await self._catalog.run(remove):
                return


def _listing(
    directory: str, record: CatalogRecord
) -> tuple[dict[bytes, DirectoryEntry], float] | None:
    parts = record.unpack()
    requested_at = None if parts is None else codec.requested_at(parts)
    entries = None if parts is None else codec.to_entries(directory, parts)
    return None if requested_at is None or entries is None else (entries, requested_at)


def _attributes(key: str, record: CatalogRecord) -> tuple[ObjectInfo, float] | None:
    parts = record.unpack()
    requested_at = None if parts is None else codec.requested_at(parts)
    info = None if parts is None else codec.to_info(key, parts)
    return None if requested_at is None or info is None else (info, requested_at)
