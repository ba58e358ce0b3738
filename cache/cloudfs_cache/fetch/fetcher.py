"""Filling runs of blocks from the tier or the store that has them.

Owned by the trio loop. Fetches belong to the cache and not to the reader that caused them, so a
reader that goes away harms no other. Which run is filled when is the scheduler's business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import trio

from cloudfs_cache.api import BLOCK_BYTES, CacheClosedError, FetchRange
from cloudfs_cache.fetch.body import BodySink
from cloudfs_cache.fetch.populate import Populator
from cloudfs_cache.memory.block import Block, BlockState, Run
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.api import ReadResult, TierEntry

log = logging.getLogger(__name__)


class Fetcher:
    """Fills runs. `on_room` is called when a buffer comes back that readers may wait for."""

    def __init__(
        self,
        fetch: FetchRange,
        memory: MemoryCache,
        populator: Populator,
        on_room: Callable[[], None],
    ) -> None:
        self._fetch = fetch
        self._memory = memory
        self._populator = populator
        self._on_room = on_room

    async def fill(self, run: Run) -> list[Run]:
        """Fill the blocks of a run, or fail them; return runs of what must come from further down.

        Never raises but for cancellation.
        """
        log.debug(
            "blocks %d+%d of %r from %s for %s",
            run.blocks[0].index,
            len(run.blocks),
            run.owner.version.key,
            run.origin.value,
            "a reader" if run.demand else "read-ahead",
        )
        try:
            if run.source is not None:
                return await self._from_tier(run, run.source)
            await self._from_store(run)
        except trio.Cancelled:
            # The worker thread may still write into the buffers: they are not given back.
            for block in _unfinished(run):
                block.fail(CacheClosedError("the mount is shutting down"))
            raise
        except Exception as error:
            log.exception("bug while fetching %r", run.owner.version.key)
            self.fail(_unfinished(run), error)
        return []

    def fail(self, blocks: Iterable[Block], cause: BaseException) -> None:
        """Take blocks that will not be filled out of the table and tell their readers why."""
        for block in blocks:
            buffer = block.fail(cause)
            if buffer is not None:
                self._memory.give_back(buffer)

    async def _from_tier(self, run: Run, source: TierEntry) -> list[Run]:
        buffers = {block.index: block.buffer for block in run.blocks}
        blocks = {block.index: block for block in run.blocks}

        def released(index: int) -> None:
            if blocks[index].buffer is buffers[index]:
                blocks[index].forfeit()
            buffer = buffers.pop(index)
            assert buffer is not None
            self._memory.give_back(buffer)
            self._on_room()

        results = await source.read([block.memory() for block in run.blocks], released)
        rest = []
        for block, result in zip(run.blocks, results, strict=True):
            if result is ReadResult.SOUND:
                block.advance(block.length)
                self._settle(block)
                continue
            if result is ReadResult.STALLED and block.state is BlockState.FILLING:
                block.forfeit()
            block.redirect(run.owner.source_of(block.index, below=source))
            rest.append(Run([block], demand=True))
        return rest

    async def _from_store(self, run: Run) -> None:
        version = run.owner.version
        start = run.blocks[0].index * BLOCK_BYTES
        stop = run.blocks[-1].index * BLOCK_BYTES + run.blocks[-1].length
        sink = BodySink(run.blocks)
        failure: Exception | None = None
        try:
            await self._fetch(version, start, stop, sink.receive)
        except trio.Cancelled:
            sink.abandoned = True
            raise
        except Exception as error:
            failure = error
        sink.finish()
        for block in run.blocks:
            if block.complete:
                self._settle(block)
        if failure is not None:
            self.fail(_unfinished(run), failure)

    def _settle(self, block: Block) -> None:
        """End the fetch of a complete block: the tiers above its source may have it, too."""
        block.settle()
        for entry in block.tiers_above_source():
            entry.missed()
        self._populator.add(block)
        self._memory.requeue(block)


def _unfinished(run: Run) -> list[Block]:
    return [block for block in run.blocks if block.run is run]
