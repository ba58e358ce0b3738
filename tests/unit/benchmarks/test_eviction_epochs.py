"""The default policy in the simulator: small traces, with room for chance."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cloudfs_benchmarks.eviction import traces
from cloudfs_benchmarks.eviction.cache import Cache, Trace, hit_ratio, replay
from cloudfs_benchmarks.eviction.references import Belady, Lru, S3Fifo, Sieve
from cloudfs_benchmarks.eviction.sampled import SampledCache
from cloudfs_cache.eviction.epoch import EpochAware
from cloudfs_cache.eviction.policy import AccessRecord

ITEMS = 300


def _default(trace: Trace, policy: EpochAware | None = None) -> SampledCache:
    return SampledCache(trace.capacity_bytes, policy or EpochAware(), seed=1)


def _ratio(trace: Trace, cache: Cache) -> float:
    return hit_ratio(trace, replay(trace, cache), trace.judged)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.05, 1.5, 2.0, 4.0])
def test_shuffled_epochs_hit_what_the_cache_holds_and_belady_no_more(ratio: float) -> None:
    trace = traces.epochs(ratio)(ITEMS, 1)
    share = min(1.0, 1 / ratio)
    assert _ratio(trace, Belady(trace.capacity_bytes, trace.visits)) <= share + 1e-9
    assert _ratio(trace, _default(trace)) >= 0.97 * share


def test_a_set_that_is_held_is_not_written_again() -> None:
    trace = traces.epochs(2.0, count=20)(ITEMS, 1)
    cache = _default(trace)
    replay(trace, cache)
    assert cache.admitted_bytes <= 1.1 * trace.capacity_bytes


@pytest.mark.parametrize(
    "generator",
    [
        traces.epochs(2.0, shuffled=False),
        traces.epochs(2.0, sizes="mixed"),
        traces.epochs(8.0),
        traces.validation(2.0),
        traces.two_jobs(0.5, 2.0),
        traces.scan("epochs"),
        traces.switch(0.75, 0.75),
        traces.switch(0.75, 0.75, same_group=True),
        traces.switch(2.0, 2.0),
    ],
)
def test_at_least_nine_tenths_of_belady(generator: traces.Generator) -> None:
    trace = generator(ITEMS, 2)
    best = _ratio(trace, Belady(trace.capacity_bytes, trace.visits))
    assert _ratio(trace, _default(trace)) >= 0.9 * best


@pytest.mark.parametrize("generator", [traces.zipf(0.8), traces.zipf(1.0), traces.scan("zipf")])
def test_skewed_use_is_near_the_best_reference(generator: traces.Generator) -> None:
    trace = generator(ITEMS * 2, 3)
    size = trace.capacity_bytes
    best = max(_ratio(trace, cache) for cache in (Lru(size), Sieve(size), S3Fifo(size)))
    assert _ratio(trace, _default(trace)) >= best - 0.07


@pytest.mark.parametrize(
    "make",
    [
        lambda trace: Lru(trace.capacity_bytes),
        lambda trace: Sieve(trace.capacity_bytes),
        lambda trace: S3Fifo(trace.capacity_bytes),
        _default,
    ],
)
@pytest.mark.parametrize("generator", traces.GENERATORS)
def test_nobody_beats_belady(generator: traces.Generator, make: Callable[[Trace], Cache]) -> None:
    trace = generator(80, 4)
    best = sum(replay(trace, Belady(trace.capacity_bytes, trace.visits)))
    assert sum(replay(trace, make(trace))) <= best


def test_the_same_seed_gives_the_same_hits() -> None:
    trace = traces.two_jobs(0.5, 2.0)(ITEMS, 5)
    assert trace == traces.two_jobs(0.5, 2.0)(ITEMS, 5)
    assert replay(trace, _default(trace)) == replay(trace, _default(trace))


def test_a_restart_in_the_middle_does_no_harm() -> None:
    class Forgetful(EpochAware):
        """Dumps and restores itself every now and then."""

        def access(
            self, known: AccessRecord | None, clock: int, group: int, *, resident: bool
        ) -> AccessRecord:
            if clock % (70 * traces.EXTENT) == 0:
                self.restore(self.dump())
            return super().access(known, clock, group, resident=resident)

    trace = traces.epochs(2.0)(ITEMS, 6)
    assert _ratio(trace, _default(trace, Forgetful())) >= 0.97 * 0.5


def test_extents_that_are_read_in_many_touches_by_many_readers() -> None:
    """What matters are visits: the touches of eight readers at a time, 8 MiB each."""
    rng = random.Random(7)
    policy = EpochAware()
    records: dict[int, AccessRecord] = {}
    clock = 0
    for _ in range(4):
        order = rng.sample(range(ITEMS), ITEMS)
        for first in range(0, ITEMS, 8):
            for _ in range(8):
                for key in order[first : first + 8]:
                    records[key] = policy.access(records.get(key), clock, 1, resident=True)
                    clock += traces.EXTENT // 8
    assert {record.accesses for record in records.values()} <= {3, 4}
    ages = (0, ITEMS // 2, ITEMS, ITEMS * 3 // 2)
    worth = [policy.worth(AccessRecord(clock - a * traces.EXTENT, 1, 4, 1), clock) for a in ages]
    assert worth == sorted(worth)
    assert worth[0] < worth[-1] - 0.5
