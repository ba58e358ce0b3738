"""What a tier below memory can do. One disk is a tier, and so are several disks together.

Owned by the trio loop. A tier never raises because of its disk: what it cannot give is a miss, what
it cannot take is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from cloudfs_cache.api import (
    DiskStatistics,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Placement,
    VerifyProgress,
    VerifyReport,
)
from cloudfs_cache.disk.format.records import DiskObject
from cloudfs_cache.memory.block import Block
from cloudfs_cache.memory.pool import BlockBuffer

GiveBack = Callable[[BlockBuffer], None]


class TierAdmin(Protocol):
    """What people ask of a tier. Raises DiskUnusableError when a disk cannot answer."""

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later."""

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""

    async def pins(self) -> list[KeyRange]:
        """What is pinned."""

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is not pinned of these ranges; returns the bytes that are free now."""

    async def verify(self, note: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store and drop the wrong ones."""

    async def usage(self) -> list[DiskUsage]:
        """What is held of which store."""


class Tier(Protocol):
    """Blocks of object versions, on something slower than memory and faster than the store."""

    @property
    def admin(self) -> TierAdmin:
        """What people ask of it."""

    async def serve(self, *, task_status: trio.TaskStatus[None] = ...) -> None:
        """Do what has to be done beside reads and writes, until cancelled."""

    async def load(self, version: ObjectVersion, placement: Placement) -> DiskObject:
        """Return what the tier holds of a version, and where it would go."""

    async def refresh(self, held: DiskObject) -> None:
        """Look again what other mounts have added, if the last look was some time ago."""

    def readable(self, held: DiskObject) -> bool:
        """Whether reading is worth a try now."""

    def writable(self, held: DiskObject) -> bool:
        """Whether writing is worth a try now."""

    async def read(self, held: DiskObject, blocks: Sequence[Block], lost: GiveBack) -> list[bool]:
        """Fill the buffers of blocks, adjacent or not; say which now hold sound bytes.

        After a stall the blocks have no buffers any more: `lost` takes each when it is free.
        """

    async def read_range(self, held: DiskObject, index: int, start: int, stop: int) -> bytes | None:
        """Return the bytes [start, stop) of a block without reading all of it, or None."""

    async def write(
        self, held: DiskObject, blocks: Sequence[Block], done: Callable[[], None]
    ) -> None:
        """Store adjacent full blocks; `done` is called when their buffers are no longer read.

        That is before it returns, but for a stalled disk.
        """

    def accessed(self, held: DiskObject, index: int, size_bytes: int, *, resident: bool) -> None:
        """A reader was given bytes of a block; `resident` says that they came from this tier."""

    def missed(self, held: DiskObject) -> None:
        """A block had to come from the store."""

    def skipped(self, held: DiskObject, blocks: int) -> None:
        """Blocks came faster than they could be written."""

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        """The blocks present of each version."""

    def statistics(self) -> tuple[DiskStatistics, ...]:
        """A snapshot, one record per disk."""

    async def aclose(self) -> None:
        """Write down what is only known here and let go."""
