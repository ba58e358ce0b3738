"""Victim of the crash tests: a cache without FUSE that works on a directory until it is killed.

    python -m tests.stress.crash_child DIR SEED

Reads random objects, evicts, recompresses, pins and warms, all disk calls in worker threads as in a
daemon. Every byte read is checked: a wrong one ends the process with status 3.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import trio

from cloudfs_cache.api import BLOCK_BYTES, DiskUnusableError, KeyRange, ObjectVersion
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.recompress import Recompressor
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.memory.lru import MemoryCache
from tests.support.tiers import open_tier, store_of, version
from tests.unit.cache.source import Source, content

WRONG_BYTES = 3
CAPACITY_BYTES = 24 * BLOCK_BYTES
OBJECTS = [version(f"dir{n % 3}/k{n}", blocks) for n, blocks in enumerate([0.3, 1, 2.5, 5, 9] * 3)]


def work(directory: Path, seed: int) -> None:
    """Work until killed."""
    trio.run(_work, directory, random.Random(seed))


async def _work(directory: Path, rng: random.Random) -> None:
    tier = open_tier(directory, capacity_bytes=CAPACITY_BYTES, recompress=True)
    cache = TieredCache(Source().fetch, MemoryCache(0), [tier], max_downloads=4)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.serve)
        nursery.start_soon(_read_forever, cache, rng)
        nursery.start_soon(_read_forever, cache, rng)
        await _command_forever(cache, tier, rng)


async def _read_forever(cache: TieredCache, rng: random.Random) -> None:
    while True:
        await check(cache, rng.choice(OBJECTS))


async def check(cache: TieredCache, wanted: ObjectVersion) -> None:
    """Read an object; end the process when a byte of it is wrong."""
    cached = await cache.open(wanted)
    for start in range(0, wanted.size, BLOCK_BYTES):
        stop = min(wanted.size, start + BLOCK_BYTES)
        data = await cache.read(cached, start, stop - start)
        if data != content(wanted, start, stop):
            os._exit(WRONG_BYTES)
        # What is in memory comes without a step of the loop.
        await trio.lowlevel.checkpoint()
    cache.release(cached)


async def _command_forever(cache: TieredCache, tier: DiskTier, rng: random.Random) -> None:
    admin = cache.admin
    while True:
        keys = [KeyRange(f"dir{rng.randrange(3)}", subtree=True)]
        try:
            match rng.randrange(6):
                case 0:
                    await admin.evict(keys)
                case 1:
                    await admin.pin(keys[:1])
                case 2:
                    await admin.unpin([KeyRange("", subtree=True)])
                case 3:
                    await admin.warm(rng.choice(OBJECTS))
                case _:
                    await trio.to_thread.run_sync(Recompressor(store_of(tier)).step, 0)
        except DiskUnusableError:
            os._exit(4)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
