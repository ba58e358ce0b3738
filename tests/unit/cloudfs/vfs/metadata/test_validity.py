"""Metadata validity: TTLs per path, and invalidations after a request was sent."""

from __future__ import annotations

from cloudfs.vfs.metadata.ttl import TtlPolicy
from cloudfs.vfs.metadata.validity import MetadataValidity


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_path_may_have_a_ttl_of_its_own() -> None:
    policy = TtlPolicy(60.0, 5.0, lambda key: 0.0 if key.startswith("now/") else None)
    assert [policy.ttl_s(key) for key in ("", "now", "now/", "now/f")] == [60.0, 60.0, 0.0, 0.0]
    assert TtlPolicy(60.0, 5.0).ttl_s("now/f") == 60.0


def test_metadata_is_valid_for_its_ttl_from_the_request_on() -> None:
    clock = Clock()
    validity = MetadataValidity(TtlPolicy(60.0, 5.0), clock)
    sent_at = clock.now
    clock.now += 20.0
    assert validity.entry_valid_s("d/f", sent_at) == 40.0
    clock.now = sent_at + 59.9
    assert validity.is_entry_valid("d/f", sent_at)
    assert validity.is_listing_valid("d/", sent_at)
    clock.now = sent_at + 60.0
    assert not validity.is_entry_valid("d/f", sent_at)
    assert not validity.is_listing_valid("d/", sent_at)
    assert validity.entry_valid_s("d/f", sent_at) == 0.0


def test_a_response_that_was_requested_before_an_invalidation_is_not_valid() -> None:
    validity = MetadataValidity(TtlPolicy(60.0, 5.0), Clock())
    validity.invalidations.add_subtree("d/", 995.0)
    for sent_at, expected in ((994.0, False), (995.0, True)):
        assert validity.is_entry_valid("d/f", sent_at) is expected
        assert validity.is_listing_valid("d/", sent_at) is expected
        assert validity.is_listing_invalidated("d/", sent_at) is not expected
    assert validity.entry_valid_s("d/f", 994.0) == 0.0


def test_a_directory_is_an_entry_and_a_listing() -> None:
    validity = MetadataValidity(TtlPolicy(60.0, 5.0), Clock())
    validity.invalidations.add("d", 999.0)
    assert not validity.is_entry_valid("d/", 998.0)
    assert validity.is_listing_valid("d/", 998.0)
