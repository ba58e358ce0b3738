"""Read planning: which blocks a read lacks, from where, grouped into runs.

Owned by the trio loop; never awaits. What is worth fetching ahead is the caller's policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final

from cloudfs_cache.memory.block import Block, CachedObject, Purpose, Run
from cloudfs_cache.tiers.api import TierEntry

_TIER_RUN_BLOCKS: Final = 8
# Reads that hang in a stalled tier keep their buffers: they must not be most of them.
_TIER_RUN_SHARE: Final = 32
_WARM_RUN_BLOCKS: Final = 8


class Planner:
    """Enters blocks in the table of their object and groups them into runs; `memory_blocks` is the
    size of the memory budget."""

    def __init__(self, memory_blocks: int) -> None:
        self._tier_run = max(1, min(_TIER_RUN_BLOCKS, memory_blocks // _TIER_RUN_SHARE))
        self.issued_ahead_bytes = 0

    def plan(
        self, cached: CachedObject, demand: range, ahead: range, run_blocks: int
    ) -> tuple[list[Run], int]:
        """Plan what is missing of both ranges; return the runs and how many blocks demand lacked.

        Store requests take at most `run_blocks` adjacent blocks.
        """
        waits = {index for index in demand if index not in cached}
        missing = dict.fromkeys(waits, Purpose.DEMAND)
        for index in ahead:
            if index not in cached:
                missing.setdefault(index, Purpose.AHEAD)
        group = cached.fetch_blocks
        if group > 1 and any(cached.source_of(index) is None for index in waits):
            first, last = demand.start // group * group, -(-demand.stop // group) * group
            for index in range(first, min(last, cached.version.block_count)):
                if index not in cached and cached.source_of(index) is None:
                    missing.setdefault(index, Purpose.AHEAD)
            run_blocks = max(run_blocks, min(group, _WARM_RUN_BLOCKS))
        return list(
            self._group(cached, sorted(missing.items(), key=itemgetter(0)), run_blocks)
        ), len(waits)

    def plan_warmup(self, cached: CachedObject, indices: Iterable[int]) -> list[Run]:
        """Plan blocks that no reader has asked for, to be put into the tiers when all is quiet."""
        runs: list[Run] = []
        for index in indices:
            block = cached.plan(index, None, Purpose.WARMUP)
            last = runs[-1].blocks if runs else []
            if last and last[-1].index + 1 == index and len(last) < _WARM_RUN_BLOCKS:
                runs[-1].append(block)
            else:
                runs.append(Run([block], demand=False, idle=True))
        return runs

    def _group(
        self, cached: CachedObject, missing: Iterable[tuple[int, Purpose]], run_blocks: int
    ) -> Iterator[Run]:
        """Plan the blocks and group adjacent ones of one source into runs."""
        pending: list[Block] = []
        source: TierEntry | None = None
        for index, purpose in missing:
            found = cached.source_of(index)
            limit = run_blocks if source is None else self._tier_run
            joins = pending and found is source and pending[-1].index + 1 == index
            if pending and (not joins or len(pending) >= limit):
                yield self._run(pending)
                pending = []
            source = found
            pending.append(cached.plan(index, source, purpose))
        if pending:
            yield self._run(pending)

    def _run(self, blocks: list[Block]) -> Run:
        self.issued_ahead_bytes += sum(block.length for block in blocks if block.ahead)
        return Run(blocks, demand=any(not block.ahead for block in blocks))
