"""The tier protocol: blocks of object versions on something between memory and the store.

Owned by the trio loop. A tier never raises because of its medium: what it cannot read is absent,
what it cannot write is skipped. The layers above hold an opaque entry per object version and know
nothing of how or where the tier keeps it, so an entry is also what a composite tier hands through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import trio

from cloudfs_cache.api import (
    DiskStatistics,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Origin,
    Placement,
    VerifyProgress,
    VerifyReport,
)


class Presence(Enum):
    """Whether a tier holds a block. MAYBE is for tiers that cannot tell without asking: a read is
    planned, and the block comes from further down when the tier turns out not to have it."""

    ABSENT = "absent"
    MAYBE = "maybe"
    PRESENT = "present"


class ReadResult(Enum):
    """What became of one block of a read. STALLED: no bytes, and its memory is still in use."""

    SOUND = "sound"
    ABSENT = "absent"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class BlockMemory:
    """Memory of a block that a tier reads or writes: `view` has BLOCK_BYTES, page-aligned, and the
    block is its first `length` bytes."""

    index: int
    length: int
    view: memoryview


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """Whether a medium takes writes now, and what became of all writes to it since the start."""

    accepting: bool
    rejected: int
    evictions: int
    errors: int


class TierEntry(Protocol):
    """A tier's side of one object version; kept by the tier as long as it is referenced."""

    @property
    def version(self) -> ObjectVersion:
        """The object version."""

    @property
    def origin(self) -> Origin:
        """The origin of blocks that are read here: that of the tier."""

    @property
    def readable(self) -> bool:
        """Whether a read is worth a try now."""

    @property
    def writable(self) -> bool:
        """Whether a write is worth a try now."""

    @property
    def empty(self) -> bool:
        """Whether the tier is known to hold no block of it."""

    def has(self, index: int) -> Presence:
        """Tell whether the tier holds a block, without asking anything."""

    async def refresh(self) -> None:
        """Learn what other mounts have added, if the last look was some time ago."""

    async def recheck(self) -> None:
        """Learn what is there now: blocks that were evicted by other mounts are absent then."""

    async def read(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[int], None]
    ) -> list[ReadResult]:
        """Read blocks, adjacent or not, into their memory; return what became of each.

        `on_released` is called with the index of each stalled block once nothing writes to its
        memory any more, perhaps before this returns.
        """

    async def read_range(self, index: int, start: int, stop: int) -> bytes | None:
        """Return the bytes [start, stop) of a block without reading all of it, or None."""

    async def write(
        self, blocks: Sequence[BlockMemory], on_released: Callable[[], None], *, forced: bool
    ) -> None:
        """Write adjacent full blocks; `forced` ones displace others whatever those are worth.

        `on_released` is called once nothing reads their memory any more: before this returns, but
        for a medium that stalls.
        """

    def write_counts(self) -> WriteCounts:
        """Return what the medium of this object does with writes."""

    def opened(self) -> None:
        """Note that a reader opened the object; the kernel may have all of a small one."""

    def accessed(self, index: int, size_bytes: int, *, resident: bool) -> None:
        """Note that a reader was given bytes of a block; `resident`: they came from this tier."""

    def missed(self) -> None:
        """Count a block that had to come from further down."""

    def skipped(self, blocks: int) -> None:
        """Count blocks that were not offered, because they came faster than they are written."""


class TierAdmin(Protocol):
    """Administrative operations of a tier. Raises DiskUnusableError when it cannot answer."""

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later."""

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""

    async def pins(self) -> list[KeyRange]:
        """Return what is pinned."""

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is not pinned of these ranges; return the bytes that are free now."""

    async def verify(self, report: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store and drop the corrupt ones."""

    async def usage(self) -> list[DiskUsage]:
        """Return what is kept of which store."""


class Tier(Protocol):
    """A place for blocks of object versions, slower than memory and faster than the store."""

    @property
    def origin(self) -> Origin:
        """The origin of blocks that are read here."""

    @property
    def admin(self) -> TierAdmin:
        """The administrative operations."""

    async def serve(self, *, task_status: trio.TaskStatus[None] = ...) -> None:
        """Do what has to be done beside reads and writes, until cancelled."""

    async def open(self, version: ObjectVersion, placement: Placement) -> TierEntry:
        """Return the entry of a version: what the tier holds of it, and where it would go."""

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        """Return the blocks that are present of each version."""

    def statistics(self) -> tuple[DiskStatistics, ...]:
        """Return a snapshot: one record per local disk."""

    async def aclose(self) -> None:
        """Write down what is only known here and release the medium."""
