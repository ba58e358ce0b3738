"""The commands over the real tiers: two directories, and a memory smaller than the data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from cloudfs.admin import commands
from cloudfs.admin.jobs import Jobs
from cloudfs.config.path_policy import PathPolicies, PolicyTable
from cloudfs_cache.api import BLOCK_BYTES, ChunkSink, ObjectVersion
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.open import DiskSettings, open_disk_tier
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.sharded import ShardedTier
from tests.contract.in_trio import in_trio
from tests.support.memory_store import MemoryStore
from tests.unit.cloudfs.admin.simple_cache import SimpleNames

FILES = 40
FILE_BYTES = 2 * BLOCK_BYTES + 1000
LARGE_BLOCKS = 100


def dataset() -> MemoryStore:
    store = MemoryStore()
    for number in range(FILES):
        store.put(f"train/{number:02}", bytes([number]) * FILE_BYTES)
    store.put("large", bytes(LARGE_BLOCKS * BLOCK_BYTES))
    store.put("checkpoints/last", bytes(BLOCK_BYTES))
    return store


class Asked:
    """Asks the handlers of one mount, and waits for the jobs they start."""

    def __init__(self, store: MemoryStore, cache: TieredCache, nursery: trio.Nursery) -> None:
        policies = PathPolicies([PolicyTable("checkpoints/**", cache=False)])
        routes = commands.routes(store, cache.admin, policies, SimpleNames(), Jobs(nursery))
        self._routes = {route.command.name: route for route in routes}

    async def __call__(self, command: str, **arguments: object) -> dict[str, Any]:
        result = await self._routes[command].result(arguments)
        while result.get("state") == "running":
            result = await self._routes["job"].result({"job": result["job"], "wait_s": 1})
        return {**result, **result.get("progress", {})}


@asynccontextmanager
async def mounted(store: MemoryStore, folder: Path) -> AsyncIterator[Asked]:
    settings = DiskSettings(capacity_bytes=1 << 30, min_free_bytes=0)
    disks = [
        await trio.to_thread.run_sync(partial(open_disk_tier, str(path), store.url, settings))
        for path in (folder / "a", folder / "b")
    ]

    async def fetch(version: ObjectVersion, start: int, stop: int, sink: ChunkSink) -> None:
        await store.get_range(version.key, start, stop, etag=version.etag, sink=sink)

    memory = MemoryCache(64 * BLOCK_BYTES, staging=True)
    cache = TieredCache(fetch, memory, [ShardedTier(disks)], max_downloads=8)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.serve)
        with trio.fail_after(30):
            yield Asked(store, cache, nursery)
        nursery.cancel_scope.cancel()
    await cache.aclose()


@in_trio
async def test_everything_is_warm_and_stays_over_a_restart(tmp_path: Path) -> None:
    store = dataset()
    async with mounted(store, tmp_path) as ask:
        warm = await ask("warmup", paths=[""])
        assert (warm["state"], warm["failed"], warm["notes"]) == (
            "done",
            0,
            ("left out 1 file (1 MiB): a [[policy]] says cache = false",),
        )
        assert warm["files_done"] == warm["files_total"] == FILES + 1
        assert warm["fetched_bytes"] == warm["bytes_total"]
    gets = store.count("get")
    async with mounted(store, tmp_path) as ask:
        check = await ask("warmup", paths=["train", "large"], check=True)
        assert check["bytes_done"] == check["bytes_total"] == warm["bytes_total"]
        again = await ask("warmup", paths=[""])
        assert (again["files_done"], again["fetched_bytes"]) == (FILES + 1, 0)
        verified = await ask("cache-verify")
        assert verified["report"]["blocks"] == 3 * FILES + LARGE_BLOCKS
        assert verified["report"]["corrupt"] == 0
    assert store.count("get") == gets


@in_trio
async def test_what_is_pinned_is_not_evicted(tmp_path: Path) -> None:
    store = dataset()
    async with mounted(store, tmp_path) as ask:
        await ask("cache-pin", paths=["train/00", "large"])
        await ask("warmup", paths=["train"])
        freed = (await ask("cache-evict", paths=[""]))["freed_bytes"]
        assert freed >= (FILES - 1) * FILE_BYTES
        (count,) = (await ask("local", paths=["train"]))["paths"]
        assert (count["local_files"], count["pinned_bytes"]) == (1, FILE_BYTES)
        info = await ask("cache-info")
        assert sorted(info["pins"]) == ["large", "train/00"]
        assert sum(of["objects"] for d in info["directories"] for of in d["stores"]) >= 1
        await ask("cache-unpin", paths=[""])
        await ask("cache-evict", paths=["train"])
        (count,) = (await ask("local", paths=["train"]))["paths"]
        assert count["local_bytes"] == 0


@in_trio
async def test_a_rate_stops_and_resumes_a_large_file(tmp_path: Path) -> None:
    store = dataset()
    async with mounted(store, tmp_path) as ask:
        warm = await ask("warmup", paths=["large"], rate_bytes_s=60 * BLOCK_BYTES)
        assert (warm["state"], warm["files_done"], warm["failed"]) == ("done", 1, 0)
        assert warm["fetched_bytes"] == LARGE_BLOCKS * BLOCK_BYTES
