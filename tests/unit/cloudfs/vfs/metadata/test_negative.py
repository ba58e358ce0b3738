"""Negative entries: dated by their request."""

from __future__ import annotations

import pytest

from cloudfs.vfs.metadata import negative as module
from cloudfs.vfs.metadata.negative import NegativeCache


def test_an_older_response_does_not_replace_a_later_one() -> None:
    negative = NegativeCache()
    negative.add(1, b"f", 10.0, ttl_s=5.0)
    negative.add(1, b"f", 8.0, ttl_s=100.0)
    known = negative.get(1, b"f")
    assert known is not None
    assert (known.requested_at, known.expires_at) == (10.0, 15.0)
    assert not negative.discard_older(1, b"f", 9.0)
    assert negative.discard_older(1, b"f", 10.0)
    assert negative.get(1, b"f") is None


def test_the_oldest_are_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ENTRIES_MAX", 3)
    negative = NegativeCache()
    for number in range(5):
        negative.add(number, b"f", 1.0, ttl_s=5.0)
    assert list(negative) == [(2, b"f"), (3, b"f"), (4, b"f")]
