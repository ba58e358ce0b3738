"""The tiers against a dictionary: random reads, overwrites, commands, faults and restarts, byte for
byte.

The model is the function that makes the bytes. Whatever the order of operations and whichever call
of the disk fails, a read returns the bytes of the version it asked for or the error the source
raised; memory and disks keep their bounds, no buffer is lost, and what is left on the disks agrees
with what their indexes say.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cloudfs_cache.api import (
    BLOCK_BYTES,
    NO_BYTES,
    Buffer,
    DiskUnusableError,
    KeyRange,
    ObjectVersion,
)
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.disk.io.executor import Timeouts
from cloudfs_cache.disk.open import DiskSettings
from cloudfs_cache.disk.recompress import Recompressor
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.memory.block import CachedObject
from cloudfs_cache.memory.lru import MemoryCache
from cloudfs_cache.tiers.api import Tier
from cloudfs_cache.tiers.sharded import ShardedTier
from tests.support.faults import Faults, injected
from tests.support.tiers import STORE, audit, open_tier, store_of
from tests.unit.cache.source import Source, content

MEMORY_BLOCKS = 64
PATIENT = Timeouts(retry_s=0.02)
SHORT_TIMEOUTS = Timeouts(read_s=0.03, write_s=0.03, retry_s=0.02)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a scenario is about. `faults` of the requests to the store fail, `disk_faults` of the
    calls to the disks; with `late` some take longer than anybody waits."""

    disks: int = 1
    disk_blocks: int = 70
    mounts: int = 1
    eviction: str = "epoch"
    recompress: bool = False
    faults: float = 0.0
    disk_faults: float = 0.0
    late: bool = False


class Scenario:
    """Lives of some mounts that share some directories, with a seed."""

    def __init__(self, seed: int, directory: Path, shape: Shape) -> None:
        self.rng = random.Random(seed)
        self.shape = shape
        self.directories = [directory / f"disk{n}" for n in range(shape.disks)]
        self.source = Source(chunk_bytes=self.rng.choice([7_000, 65_536, 1 << 20]))
        self.sizes = [1, 4095, BLOCK_BYTES, 3 * BLOCK_BYTES + 17, 90 * BLOCK_BYTES]
        self.etags = dict.fromkeys(range(len(self.sizes)), 0)
        self.source.fault = self.maybe_fail
        self.disk_faults = Faults(seed)
        self.settings = DiskSettings(
            shape.disk_blocks * BLOCK_BYTES,
            0,
            eviction=shape.eviction,
            recompress=shape.recompress,
            threads=3,
            timeouts=SHORT_TIMEOUTS if shape.late else PATIENT,
        )

    def maybe_fail(self, _v: ObjectVersion, start: int, stop: int) -> tuple[int, Exception] | None:
        if self.rng.random() < self.shape.faults:
            return self.rng.randrange(stop - start), ConnectionError("injected")
        return None

    def version(self, number: int) -> ObjectVersion:
        etag = str(self.etags[number])
        return ObjectVersion(STORE, f"k{number}", etag, self.sizes[number])

    def live(self) -> None:
        """One life of the mounts, then a look at what they left."""
        with injected(self.disk_faults):
            trio.run(self._life)
        for directory in self.directories:
            # A mount that opens it ends what the disks did not let the others end.
            store_of(open_tier(directory, self.settings)).close()
            left = audit(directory)
            assert left.intents == 0
            assert left.used_bytes <= self.shape.disk_blocks * BLOCK_BYTES

    async def _life(self) -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(trio.fail_after(60))
            mounts = [Mount(self) for _ in range(self.shape.mounts)]
            self.disk_faults.rate = self.shape.disk_faults
            self.disk_faults.late_s = 0.08 if self.shape.late else 0.0
            async with trio.open_nursery() as nursery:
                for mount in mounts:
                    nursery.start_soon(mount.live)
            self.disk_faults.rate = 0.0


class Mount:
    """One of the mounts: readers and somebody who gives commands."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rng = scenario.rng
        self.tiers = [open_tier(d, scenario.settings) for d in scenario.directories]
        self.memory = MemoryCache(MEMORY_BLOCKS * BLOCK_BYTES)
        disk: Tier = self.tiers[0] if len(self.tiers) == 1 else ShardedTier(self.tiers)
        self.cache = TieredCache(scenario.source.fetch, self.memory, [disk], max_downloads=4)

    async def live(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.cache.serve)
            async with trio.open_nursery() as users:
                for _ in range(3):
                    users.start_soon(self._reader)
                users.start_soon(self._operator)
            await self.cache.drain()
            nursery.cancel_scope.cancel()
        for tier in self.tiers:
            await tier._executor.wait_idle()
        await self._check_the_end()
        await self.cache.aclose()

    async def _check_the_end(self) -> None:
        memory = self.cache.statistics().memory
        assert memory.used_bytes <= MEMORY_BLOCKS * BLOCK_BYTES
        # Every buffer that is out belongs to a block that may be evicted.
        assert memory.used_bytes == memory.blocks * BLOCK_BYTES
        for tier in self.tiers:
            (disk,) = tier.statistics()
            assert disk.used_bytes <= self.scenario.shape.disk_blocks * BLOCK_BYTES
            if self.scenario.shape.disk_faults == 0:
                assert (disk.corrupt, disk.errors, disk.stalls) == (0, 0, 0)

    async def _reader(self) -> None:
        for _ in range(12):
            number = self.rng.randrange(len(self.scenario.sizes))
            if self.rng.random() < 0.1:
                self.scenario.etags[number] += 1
            version = self.scenario.version(number)
            cached = await self.cache.open(version)
            for _ in range(self.rng.randrange(1, 5)):
                await self._check_read(version)
            self.cache.release(cached)

    async def _check_read(self, version: ObjectVersion) -> None:
        offset = self.rng.randrange(version.size)
        size = min(self.rng.choice([1, 4096, 131_072, BLOCK_BYTES]), version.size - offset)
        cached = await self.cache.open(version)
        try:
            data = await self._read(cached, offset, size)
            assert bytes(data) == content(version, offset, offset + size)
        except ConnectionError:
            assert self.scenario.shape.faults > 0
        finally:
            self.cache.release(cached)

    async def _read(self, cached: CachedObject, offset: int, size: int) -> Buffer:
        ahead_blocks, run_blocks = self.rng.choice([0, 2, 20]), self.rng.choice([1, 4, 8])
        stop = min(cached.version.size, offset + size + ahead_blocks * BLOCK_BYTES)
        ahead = range(offset, stop) if ahead_blocks else NO_BYTES
        data = self.cache.read_nowait(cached, offset, size, ahead, run_blocks * BLOCK_BYTES)
        return data if data is not None else await self.cache.read(cached, offset, size)

    async def _operator(self) -> None:
        commands = [self._warm, self._pin, self._unpin, self._evict, self._verify, self._look]
        if self.scenario.shape.recompress:
            commands += [self._recompress] * 6
        for _ in range(10):
            try:
                await self.rng.choice(commands)()
            except DiskUnusableError:
                assert self.scenario.shape.disk_faults > 0

    def _some(self) -> KeyRange:
        return KeyRange(f"k{self.rng.randrange(4)}", subtree=self.rng.random() < 0.5)

    async def _warm(self) -> None:
        try:
            await self.cache.admin.warm(self.scenario.version(self.rng.choice([2, 3])))
        except ConnectionError:
            assert self.scenario.shape.faults > 0

    async def _pin(self) -> None:
        await self.cache.admin.pin([self._some()])

    async def _unpin(self) -> None:
        await self.cache.admin.unpin([KeyRange("", subtree=True)])

    async def _evict(self) -> None:
        assert await self.cache.admin.evict([self._some()]) >= 0

    async def _verify(self) -> None:
        report = await self.cache.admin.verify(lambda _progress: None)
        if self.scenario.shape.disk_faults == 0:
            assert (report.corrupt, report.missing, report.orphans) == (0, 0, 0)

    async def _look(self) -> None:
        versions = [self.scenario.version(n) for n in range(len(self.scenario.sizes))]
        local = await self.cache.admin.local_bytes(versions)
        assert all(0 <= n <= v.size for n, v in zip(local, versions, strict=True))
        usage = await self.cache.admin.disk_usage()
        assert all(u.stored_bytes <= self.scenario.settings.capacity_bytes for u in usage)

    async def _recompress(self) -> None:
        """As another mount would: this one is not told."""
        tier: DiskTier = self.rng.choice(self.tiers)
        step = Recompressor(store_of(tier)).step
        await tier._maintenance._try(lambda: step(0), "recompress", limit_s=10)


def run(seed: int, shape: Shape, lives: int) -> Scenario:
    directory = Path(tempfile.mkdtemp(prefix="cloudfs-model-"))
    try:
        scenario = Scenario(seed, directory, shape)
        for _ in range(lives):
            scenario.live()
        return scenario
    finally:
        shutil.rmtree(directory)


shapes = st.builds(
    Shape,
    disks=st.sampled_from([1, 1, 2]),
    disk_blocks=st.sampled_from([3, 20, 70, 1000]),
    mounts=st.sampled_from([1, 2]),
    eviction=st.sampled_from(["epoch", "lru"]),
    recompress=st.booleans(),
    faults=st.sampled_from([0.0, 0.2]),
)
faulty_shapes = st.builds(
    Shape,
    disks=st.sampled_from([1, 2]),
    disk_blocks=st.sampled_from([20, 70]),
    mounts=st.sampled_from([1, 2]),
    eviction=st.sampled_from(["epoch", "lru"]),
    recompress=st.booleans(),
    disk_faults=st.sampled_from([0.003, 0.03, 0.2]),
    late=st.booleans(),
)
bounded = settings(
    max_examples=int(os.environ.get("CLOUDFS_MODEL_EXAMPLES", "6")),
    deadline=None,
    # A smaller case is hardly plainer: what happens depends on threads.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@bounded
@given(seed=st.integers(0, 2**32), shape=shapes)
def test_every_read_returns_the_bytes_of_its_version(seed: int, shape: Shape) -> None:
    run(seed, shape, lives=2)


@bounded
@given(seed=st.integers(0, 2**32), shape=faulty_shapes)
def test_reads_are_right_while_calls_to_the_disk_fail(
    seed: int, shape: Shape, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = run(seed, shape, lives=2)
    caplog.clear()
    assert shape.disk_faults < 0.03 or scenario.disk_faults.seen.total() > 0


def test_the_model_notices_a_wrong_byte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check itself can fail: one flipped byte from the source is found."""
    scenario = Scenario(7, tmp_path, Shape(disk_blocks=1000))
    genuine = scenario.source._pour

    def flipped(version: ObjectVersion, start: int, stop: int, sink: object) -> None:
        genuine(version, start, stop, lambda chunk: sink(b"\0" * len(chunk)))  # type: ignore[operator]

    monkeypatch.setattr(scenario.source, "_pour", flipped)
    with pytest.raises(BaseExceptionGroup):
        scenario.live()
