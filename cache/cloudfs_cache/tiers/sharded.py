"""Several tiers as one: each object version has its home on one of them.

Owned by the trio loop. The home is drawn by a hash of the version, weighted by the disks' sizes, so
losing a disk loses its share and nothing else, and adding one moves few. A version that is found on
another disk than its home stays there. Reads and writes go through the home's own entry.
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
from cloudfs_cache.tiers.api import Tier, TierAdmin, TierEntry

Answer = TypeVar("Answer")
Part = TypeVar("Part")


class ShardedTier:
    """At least one tier, all of the same origin, used as one."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tuple(tiers)
        self.origin = tiers[0].origin
        self.admin: TierAdmin = JoinedAdmin([tier.admin for tier in tiers])

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve all of them until cancelled."""
        async with trio.open_nursery() as nursery:
            for tier in self._tiers:
                await nursery.start(tier.serve)
            task_status.started()

    async def open(self, version: ObjectVersion, placement: Placement) -> TierEntry:
        """Return the entry at the version's home, or where blocks of it are found instead."""
        home, *others = self._ranked(version)
        entry = await home.open(version, placement)
        if entry.empty:
            for other in others:
                found = await other.open(version, placement)
                if not found.empty:
                    return found
        return entry

    async def local_blocks(self, versions: Sequence[ObjectVersion]) -> list[set[int]]:
        """Return the blocks that are present of each version."""
        answers = await _all(self._tiers, lambda tier: tier.local_blocks(versions))
        return [set().union(*sets) for sets in zip(*answers, strict=True)]

    def statistics(self) -> tuple[DiskStatistics, ...]:
        """Return one record per disk."""
        return tuple(record for tier in self._tiers for record in tier.statistics())

    async def aclose(self) -> None:
        """Close all of them."""
        await _all(self._tiers, lambda tier: tier.aclose())

    def _ranked(self, version: ObjectVersion) -> list[Tier]:
        """The tiers by preference: weighted rendezvous hashing (Schindelhauer and Schomaker)."""
        digest = bytes.fromhex(version.digest())
        return sorted(self._tiers, key=lambda tier: _score(digest, tier), reverse=True)


class JoinedAdmin:
    """Administrative operations of several tiers as those of one."""

    def __init__(self, parts: Sequence[TierAdmin]) -> None:
        self._parts = tuple(parts)

    async def pin(self, ranges: Sequence[KeyRange]) -> None:
        """Keep the blocks of these keys, now and later."""
        await _all(self._parts, lambda part: part.pin(ranges))

    async def unpin(self, ranges: Sequence[KeyRange]) -> None:
        """Undo pins within these ranges."""
        await _all(self._parts, lambda part: part.unpin(ranges))

    async def pins(self) -> list[KeyRange]:
        """Return what is pinned."""
        answers = await _all(self._parts, lambda part: part.pins())
        return list(dict.fromkeys(pin for pins in answers for pin in pins))

    async def evict(self, ranges: Sequence[KeyRange]) -> int:
        """Evict what is not pinned of these ranges; return the bytes that are free now."""
        return sum(await _all(self._parts, lambda part: part.evict(ranges)))

    async def verify(self, report: Callable[[VerifyProgress], None]) -> VerifyReport:
        """Read every block of this store and drop the corrupt ones, one part after the other."""
        total = VerifyReport(0, 0, 0, 0, 0)
        for part in self._parts:
            before = total

            def shifted(progress: VerifyProgress, before: VerifyReport = before) -> None:
                report(
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
        """Return what is kept of which store."""
        answers = await _all(self._parts, lambda part: part.usage())
        return [usage for answer in answers for usage in answer]


def _score(digest: bytes, tier: Tier) -> float:
    (record,) = tier.statistics()
    mixed = hashlib.blake2b(digest + os.fsencode(record.directory), digest_size=8)
    drawn = (int.from_bytes(mixed.digest(), "little") + 1) / (1 << 64 | 1)
    return max(1, record.capacity_bytes) / -math.log(min(drawn, 1 - 2**-53))


async def _all(parts: Sequence[Part], ask: Callable[[Part], Awaitable[Answer]]) -> list[Answer]:
    """Ask all parts at once; return the answers in their order. One that fails stops no other."""
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
