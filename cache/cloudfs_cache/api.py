"""Values that all floors of the cache share: identities, the fetch function, statistics, errors.

Values only: no tier imports another through here, and nothing in this package knows which store
the bytes come from or who reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

BLOCK_BYTES = 1 << 20
"""Size of a cache block. One kernel READ is at most this long, so most reads touch one block."""

Buffer: TypeAlias = bytes | bytearray | memoryview

ChunkSink: TypeAlias = Callable[[Buffer], None]
"""Takes the next bytes of a range, in order, from a worker thread."""


def key_bytes(key: str) -> bytes:
    """Return a key, or what is made of keys, as bytes: UTF-8, other bytes as they are (PEP 383)."""
    return key.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """Content identity: the same value always means the same bytes.

    `etag` is the store's opaque version (ETag or generation); `size` is in bytes.
    """

    store_id: str
    key: str
    etag: str
    size: int

    def digest(self) -> str:
        """32 hex digits that name this version on disk."""
        text = "\0".join((self.store_id, self.key, self.etag, str(self.size)))
        return hashlib.blake2b(key_bytes(text), digest_size=16).hexdigest()

    @property
    def block_count(self) -> int:
        """How many blocks hold the object; 0 when it is empty."""
        return -(-self.size // BLOCK_BYTES)

    def block_length(self, index: int) -> int:
        """Length in bytes of block `index`: BLOCK_BYTES but for the last one."""
        return min(BLOCK_BYTES, self.size - index * BLOCK_BYTES)


FetchRange: TypeAlias = Callable[[ObjectVersion, int, int, ChunkSink], Awaitable[None]]
"""`await fetch(version, start, stop, sink)` hands the bytes [start, stop) to `sink` in order.

Raises whatever the source raises; the bytes handed over before that are valid.
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """How one object is to be cached.

    `keep_on_disk` False keeps it out of the SSD tier; `pinned` blocks are never evicted to make
    room; a miss fetches the whole aligned group of `fetch_blocks` blocks.
    """

    keep_on_disk: bool = True
    pinned: bool = False
    fetch_blocks: int = 1


DEFAULT_PLACEMENT = Placement()


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The object `key` and, with `subtree`, everything below `key + "/"`; "" is the whole store."""

    key: str
    subtree: bool

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        if key == self.key:
            return True
        return self.subtree and (self.key == "" or key.startswith(self.key + "/"))


class BlockSpan(NamedTuple):
    """The blocks that bytes of an object lie in: from byte `start` of block `first` to byte `stop`
    of block `last`."""

    first: int
    last: int
    start: int
    stop: int

    @classmethod
    def of(cls, offset: int, size: int) -> BlockSpan:
        """Return the span of the bytes [offset, offset + size), which must not be empty."""
        end = offset + size
        first, last = offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        return cls(first, last, offset - first * BLOCK_BYTES, end - last * BLOCK_BYTES)

    @property
    def indices(self) -> range:
        """The indices of the blocks."""
        return range(self.first, self.last + 1)


NO_BYTES: Final = range(0)
"""A range of bytes without any."""


class Origin(Enum):
    """Where the bytes of a block come from: the store, or a tier above it. No two tiers of a chain
    have the same origin."""

    STORE = "store"
    DISK = "disk"


class WaitsFor(Enum):
    """What a reader waits for: an answer of the store or of a disk, or a free buffer."""

    STORE = "store"
    DISK = "disk"
    MEMORY = "memory"
    OTHER = "other"


class CacheClosedError(Exception):
    """The cache is shutting down: what was waited for will not come."""


class DiskStalledError(Exception):
    """The disk did not answer in time; the thread that asked it is still there."""


class DiskUnusableError(Exception):
    """A cache directory cannot do what a command asks of it; the message says why."""


class CacheSetupError(Exception):
    """The cache directory cannot be used; the message names it and the fix."""


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """The memory tier now (bytes, blocks) and since the start (hits, misses)."""

    capacity_bytes: int
    used_bytes: int
    blocks: int
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class DiskStatistics:
    """One directory of the SSD tier now (state, bytes) and since the start (the rest).

    `state` is `ok`, `read-only` (nothing is written: `reason` says why) or `bypassed` (the disk
    is not asked at all). `used_bytes` and `free_bytes` are what the last look at the disk found;
    the bytes are shared by all mounts of the directory, the counts are this mount's. `rejected`
    blocks were worth less than what they would have displaced; `skipped` blocks came faster than
    the disk took them, or while it took none; lz4 freed `recompressed_bytes`; `threads_busy`
    work on the disk now; `threads_waiting` tasks wait for one.
    """

    directory: str
    state: str
    reason: str
    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    hits: int
    misses: int
    writes: int
    evictions: int
    rejected: int
    skipped: int
    errors: int
    stalls: int
    corrupt: int
    recompressed_bytes: int
    threads_busy: int
    threads_waiting: int


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What one cache directory holds of one store, in bytes on the disk (`saved_bytes` by lz4)."""

    directory: str
    store_id: str
    objects: int
    blocks: int
    stored_bytes: int
    pinned_bytes: int
    compressed_bytes: int
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a verification is."""

    blocks_total: int
    blocks_done: int
    bytes_done: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found. `missing` blocks had no bytes, `corrupt` ones wrong bytes: both
    are forgotten and fetched again when read. `orphans` are files that no index knew: deleted."""

    blocks: int
    bytes: int
    corrupt: int
    missing: int
    orphans: int


@dataclass(frozen=True, slots=True)
class PrefetchStatistics:
    """Bytes fetched ahead of demand: issued, then read, or dropped unread."""

    issued_bytes: int
    used_bytes: int
    wasted_bytes: int
    queued: int


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """Bytes delivered to readers, by where they were when the read came.

    `store_bytes` and `disk_bytes` count the first delivery of a block's bytes, `memory_bytes`
    every later one.
    """

    memory_bytes: int
    disk_bytes: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class PopulateStatistics:
    """What memory holds now that is on its way to the SSD tier."""

    waiting_blocks: int = 0
    waiting_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """A snapshot of all tiers."""

    memory: MemoryStatistics
    disks: tuple[DiskStatistics, ...]
    prefetch: PrefetchStatistics
    sources: SourceStatistics
    populate: PopulateStatistics = PopulateStatistics()
