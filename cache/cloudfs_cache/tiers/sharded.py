"""Several disks as one tier: each object version has its home on one of them.

Owned by the trio loop. The home is drawn by a hash of the version, weighted by the disks' sizes, so
losing a disk loses its share and nothing else, and adding one moves few. A version that is found on
another disk than its home stays there.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple
from typing import TypeVar

import trio

from cloudfs_cache.api import (
    DiskStatistics,
    DiskUnusableError,
    DiskUsage,
    KeyRange,
    ObjectVersion,
    Placement,
    VerifyProgress,
    VerifyReport,
)
from cloudfs_cache.disk.format.records import DiskObject
from cloudfs_cache.memory.block import Block
from cloudfs_cache.tiers.api import GiveBack, Tier, TierAdmin

Answer = TypeVar("Answer")
Part = TypeVar("Part")


class ShardedTier:
    """At least one tier, asked as one."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tuple(tiers)
        self.admin: TierAdmin = ShardedTierAdmin([tier.admin for tier in tiers])

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve all of them until cancelled."""
        async with trio.open_nursery() as nursery:
            for tier in self._tiers:
                await nursery.start(tier.serve)
            task_status.started()

    async def load(self, version: ObjectVersion, placement: Placement) -> DiskObject:
        """Return what is held of a version: at home, else where something is held."""
        home, *others = self._ranked(version)
        held = await self._tiers[home].load(version, placement)
        held.disk = home
        if not held.records:
            for other in others:
                found = await self._tiers[other].load(version, placement)
                if found.records:
                    found.disk = other
                    return found
        return held

    async def refresh(self, held: DiskObject) -> None:
        """Look again what other mounts have added."""
        await self._tiers[held.disk].refresh(held)

    def readable(self, held: DiskObject) -> bool:
        """Whether reading is worth a try now."""
        return self._tiers[held.disk].readable(held)

    def writable(self, held: DiskObject) -> bool:
        """Whether writing is worth a try now."""
        return self._tiers[held.disk].writable(held)

    async def read(self, held: DiskObject, blocks: Sequence[Block], lost: GiveBack) -> list[bool]:
        """Fill the buffers of blocks; say which now hold sound bytes."""
        return await self._tiers[held.disk].read(held, blocks, lost)

    async def read_range(self, held: DiskObject, index: int, start: int, stop: int) -> bytes | None:
        """Return bytes of a block without reading all of it, or None."""
        return await self._tiers[held.disk].read_range(held, index, start, stop)

    async def write(
        self, held: DiskObject, blocks: Sequence[Block], done: Callable[[], None]
    ) -> None:
        """Store adjacent full blocks."""
        await self._tiers[held.disk].write(held, blocks, done)

    def accessed(self, held: DiskObject, index: int, size_bytes: int, *, resident: bool) -> None:
        """A reader was given bytes of a block."""
        self._tiers[held.disk].accessed(held, index, size_bytes, resident=resident)

    def missed(self, held: DiskObject) -> None:
        """A block had to come from the store."""
        self._tiers[held.disk].missed(held)

    def skipped(self, held: DiskObject, blocks: int) -> None:
        """Blocks came faster than they could be written."""
        self._tiers[held.disk].skipped(held, blocks)

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        """The blocks present of each version."""
        answers = await _all(self._tiers, lambda tier: tier.local_blocks(versions))
        return [set().union(*sets) for sets in zip(*answers, strict=True)]

    def statistics(self) -> tuple[DiskStatistics, ...]:
        """One record per disk."""
        return tuple(record for tier in self._tiers for record in tier.statistics())

    async def aclose(self) -> None:
        """Let all of them go."""
        await _all(self._tiers, lambda tier: tier.aclose())

    def _ranked(self, version: ObjectVersion) -> list[int]:
        """The disks by preference: weighted rendezvous hashing (Schindelhauer and Schomaker)."""
        digest = bytes.fromhex(version.digest())
        return sorted(range(len(self._tiers)), key=lambda n: self._score(digest, n), reverse=True)

    def _score(self, digest: bytes, number: int) -> float:
        (record,) = self._tiers[number].statistics()
        mixed = hashlib.blake2b(digest + os.fsencode(record.directory), digest_size=8)
        drawn = (int.from_bytes(mixed.digest(), "little") + 1) / (1 << 64 | 1)
        return max(1, record.capacity_bytes) / -math.log(min(drawn, 1 - 2**-53))


class ShardedTierAdmin:
    """Commands for all disks."""

    def __init__(self, parts: Sequence[TierAdmin]) -> None:
        self._parts = tuple(parts)

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later."""
        await _all(self._parts, lambda part: part.pin(ranges))

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""
        await _all(self._parts, lambda part: part.unpin(ranges))

    async def pins(self) -> list[KeyRange]:
        """What is pinned."""
        answers = await _all(self._parts, lambda part: part.pins())
        return list(dict.fromkeys(pin for pins in answers for pin in pins))

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is not pinned of these ranges; returns the bytes that are free now."""
        return sum(await _all(self._parts, lambda part: part.evict(ranges)))

    async def verify(self, note: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store and drop the wrong ones, one disk after the other."""
        total = VerifyReport(0, 0, 0, 0, 0)
        for part in self._parts:
            before = total

            def shifted(progress: VerifyProgress, before: VerifyReport = before) -> None:
                note(
                    VerifyProgress(
                        before.blocks + progress.blocks_total,
                        before.blocks + progress.blocks_done,
                        before.bytes + progress.bytes_done,
                    )
                )

            found = await part.verify(shifted)
            total = VerifyReport(
                *(a + b for a, b in zip(astuple(total), astuple(found), strict=True))
            )
        return total

    async def usage(self) -> list[DiskUsage]:
        """What is held of which store."""
        answers = await _all(self._parts, lambda part: part.usage())
        return [usage for answer in answers for usage in answer]


async def _all(parts: Sequence[Part], ask: Callable[[Part], Awaitable[Answer]]) -> list[Answer]:
    """Ask all parts at once; the answers in their order. One that fails stops no other."""
    answers: dict[int, Answer] = {}
    failures: list[DiskUnusableError] = []

    async def one(number: int, part: Part) -> None:
        try:
            answers[number] = await ask(part)
        except DiskUnusableError as failure:
            failures.append(failure)

    async with trio.open_nursery() as nursery:
        for number, part in enumerate(parts):
            nursery.start_soon(one, number, part)
    if failures:
        raise failures[0]
    return [answers[number] for number in range(len(parts))]
