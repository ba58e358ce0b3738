"""How long answers are believed, and from when on again after an invalidation."""

from __future__ import annotations

import math

import pytest

from cloudfs.vfs.metadata import freshness
from cloudfs.vfs.metadata.freshness import Absences, Doubts, FreshnessPolicy


def test_a_path_may_have_a_ttl_of_its_own() -> None:
    policy = FreshnessPolicy(60.0, 5.0, lambda key: 0.0 if key.startswith("now/") else None)
    assert [policy.ttl_s(key) for key in ("", "now", "now/", "now/f")] == [60.0, 60.0, 0.0, 0.0]
    assert FreshnessPolicy(60.0, 5.0).ttl_s("now/f") == 60.0


def test_a_name_is_doubted_alone() -> None:
    doubts = Doubts()
    doubts.note("d/f", 7.0)
    assert doubts.since("d/f") == 7.0
    assert {doubts.since(name) for name in ("", "d", "d/", "d/f/", "d/f/x", "d/ff")} == {-math.inf}


def test_a_directory_is_doubted_with_all_below() -> None:
    doubts = Doubts()
    doubts.note_below("a/b/", 7.0)
    assert {doubts.since(name) for name in ("a/b/", "a/b/c", "a/b/c/", "a/b/c/d")} == {7.0}
    assert {doubts.since(name) for name in ("", "a", "a/", "a/b", "a/bc", "b/")} == {-math.inf}


def test_the_root_is_everything() -> None:
    doubts = Doubts()
    doubts.note_below("", 7.0)
    assert {doubts.since(name) for name in ("", "a", "a/", "a/b/c")} == {7.0}


def test_the_latest_doubt_counts() -> None:
    doubts = Doubts()
    doubts.note("a/b/f", 3.0)
    doubts.note_below("a/b/", 9.0)
    doubts.note_below("a/", 5.0)
    assert (doubts.since("a/b/f"), doubts.since("a/f")) == (9.0, 5.0)


def test_too_many_doubts_are_a_doubt_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "_DOUBTS_MAX", 10)
    doubts = Doubts()
    for number in range(11):
        doubts.note(f"f{number}", float(number))
    assert {doubts.since(name) for name in ("f0", "f10", "other")} == {10.0}
    doubts.note("f3", 20.0)
    assert (doubts.since("f3"), doubts.since("f4")) == (20.0, 10.0)


def test_an_older_absence_does_not_replace_a_later_one() -> None:
    absences = Absences()
    absences.note(1, b"f", 10.0, 5.0)
    absences.note(1, b"f", 8.0, 100.0)
    known = absences.get(1, b"f")
    assert known is not None
    assert (known.noted_at, known.believed_until) == (10.0, 15.0)
    assert not absences.outlived(1, b"f", 9.0)
    assert absences.outlived(1, b"f", 10.0)
    assert absences.get(1, b"f") is None
