"""Runs traces through all caches and judges the default policy."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.eviction.cache import Cache, Trace, hit_ratio, replay
from cloudfs_benchmarks.eviction.references import Belady, Lru, S3Fifo, Sieve
from cloudfs_benchmarks.eviction.sampled import SampledCache
from cloudfs_cache.eviction.epoch import EpochAware

OPTIMUM = "Belady"
DEFAULT = "EpochAware"
REFERENCES = ("LRU", "SIEVE", "S3-FIFO")
POLICIES = (OPTIMUM, DEFAULT, *REFERENCES)

OF_BELADY = 0.9
UNDER_BEST = 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """Judged byte hit ratios of a trace: by policy, one value for each seed."""

    trace: str
    is_epoch: bool
    ratios: dict[str, tuple[float, ...]]
    totals: dict[str, tuple[float, ...]]
    """The same over the whole trace, the first reads of everything included."""
    admitted: tuple[float, ...]
    """Bytes that EpochAware wrote into the cache, over the cache's size."""

    def mean(self, policy: str) -> float:
        """Over the seeds."""
        return statistics.fmean(self.ratios[policy])

    @property
    def spread(self) -> float:
        """Between the best and the worst seed of the default policy."""
        return max(self.ratios[DEFAULT]) - min(self.ratios[DEFAULT])

    @property
    def of_belady(self) -> float:
        """The default policy's share of the optimum."""
        return self.mean(DEFAULT) / self.mean(OPTIMUM) if self.mean(OPTIMUM) else 1.0

    @property
    def over_best(self) -> float:
        """How far the default policy is over the best reference; negative if under."""
        return self.mean(DEFAULT) - max(self.mean(name) for name in REFERENCES)

    @property
    def met(self) -> bool:
        """Epochs: 0.9 of Belady. Others: at most 5 points under the best reference."""
        return self.of_belady >= OF_BELADY if self.is_epoch else self.over_best >= -UNDER_BEST


def simulate(generate: Callable[[int], Trace], seeds: Sequence[int], sample: int) -> Result:
    """Replay one kind of trace with each seed through every cache."""
    ratios: dict[str, tuple[float, ...]] = dict.fromkeys(POLICIES, ())
    totals = ratios.copy()
    admitted: tuple[float, ...] = ()
    for seed in seeds:
        trace = generate(seed)
        everything = frozenset(visit.part for visit in trace.visits)
        for name in POLICIES:
            cache = _cache(name, trace, seed, sample)
            hits = replay(trace, cache)
            ratios[name] += (hit_ratio(trace, hits, trace.judged),)
            totals[name] += (hit_ratio(trace, hits, everything),)
            if isinstance(cache, SampledCache):
                admitted += (cache.admitted_bytes / trace.capacity_bytes,)
    return Result(trace.name, trace.is_epoch, ratios, totals, admitted)


def _cache(name: str, trace: Trace, seed: int, sample: int) -> Cache:
    size = trace.capacity_bytes
    if name == OPTIMUM:
        return Belady(size, trace.visits)
    if name == DEFAULT:
        return SampledCache(size, EpochAware(), sample=sample, seed=seed)
    references: dict[str, Callable[[int], Cache]] = {"LRU": Lru, "SIEVE": Sieve, "S3-FIFO": S3Fifo}
    return references[name](size)
