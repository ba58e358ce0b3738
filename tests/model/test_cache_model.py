"""The tiers against a dictionary: random reads, overwrites, faults and restarts, byte for byte.

The model is the function that makes the bytes. Whatever the order of operations, a read returns the
bytes of the version it asked for or the error the source raised, and memory keeps its bound.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.disk import open_disk_tier
from cloudfs_cache.memory import MemoryTier
from cloudfs_cache.tiered import TieredCache
from tests.unit.cache.source import Source, content

MEMORY_BLOCKS = 64


class Scenario:
    """One run of random operations with a seed."""

    def __init__(self, seed: int, directory: Path, disk_blocks: int, faults: float) -> None:
        self.rng = random.Random(seed)
        self.directory = directory
        self.disk_blocks = disk_blocks
        self.source = Source(chunk_bytes=self.rng.choice([7_000, 65_536, 1 << 20]))
        self.faults = faults
        self.sizes = [1, 4095, BLOCK_BYTES, 3 * BLOCK_BYTES + 17, 90 * BLOCK_BYTES]
        self.etags = dict.fromkeys(range(len(self.sizes)), 0)
        self.source.fault = self.maybe_fail

    def maybe_fail(self, _v: ObjectVersion, start: int, stop: int) -> tuple[int, Exception] | None:
        if self.rng.random() < self.faults:
            return self.rng.randrange(stop - start), ConnectionError("injected")
        return None

    def version(self, number: int) -> ObjectVersion:
        etag = str(self.etags[number])
        return ObjectVersion("model://", f"k{number}", etag, self.sizes[number])

    async def life(self) -> None:
        """One mount: open the cache, read from several tasks, close it."""
        tier = open_disk_tier(
            str(self.directory),
            "model://",
            capacity_bytes=self.disk_blocks * BLOCK_BYTES,
            min_free_bytes=0,
            threads=2,
        )
        memory = MemoryTier(MEMORY_BLOCKS * BLOCK_BYTES)
        cache = TieredCache(self.source.fetch, memory, tier, max_downloads=4)
        async with trio.open_nursery() as nursery:
            await nursery.start(cache.serve)
            async with trio.open_nursery() as readers:
                for _ in range(4):
                    readers.start_soon(self.reader, cache)
            assert cache.statistics().memory.used_bytes <= MEMORY_BLOCKS * BLOCK_BYTES
            await cache.drain()
            nursery.cancel_scope.cancel()
        assert tier.statistics().used_bytes <= self.disk_blocks * BLOCK_BYTES
        assert tier.statistics().corrupt == 0
        tier.close()

    async def reader(self, cache: TieredCache) -> None:
        for _ in range(12):
            number = self.rng.randrange(len(self.sizes))
            if self.rng.random() < 0.1:
                self.etags[number] += 1
            version = self.version(number)
            cached = await cache.open(version)
            for _ in range(self.rng.randrange(1, 5)):
                await self.check_read(cache, version)
            cache.release(cached)

    async def check_read(self, cache: TieredCache, version: ObjectVersion) -> None:
        offset = self.rng.randrange(version.size)
        size = min(self.rng.choice([1, 4096, 131_072, BLOCK_BYTES]), version.size - offset)
        cached = await cache.open(version)
        try:
            first, last = offset // BLOCK_BYTES, (offset + size - 1) // BLOCK_BYTES
            ahead = range(first, min(version.block_count, last + self.rng.choice([0, 2, 20])))
            cache.request(cached, range(first, last + 1), ahead, self.rng.choice([1, 4, 8]))
            data = cache.read_nowait(cached, offset, size)
            if data is None:
                data = await cache.read(cached, offset, size)
            assert bytes(data) == content(version, offset, offset + size)
        except ConnectionError:
            assert self.faults > 0
        finally:
            cache.release(cached)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    disk_blocks=st.sampled_from([3, 70, 1000]),
    faults=st.sampled_from([0.0, 0.2]),
)
def test_every_read_returns_the_bytes_of_its_version(
    seed: int, disk_blocks: int, faults: float
) -> None:
    directory = Path(tempfile.mkdtemp(prefix="cloudfs-model-"))
    try:
        scenario = Scenario(seed, directory, disk_blocks, faults)
        for _ in range(3):
            trio.run(scenario.life)
    finally:
        shutil.rmtree(directory)


def test_the_model_notices_a_wrong_byte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check itself can fail: one flipped byte from the source is found."""
    scenario = Scenario(7, tmp_path, 1000, 0.0)
    genuine = scenario.source._pour

    def flipped(version: ObjectVersion, start: int, stop: int, sink: object) -> None:
        genuine(version, start, stop, lambda chunk: sink(b"\0" * len(chunk)))  # type: ignore[operator]

    monkeypatch.setattr(scenario.source, "_pour", flipped)
    with pytest.raises(BaseExceptionGroup):
        trio.run(scenario.life)
