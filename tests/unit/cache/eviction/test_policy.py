"""Who goes and who is refused, given what extents are worth."""

from __future__ import annotations

import pytest

from cloudfs_cache.eviction.policy import AccessRecord, Candidate, LeastRecentlyUsed, choose_victims

POLICY = LeastRecentlyUsed()


def _visited(clock: int) -> AccessRecord:
    return AccessRecord(clock, 0, 1, 0)


def _sample(*clocks: int, size: int = 10) -> list[Candidate[int]]:
    return [Candidate(clock, size, _visited(clock)) for clock in clocks]


def test_the_least_worthy_go_first_and_no_more_than_needed() -> None:
    sample = _sample(7, 3, 9, 1, 5, 8, 6, 4, 2, 10, 11, 12)
    assert choose_victims(POLICY, sample, 11, 20, _visited(20)) == [1, 2]
    assert choose_victims(POLICY, sample, 20, 20, _visited(20)) == [1, 2]
    assert choose_victims(POLICY, sample, 21, 20, None) == [1, 2, 3]


@pytest.mark.parametrize(("count", "most"), [(1, 1), (3, 1), (8, 2), (64, 16)])
def test_at_most_a_quarter_of_a_sample_goes_at_once(count: int, most: int) -> None:
    victims = choose_victims(POLICY, _sample(*range(count)), 10**9, 100, None)
    assert victims == list(range(most))


def test_a_newcomer_is_refused_when_one_that_would_go_is_worth_as_much() -> None:
    sample = _sample(1, 2, 5, 9, 9, 9, 9, 9, 9, 9, 9, 9)
    assert choose_victims(POLICY, sample, 20, 20, _visited(5)) == [1, 2]
    assert choose_victims(POLICY, sample, 30, 20, _visited(5)) is None
    assert choose_victims(POLICY, sample, 30, 20, None) == [1, 2, 5]


def test_the_margin_favours_residents() -> None:
    class Hesitant(LeastRecentlyUsed):
        margin = 2.0

    sample = _sample(1, 2, 3, 4)
    assert choose_victims(Hesitant(), sample, 1, 20, _visited(4)) == [1]
    assert choose_victims(Hesitant(), sample, 1, 20, _visited(3)) is None


def test_equal_worth_keeps_the_order_of_the_sample_and_keys_are_not_compared() -> None:
    sample = [Candidate(key, 10, _visited(1)) for key in ({"b"}, None, ("a",), 5)]
    assert choose_victims(POLICY, sample, 1, 20, None) == [{"b"}]


def test_an_empty_sample_frees_nothing() -> None:
    assert choose_victims(POLICY, [], 1, 20, _visited(20)) == []


def test_lru_keeps_the_record() -> None:
    first = POLICY.access(None, 100, 7, resident=False)
    assert first == AccessRecord(100, 0, 1, 7)
    assert POLICY.access(first, 130, 7, resident=True) == AccessRecord(130, 30, 2, 7)
