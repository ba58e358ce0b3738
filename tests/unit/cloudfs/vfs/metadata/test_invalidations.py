"""Explicit invalidations of names and of subtrees."""

from __future__ import annotations

import math

import pytest

from cloudfs.vfs.metadata import invalidations as module
from cloudfs.vfs.metadata.invalidations import Invalidations


def test_a_name_is_invalidated_alone() -> None:
    invalidations = Invalidations()
    invalidations.add("d/f", 7.0)
    assert invalidations.last("d/f") == 7.0
    others = ("", "d", "d/", "d/f/", "d/f/x", "d/ff")
    assert {invalidations.last(name) for name in others} == {-math.inf}


def test_a_directory_is_invalidated_with_all_below() -> None:
    invalidations = Invalidations()
    invalidations.add_subtree("a/b/", 7.0)
    below, others = ("a/b/", "a/b/c", "a/b/c/", "a/b/c/d"), ("", "a", "a/", "a/b", "a/bc", "b/")
    assert {invalidations.last(name) for name in below} == {7.0}
    assert {invalidations.last(name) for name in others} == {-math.inf}


def test_the_root_is_everything() -> None:
    invalidations = Invalidations()
    invalidations.add_subtree("", 7.0)
    assert {invalidations.last(name) for name in ("", "a", "a/", "a/b/c")} == {7.0}


def test_the_latest_one_counts() -> None:
    invalidations = Invalidations()
    invalidations.add("a/b/f", 3.0)
    invalidations.add_subtree("a/b/", 9.0)
    invalidations.add_subtree("a/", 5.0)
    assert (invalidations.last("a/b/f"), invalidations.last("a/f")) == (9.0, 5.0)


def test_too_many_names_invalidate_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAMES_MAX", 10)
    invalidations = Invalidations()
    for number in range(11):
        invalidations.add(f"f{number}", float(number))
    assert {invalidations.last(name) for name in ("f0", "f10", "other")} == {10.0}
    invalidations.add("f3", 20.0)
    assert (invalidations.last("f3"), invalidations.last("f4")) == (20.0, 10.0)
