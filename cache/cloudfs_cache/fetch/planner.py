"""Which blocks of an object a read wants, and from where: makes runs of what is not in memory.

Owned by the trio loop; never awaits. What is worth fetching ahead is the caller's policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cloudfs_cache.api import Origin
from cloudfs_cache.memory.block import Block, CachedObject, Run
from cloudfs_cache.tiers.api import Tier

_DISK_RUN_BLOCKS: Final = 8
# Reads that hang on a stalled disk keep their buffers: they must not be most of them.
_DISK_RUN_SHARE: Final = 32
_WARM_RUN_BLOCKS: Final = 8


class Planner:
    """Enters blocks in the table of their object and groups them into runs; `memory_blocks` is the
    size of the memory budget."""

    def __init__(self, disk: Tier | None, memory_blocks: int) -> None:
        self._disk = disk
        self._disk_run = max(1, min(_DISK_RUN_BLOCKS, memory_blocks // _DISK_RUN_SHARE))
        self.issued_ahead_bytes = 0

    def plan(
        self, cached: CachedObject, demand: range, ahead: range, run_blocks: int
    ) -> tuple[list[Run], int]:
        """Plan what is missing of both ranges; returns the runs and how many blocks demand lacked.

        Store requests take at most `run_blocks` adjacent blocks.
        """
        waits = {index for index in demand if index not in cached.blocks}
        missing = {
            index: index not in waits for index in (*waits, *ahead) if index not in cached.blocks
        }
        group = cached.fetch_blocks
        if group > 1 and any(not self._on_disk(cached, index) for index in waits):
            first, last = demand.start // group * group, -(-demand.stop // group) * group
            for index in range(first, min(last, cached.version.block_count)):
                if index not in cached.blocks and not self._on_disk(cached, index):
                    missing.setdefault(index, True)
            run_blocks = max(run_blocks, min(group, _WARM_RUN_BLOCKS))
        return list(self._group(cached, sorted(missing.items()), run_blocks)), len(waits)

    def plan_warmup(self, cached: CachedObject, indices: Iterable[int]) -> list[Run]:
        """Plan blocks that no reader has asked for, to be put on the disk when all is quiet."""
        runs: list[Run] = []
        for index in indices:
            block = cached.plan(index, ahead=True)
            # Not read-ahead: nobody is expected to read it soon.
            block.ahead, block.forced = False, True
            last = runs[-1].blocks if runs else []
            if last and last[-1].index + 1 == index and len(last) < _WARM_RUN_BLOCKS:
                last.append(block)
                block.run = runs[-1]
            else:
                runs.append(Run(cached, [block], Origin.STORE, demand=False, idle=True))
        return runs

    def _group(
        self, cached: CachedObject, missing: Iterable[tuple[int, bool]], run_blocks: int
    ) -> Iterator[Run]:
        """Plan the blocks and group adjacent ones of one origin into runs."""
        pending: list[Block] = []
        origin = Origin.STORE
        for index, ahead in missing:
            source = Origin.DISK if self._on_disk(cached, index) else Origin.STORE
            limit = run_blocks if origin is Origin.STORE else self._disk_run
            joins = pending and source is origin and pending[-1].index + 1 == index
            if pending and (not joins or len(pending) >= limit):
                yield self._run(cached, pending, origin)
                pending = []
            origin = source
            pending.append(cached.plan(index, ahead=ahead))
            pending[-1].origin = source
        if pending:
            yield self._run(cached, pending, origin)

    def _run(self, cached: CachedObject, blocks: list[Block], origin: Origin) -> Run:
        self.issued_ahead_bytes += sum(block.length for block in blocks if block.ahead)
        return Run(cached, blocks, origin, demand=any(not block.ahead for block in blocks))

    def _on_disk(self, cached: CachedObject, index: int) -> bool:
        held = cached.disk
        return (
            self._disk is not None
            and held is not None
            and index in held.records
            and self._disk.readable(held)
        )
