"""What the tiers agree on: identities, the fetch function, and the records of statistics.

Values only: no tier imports another through here, and nothing in this package knows which store
the bytes come from or who reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

BLOCK_BYTES = 1 << 20
"""Size of a cache block. One kernel READ is at most this long, so most reads touch one block."""

Buffer: TypeAlias = bytes | bytearray | memoryview

ChunkSink: TypeAlias = Callable[[Buffer], None]
"""Takes the next bytes of a range, in order, from a worker thread."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """Content identity: the same value always means the same bytes.

    `etag` is the store's opaque version (ETag or generation); `size` is in bytes.
    """

    store_url: str
    key: str
    etag: str
    size: int

    def digest(self) -> str:
        """32 hex digits that name this version on disk."""
        text = "\0".join((self.store_url, self.key, self.etag, str(self.size)))
        data = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, digest_size=16).hexdigest()

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


class Origin(Enum):
    """Where the bytes of a block came from."""

    STORE = "store"
    DISK = "disk"


class CacheClosedError(Exception):
    """The cache is shutting down: what was waited for will not come."""


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
    """The SSD tier now (bytes, objects) and since the start (the rest)."""

    directory: str | None
    state: str
    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    objects: int
    hits: int
    misses: int
    evictions: int
    errors: int
    corrupt: int
    skipped_writes: int


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
class CacheStatistics:
    """A snapshot of all tiers."""

    memory: MemoryStatistics
    disk: DiskStatistics
    prefetch: PrefetchStatistics
    sources: SourceStatistics
