"""What earlier mounts of the store learnt about names: the catalog, asked and filled from the loop.

An answer of the catalog is dated by when the store was asked, and believed only while it is younger
than the TTL by the wall clock; one from the future is not believed at all. A catalog that is slow,
broken or absent remembers nothing: no lookup waits for it longer than a second, and none fails.
What is to be stored is written behind the answer, in order, by one task.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import trio

from cloudfs.vfs.metadata import codec
from cloudfs.vfs.metadata.entries import DirectoryEntry
from cloudfs.vfs.metadata.listing import DirectoryListing
from cloudfs.vfs.metadata.thread import LateError, OwnerThread
from cloudfs_backends.api import ObjectInfo
from cloudfs_cache.metadata.database import Catalog, CatalogError, seal, unseal

log = logging.getLogger(__name__)

_LIMIT_S = 1.0
_PENDING_MAX = 1024
_FAILURES_MAX = 3
_PAUSE_S = 30.0
_REMOVED_AT_ONCE = 500
_SAME_LATELY = 4
_SMALL_BYTES = 64 << 10
_CLOCK_ERROR_S = 0.001

_LISTING = b"L"
_ATTRIBUTES = b"A"
_METADATA_MTIMES = b"M"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RememberedStatistics:
    """The catalog now (`state`) and since the mount was made.

    `state` is `off` (there is none), `ok`, `late` (it has not answered for a second) or `failing`
    (it is left alone for a while). `hits` and `misses` count listings and attributes asked for,
    `dropped` what was not stored because too much was waiting or the catalog took nothing.
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
    below: bool


class Remembered:
    """The memory of one mount; owned by the trio loop. `open_catalog` None: it has none.

    `identity` names the store and how it is reached. Moments are seconds of `clock`, the tree's;
    `wall_clock` gives seconds since the epoch. `serve` must run for anything to be stored.
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
        self._open_catalog = open_catalog
        self._store = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16)
        self._clock = clock
        self._wall_clock = wall_clock
        self._thread = OwnerThread("cloudfs catalog", self._open, limit_s=limit_s)
        self._limit_s = limit_s
        self._pending: deque[_Put | _Removal] = deque()
        self._arrived = trio.Event()
        self._written = trio.Event()
        self._written.set()
        self._decoding = trio.CapacityLimiter(1)
        self._off = open_catalog is None
        self._paused_until = -math.inf
        self._failures = self._errors = self._hits = self._misses = 0
        self._stored = self._dropped = 0

    async def listing(self, directory: str, ttl_s: float) -> DirectoryListing | None:
        """Return the listing of a directory that is not older than `ttl_s` seconds."""
        key = self._key(_LISTING, directory)
        found = await self._recall(key, partial(_listing, directory, key), ttl_s)
        return None if found is None else DirectoryListing(tuple(found[0].values()), *found)

    async def attributes(self, key: str, ttl_s: float) -> tuple[ObjectInfo, float] | None:
        """Return the attributes of an object with the moment when they were asked for."""
        stored = self._key(_ATTRIBUTES, key)
        return await self._recall(stored, partial(_attributes, key, stored), ttl_s)

    def note_listing(self, directory: str, found: DirectoryListing, ttl_s: float) -> None:
        """Store a listing that the store gave, behind the answer."""
        asked_at = self._to_wall(found.listed_at)
        parts = codec.from_entries(asked_at, found.entries)
        self._note(_Put(self._key(_LISTING, directory), parts, ttl_s))

    def note_attributes(self, info: ObjectInfo, asked_at: float, ttl_s: float) -> None:
        """Store what a HEAD told, behind the answer."""
        parts = codec.from_info(self._to_wall(asked_at), info)
        self._note(_Put(self._key(_ATTRIBUTES, info.key), parts, ttl_s))

    def note_metadata_mtimes(self) -> None:
        """Store that objects of this store have their mtime in user metadata."""
        if not self.metadata_mtimes:
            self.metadata_mtimes = True
            self._note(_Put(self._key(_METADATA_MTIMES, ""), [True], math.inf))

    def forget_listing(self, directory: str) -> None:
        """Remove the listing of a directory, behind the answer."""
        self._forget(self._key(_LISTING, directory), below=False)

    def forget_attributes(self, key: str) -> None:
        """Remove the attributes of an object, behind the answer."""
        self._forget(self._key(_ATTRIBUTES, key), below=False)

    def forget_below(self, directory: str) -> None:
        """Remove the listing of a directory and everything below it, behind the answer."""
        for kind in (_LISTING, _ATTRIBUTES):
            self._forget(self._key(kind, directory), below=True)

    def statistics(self) -> RememberedStatistics:
        """A snapshot."""
        state = "off" if self._off else "late" if self._thread.late else "ok"
        if state == "ok" and self._clock() < self._paused_until:
            state = "failing"
        return RememberedStatistics(
            state, self._hits, self._misses, self._stored, self._dropped, self._errors
        )

    async def serve(self) -> None:
        """Write what is noted. Runs until cancelled."""
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
        """Wait a moment for what is still to be written, then close the catalog."""
        with trio.move_on_after(self._limit_s):
            await self._written.wait()
        self._off = True
        await self._thread.aclose()

    def _key(self, kind: bytes, key: str) -> bytes:
        return self._store.digest() + kind + key.encode("utf-8", "surrogatepass")

    def _to_wall(self, moment: float) -> float:
        return self._wall_clock() - (self._clock() - moment)

    def _from_wall(self, asked_at: float, ttl_s: float) -> float | None:
        """The moment of an answer that is to be believed."""
        age = self._wall_clock() - asked_at
        return self._clock() - age if -_CLOCK_ERROR_S <= age < ttl_s else None

    def _open(self) -> Catalog:
        assert self._open_catalog is not None
        try:
            catalog = self._open_catalog()
        except Exception:
            self._off = True
            raise
        key = self._key(_METADATA_MTIMES, "")
        if (known := catalog.get(key)) is not None and unseal(key, known) == [True]:
            self.metadata_mtimes = True
            # Stored anew, it is among the last that have to make room.
            catalog.put(key, known, believed_s=None)
        return catalog

    async def _recall(
        self, key: bytes, decode: Callable[[bytes], tuple[Result, float] | None], ttl_s: float
    ) -> tuple[Result, float] | None:
        if ttl_s <= 0 or not self._usable():
            return None

        def read(catalog: Catalog) -> bytes | tuple[Result, float] | None:
            sealed = catalog.get(key)
            return sealed if sealed is None or len(sealed) > _SMALL_BYTES else decode(sealed)

        found = await self._run(read)
        if isinstance(found, bytes):
            # Not in the catalog's own thread: others want to ask it meanwhile.
            found = await trio.to_thread.run_sync(
                decode, found, limiter=self._decoding, abandon_on_cancel=True
            )
        asked_at = None if found is None else self._from_wall(found[1], ttl_s)
        if found is None or asked_at is None:
            self._misses += 1
            return None
        self._hits += 1
        return found[0], asked_at

    def _note(self, put: _Put) -> None:
        if self._off or put.ttl_s <= 0:
            return
        if len(self._pending) >= _PENDING_MAX:
            self._dropped += 1
            return
        self._enqueue(put)

    def _forget(self, prefix: bytes, *, below: bool) -> None:
        if self._off:
            return
        removal = _Removal(prefix, below)
        if removal in islice(reversed(self._pending), _SAME_LATELY):
            return
        if len(self._pending) >= 2 * _PENDING_MAX:
            # None of them may be lost: what they would leave is removed with all the rest.
            self._dropped += sum(isinstance(job, _Put) for job in self._pending)
            self._pending.clear()
            self.forget_below("")
        self._enqueue(removal)

    def _enqueue(self, job: _Put | _Removal) -> None:
        self._pending.append(job)
        self._written = trio.Event()
        self._arrived.set()

    async def _put(self, put: _Put) -> None:
        if not self._usable():
            self._dropped += 1
            return
        sealed = await trio.to_thread.run_sync(seal, put.key, put.parts, abandon_on_cancel=True)
        believed_s = None if math.isinf(put.ttl_s) else put.ttl_s

        def write(catalog: Catalog) -> bool:
            catalog.put(put.key, sealed, believed_s=believed_s)
            return True

        if await self._run(write):
            self._stored += 1
        else:
            self._dropped += 1

    async def _remove(self, removal: _Removal) -> None:
        """Remove until nothing is left; a catalog that does not take it now is asked again."""

        def remove(catalog: Catalog) -> bool:
            if removal.below:
                removed = catalog.remove_below(removal.prefix, limit=_REMOVED_AT_ONCE)
                return removed < _REMOVED_AT_ONCE
            catalog.remove(removal.prefix)
            return True

        while not self._off:
            if not self._usable():
                await trio.sleep(self._limit_s)
            elif await self._run(remove):
                return

    def _usable(self) -> bool:
        return not (self._off or self._thread.late or self._clock() < self._paused_until)

    async def _run(self, work: Callable[[Catalog], Result]) -> Result | None:
        """Return what `work` returns, or None when the catalog cannot be had."""
        try:
            result = await self._thread.run(work)
        except LateError:
            self._errors += 1
            log.info("the catalog has not answered for %.0f s: going on without it", self._limit_s)
            return None
        except Exception as error:  # whatever it is: a lookup never fails for it
            self._failed(error)
            return None
        self._failures = 0
        return result

    def _failed(self, error: Exception) -> None:
        self._errors += 1
        self._failures += 1
        if not isinstance(error, CatalogError):
            log.warning("bug in the catalog: please report it", exc_info=error)
        elif self._off and self._failures == 1:
            log.warning("names are not remembered across mounts: the catalog in %s", error)
        elif not self._off and self._failures == _FAILURES_MAX:
            log.warning("the catalog fails (%s): going on without it", error)
        if self._failures >= _FAILURES_MAX:
            self._paused_until = self._clock() + _PAUSE_S


def _listing(
    directory: str, key: bytes, sealed: bytes
) -> tuple[dict[bytes, DirectoryEntry], float] | None:
    parts = unseal(key, sealed)
    asked_at = None if parts is None else codec.asked_at(parts)
    entries = None if parts is None else codec.to_entries(directory, parts)
    return None if asked_at is None or entries is None else (entries, asked_at)


def _attributes(key: str, stored: bytes, sealed: bytes) -> tuple[ObjectInfo, float] | None:
    parts = unseal(stored, sealed)
    asked_at = None if parts is None else codec.asked_at(parts)
    info = None if parts is None else codec.to_info(key, parts)
    return None if asked_at is None or info is None else (info, asked_at)
