"""The policies to compare with, against examples made by hand and against brute force."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs_benchmarks.eviction.cache import Cache, Trace, Visit, hit_ratio, replay
from cloudfs_benchmarks.eviction.references import Belady, Lru, S3Fifo, Sieve
from cloudfs_benchmarks.eviction.sampled import SampledCache
from cloudfs_cache.eviction.epoch import EpochAware
from cloudfs_cache.eviction.policy import LeastRecentlyUsed


def _visits(text: str) -> list[Visit]:
    return [Visit(ord(letter), 1, 0, 0) for letter in text]


def _hits(cache: Cache, text: str) -> str:
    """The letters that were hits in capitals."""
    hits = [cache.access(visit) for visit in _visits(text)]
    return "".join(c.upper() if hit else c for c, hit in zip(text, hits, strict=True))


def test_lru() -> None:
    assert _hits(Lru(2), "abacb") == "abAcb"
    assert _hits(Lru(3), "abcabcd") == "abcABCd"
    assert _hits(Lru(2), "abcabc") == "abcabc"


def test_sampled_lru_with_a_full_sample_is_lru() -> None:
    assert _hits(SampledCache(2, LeastRecentlyUsed()), "abacbaab") == _hits(Lru(2), "abacbaab")


def test_sieve_by_hand() -> None:
    # The hand spares what was visited, stays where it evicted, and newcomers go to the head.
    sieve = Sieve(7)
    assert _hits(sieve, "edcbagf") == "edcbagf"
    assert _hits(sieve, "agb") == "AGB"
    assert _hits(sieve, "h") == "h"
    assert _hits(sieve, "a") == "A"
    assert _hits(sieve, "d") == "D"
    assert _hits(sieve, "i") == "i"
    assert _hits(sieve, "j") == "j"
    assert _hits(sieve, "bagdhij") == "BAGDHIJ"


def test_s3_fifo_drops_what_is_seen_once_and_promotes_ghosts() -> None:
    cache = S3Fifo(10)
    assert _hits(cache, "aaa" + "bcdefghij") == "aAA" + "bcdefghij"
    # a was used twice more and moves on; b leaves the small queue as a ghost and comes back to
    # the main one.
    assert _hits(cache, "kab") == "kAb"
    assert _hits(cache, "mnopqrstuvw") == "mnopqrstuvw"
    assert _hits(cache, "ab") == "AB"


def test_belady_keeps_what_comes_first_and_refuses_what_comes_last() -> None:
    text = "abcbacab"
    assert _hits(Belady(2, _visits(text)), text) == "abcBAcAB"


def test_belady_keeps_parts() -> None:
    visits = [Visit(1, 6, 0, 0), Visit(2, 6, 0, 0), Visit(1, 6, 0, 0), Visit(2, 6, 0, 0)]
    assert replay(Trace("", 8, visits, frozenset({0})), Belady(8, visits)) == [0, 0, 6, 2]


def _best_hits(text: str, capacity: int) -> int:
    @cache
    def best(position: int, held: frozenset[str]) -> int:
        if position == len(text):
            return 0
        letter = text[position]
        after = held | {letter}
        choices = (
            frozenset(kept)
            for size in range(capacity + 1)
            for kept in itertools.combinations(sorted(after), size)
        )
        return (letter in held) + max(best(position + 1, kept) for kept in choices)

    return best(0, frozenset())


@settings(max_examples=60, deadline=None)
@given(st.text("abcd", max_size=9), st.integers(1, 3))
def test_belady_is_the_optimum_of_a_full_search(text: str, capacity: int) -> None:
    hits = _hits(Belady(capacity, _visits(text)), text)
    assert sum(letter.isupper() for letter in hits) == _best_hits(text, capacity)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 12), max_size=120),
    st.lists(st.integers(1, 9), min_size=13, max_size=13),
    st.integers(1, 40),
)
def test_nobody_beats_belady_and_nobody_holds_more_than_fits(
    keys: list[int], sizes: list[int], capacity: int
) -> None:
    visits = [Visit(key, sizes[key] << 30, key % 3, 0) for key in keys]
    trace = Trace("", capacity << 30, visits, frozenset({0}))
    size = trace.capacity_bytes
    best = sum(replay(trace, Belady(size, visits)))
    others: list[Cache] = [Lru(size), Sieve(size), S3Fifo(size)]
    others += [SampledCache(size, policy) for policy in (EpochAware(), LeastRecentlyUsed())]
    for other in others:
        hits = replay(trace, other)
        assert sum(hits) <= best
        assert set(hits) <= {0, *(visit.size_bytes for visit in visits)}


@pytest.mark.parametrize("make", [Lru, Sieve, S3Fifo])
def test_what_does_not_fit_at_all_is_not_admitted(make: type[Lru | Sieve | S3Fifo]) -> None:
    cache = make(10)
    assert [cache.access(Visit(key, size, 0, 0)) for key, size in ((1, 5), (2, 11), (1, 5))] == [
        0,
        0,
        5,
    ]
    assert cache.access(Visit(2, 11, 0, 0)) == 0


def test_the_ratio_counts_bytes_of_the_judged_parts() -> None:
    visits = [Visit(1, 10, 0, 0), Visit(1, 10, 0, 1), Visit(2, 30, 0, 1)]
    trace = Trace("", 100, visits, frozenset({1}))
    hits = replay(trace, Lru(100))
    assert hit_ratio(trace, hits, trace.judged) == 0.25
    assert hit_ratio(trace, hits, frozenset({7})) == 0.0
