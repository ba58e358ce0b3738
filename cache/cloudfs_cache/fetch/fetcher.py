"""Fills runs of blocks from the store or from the tier below.

Owned by the trio loop. Fetches belong to the cache and not to the reader that caused them, so a
reader that goes away harms nobody. Which run is filled when is the scheduler's business.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import trio

from cloudfs_cache.api import BLOCK_BYTES, CacheClosedError, FetchRange, Origin
from cloudfs_cache.fetch.body import BodySink
from cloudfs_cache.fetch.populate import Populator
from cloudfs_cache.fetch.scheduler import FetchScheduler
from cloudfs_cache.memory.block import Block, Run
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.memory.pool import BlockBuffer
from cloudfs_cache.tiers.api import Tier

log = logging.getLogger(__name__)


class Fetcher:
    """Fills runs. A block that the disk does not have after all is queued for the store."""

    def __init__(
        self,
        fetch: FetchRange,
        memory: MemoryCache,
        disk: Tier | None,
        populate: Populator | None,
        scheduler: FetchScheduler,
    ) -> None:
        self._fetch = fetch
        self._memory = memory
        self._disk = disk
        self._populate = populate
        self._scheduler = scheduler

    async def fill(self, run: Run) -> None:
        """Fill the blocks of a run, or fail them. Never raises but for cancellation."""
        first, count = run.blocks[0].index, len(run.blocks)
        why = "a reader" if run.demand else "read-ahead"
        log.debug(
            "blocks %d+%d of %r from %s for %s",
            first, count, run.owner.version.key, run.origin.value, why,
        )  # fmt: skip
        try:
            if run.origin is Origin.DISK:
                await self._from_disk(run)
            else:
                await self._from_store(run)
        except trio.Cancelled:
            # The worker thread may still write into the buffers: they are not given back.
            for block in run.blocks:
                block.fail(CacheClosedError("the mount is shutting down"))
            raise
        except Exception as error:
            log.exception("bug while fetching %r", run.owner.version.key)
            self.drop([block for block in run.blocks if block.run is run], error)

    def drop(self, blocks: Iterable[Block], cause: BaseException) -> None:
        """Take blocks that will not be filled out of the table and tell their readers why."""
        for block in blocks:
            del block.owner.blocks[block.index]
            block.fail(cause)
            if block.buffer is not None:
                self._memory.give_back(block.buffer)
                block.buffer = None

    async def _from_disk(self, run: Run) -> None:
        assert self._disk is not None
        assert run.owner.disk is not None
        sound = await self._disk.read(run.owner.disk, run.blocks, self._give_back_late)
        for block, good in zip(run.blocks, sound, strict=True):
            if good:
                block.advance(block.length)
                block.end_run()
                self._memory.settle(block)
            else:
                block.origin = Origin.STORE
                self._scheduler.submit(Run(run.owner, [block], Origin.STORE, demand=True))

    def _give_back_late(self, buffer: BlockBuffer) -> None:
        """A thread that was left to itself is done with a buffer, for which readers may wait."""
        self._memory.give_back(buffer)
        self._scheduler.pump()

    async def _from_store(self, run: Run) -> None:
        version = run.owner.version
        start = run.blocks[0].index * BLOCK_BYTES
        stop = run.blocks[-1].index * BLOCK_BYTES + run.blocks[-1].length
        body = BodySink(run.blocks)
        try:
            await self._fetch(version, start, stop, body.sink)
        except trio.Cancelled:
            body.abandoned = True
            raise
        except Exception as error:
            body.finish()
            self._keep_what_came(run)
            self.drop([block for block in run.blocks if not block.full], error)
            return
        body.finish()
        self._keep_what_came(run)

    def _keep_what_came(self, run: Run) -> None:
        for block in run.blocks:
            if block.full:
                if self._disk is not None and run.owner.disk is not None:
                    self._disk.missed(run.owner.disk)
                if self._populate is not None:
                    self._populate.add(block)
                block.end_run()
                self._memory.settle(block)
