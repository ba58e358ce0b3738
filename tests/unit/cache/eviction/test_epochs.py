"""The epoch-aware policy itself: what it learns, keeps and forgets."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise
from typing import Any

import pytest

from cloudfs_cache.eviction.epoch import EpochAware
from cloudfs_cache.eviction.policy import AccessRecord
from cloudfs_cache.eviction.reuse_histogram import (
    BUCKETS,
    STARTS,
    ReuseHistogram,
    bucket_of,
    hit_densities,
)

MIB = 1 << 20
EXTENT = 64 * MIB


class _Reader:
    """Reads extents, and keeps every record."""

    def __init__(self, policy: EpochAware, *, group: int = 1, clock: int = 0) -> None:
        self.policy = policy
        self.group = group
        self.clock = clock
        self.records: dict[int, AccessRecord] = {}

    def read(self, key: int) -> None:
        known = self.records.get(key)
        self.records[key] = self.policy.access(known, self.clock, self.group, resident=True)
        self.clock += EXTENT

    def epochs(self, items: int, count: int, seed: int = 0) -> None:
        rng = random.Random(seed)
        for _ in range(count):
            for key in rng.sample(range(items), items):
                self.read(key)

    def worth(self, age: int, accesses: int = 3) -> float:
        record = AccessRecord(self.clock - age, EXTENT, accesses, self.group)
        return self.policy.worth(record, self.clock)


def test_buckets_cover_all_ages_in_order() -> None:
    assert all(left < right for left, right in pairwise(STARTS))
    for bucket in range(BUCKETS):
        assert bucket_of(STARTS[bucket]) == bucket
        assert bucket_of(STARTS[bucket + 1] - 1) == bucket
    assert bucket_of(-5) == 0
    assert bucket_of(1 << 70) == BUCKETS - 1


def test_a_steady_rate_is_worth_the_same_at_every_age() -> None:
    rate = 1 / (10 * EXTENT)
    hazards = [-math.expm1(-rate * (STARTS[i + 1] - STARTS[i])) for i in range(BUCKETS)]
    densities = hit_densities(hazards, bucket_of(20 * EXTENT))
    assert max(densities) / min(densities) < 1.2


def test_what_comes_at_one_age_is_worth_more_the_closer_that_is() -> None:
    due = bucket_of(100 * EXTENT)
    hazards = [0.0] * BUCKETS
    hazards[due] = 1.0
    densities = hit_densities(hazards, due)
    assert all(left < right for left, right in pairwise(densities))


def test_waiting_for_a_rare_late_visit_does_not_spoil_a_likely_early_one() -> None:
    early, late = bucket_of(EXTENT), bucket_of(10_000 * EXTENT)
    hazards = [0.0] * BUCKETS
    hazards[early], hazards[late] = 0.5, 0.5
    densities = hit_densities(hazards, late)
    assert densities[0] > 100 * densities[early + 1]


def test_those_that_still_wait_say_nothing_about_later_ages() -> None:
    ages = ReuseHistogram()
    for number in range(100):
        ages.began(number * EXTENT)
    clock = 100 * EXTENT
    young, old = bucket_of(20 * EXTENT), bucket_of(400 * EXTENT)
    hazards = ages.hazards([0.1] * BUCKETS, 4.0, clock)
    assert hazards[young] < 0.05
    assert hazards[old] == pytest.approx(0.1)


def test_in_epochs_what_was_just_read_is_worth_least_until_it_is_overdue() -> None:
    reader = _Reader(EpochAware())
    reader.epochs(400, 3)
    worth = [reader.worth(age * EXTENT) for age in (0, 200, 400, 600, 700)]
    assert all(left < right for left, right in pairwise(worth))
    assert reader.worth(4000 * EXTENT) < reader.worth(0) - 1


def test_where_some_are_popular_often_visited_and_young_are_worth_most() -> None:
    reader = _Reader(EpochAware())
    rng = random.Random(1)
    weights = [1 / (rank + 1) for rank in range(500)]
    for key in rng.choices(range(500), weights, k=5000):
        reader.read(key)
    assert reader.worth(10 * EXTENT, accesses=40) > reader.worth(10 * EXTENT, accesses=1) + 1
    assert reader.worth(10 * EXTENT, accesses=40) > reader.worth(3000 * EXTENT, accesses=40) + 1


def test_with_nothing_learnt_nobody_is_worth_more_than_another() -> None:
    reader = _Reader(EpochAware())
    reader.epochs(300, 1)
    assert reader.worth(0, accesses=1) == reader.worth(250 * EXTENT, accesses=1)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_dataset_that_fell_silent_is_worth_less_than_a_new_one(epochs: int) -> None:
    policy = EpochAware()
    old = _Reader(policy, group=1)
    old.epochs(300, epochs)
    new = _Reader(policy, group=2, clock=old.clock)
    new.epochs(100, 1)
    record = AccessRecord(old.clock - 100 * EXTENT, EXTENT, epochs, 1)
    assert policy.worth(record, new.clock) < new.worth(0, accesses=1) - policy.margin


def test_touches_of_one_visit_count_once() -> None:
    policy = EpochAware()
    records: dict[int, AccessRecord] = {}
    clock = 0
    for _ in range(64):
        for reader in range(16):
            records[reader] = policy.access(records.get(reader), clock, 1, resident=True)
            clock += MIB
    assert {record.accesses for record in records.values()} == {1}
    assert {record.interval for record in records.values()} == {0}
    assert all(clock - record.accessed_at <= 64 * MIB for record in records.values())
    record = records[0]
    assert policy.access(record, record.accessed_at + MIB, 1, resident=True) is record
    again = policy.access(record, record.accessed_at + 256 * MIB, 1, resident=True)
    assert (again.accesses, again.interval) == (2, 256 * MIB)


def test_a_clock_that_runs_backwards_changes_nothing() -> None:
    policy = EpochAware()
    record = policy.access(None, 1000 * EXTENT, 1, resident=False)
    assert policy.access(record, 999 * EXTENT, 1, resident=True) is record
    assert math.isfinite(policy.worth(record, 0))


def test_forgotten_ghosts_do_not_count_as_never_read_again() -> None:
    worth = []
    for forget in (False, True):
        policy = EpochAware()
        reader = _Reader(policy)
        rng = random.Random(2)
        for _ in range(4):
            reader.epochs(200, 1, seed=rng.randrange(1000))
            for key in rng.sample(sorted(reader.records), 150):
                record = reader.records.pop(key)
                if forget:
                    policy.forget(record)
        worth.append(reader.worth(300 * EXTENT, accesses=1))
    assert worth[1] > worth[0] + 0.5


def test_what_was_learnt_survives_json() -> None:
    policy = EpochAware()
    for group in (1, 2):
        reader = _Reader(policy, group=group, clock=group * 10**14)
        reader.epochs(200, 4, seed=group)
    restored = EpochAware()
    restored.restore(json.loads(json.dumps(policy.dump())))
    assert restored.dump() == policy.dump()
    for age in range(0, 600, 7):
        for accesses in (1, 2, 5, 100):
            for group in (1, 2, 3):
                record = AccessRecord(reader.clock - age * EXTENT, 1, accesses, group)
                before, after = (p.worth(record, reader.clock) for p in (policy, restored))
                assert after == pytest.approx(before, abs=0.05)


def _dumped(**changes: object) -> dict[str, Any]:
    reader = _Reader(EpochAware())
    reader.epochs(50, 3)
    return reader.policy.dump() | changes


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"format": 99},
        {"format": 1},
        _dumped(everything=None),
        _dumped(groups={"1": {"classes": []}}),
        _dumped(groups={"x": _dumped()["everything"]}),
        _dumped(groups=[1]),
        json.loads(json.dumps(_dumped()).replace('"again": {"', '"again": {"9')),
        json.loads(json.dumps(_dumped()).replace('"longest_gap": ', '"longest_gap": -1e999')),
    ],
)
def test_a_state_that_makes_no_sense_counts_as_nothing_learnt(state: dict[str, Any]) -> None:
    policy = EpochAware()
    policy.restore(state)
    assert policy.dump() == EpochAware().dump()


def test_the_state_is_bounded_and_the_same_visits_give_the_same_state() -> None:
    def learn() -> EpochAware:
        policy, rng = EpochAware(), random.Random(4)
        records: dict[int, AccessRecord] = {}
        clock = 0
        for _ in range(20_000):
            key = int(rng.paretovariate(0.5))
            records[key] = policy.access(records.get(key), clock, 1, resident=False)
            clock += rng.randrange(1, 4 * EXTENT)
        return policy

    first, second = learn(), learn()
    assert first.dump() == second.dump()
    assert len(json.dumps(first.dump())) < 64_000
