"""Shares of the read-ahead budget: equal among active readers."""

from __future__ import annotations

from cloudfs.prefetch.budget import ReadAheadBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_active_readers_share_equally() -> None:
    budget = ReadAheadBudget(1200, Clock())
    assert [budget.share(reader) for reader in ("a", "b", "c")] == [1200, 600, 400]
    assert budget.share("a") == 400


def test_a_closed_reader_leaves_its_share_to_the_others() -> None:
    budget = ReadAheadBudget(1200, Clock())
    budget.share("a")
    budget.share("b")
    budget.leave("b")
    budget.leave("never read")
    assert budget.share("a") == 1200


def test_a_reader_that_pauses_has_no_share() -> None:
    clock = Clock()
    budget = ReadAheadBudget(1200, clock)
    budget.share("paused")
    for clock.now in (4.0, 8.0, 12.0):
        last = budget.share("reading")
    assert last == 1200
    assert budget.share("paused") == 600
