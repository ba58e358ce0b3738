"""Metadata validity: TTLs and explicit invalidations, on one clock.

Metadata is as old as the request that brought it: a slow LIST or HEAD never passes for newer than
what happened while it was under way.
"""

from __future__ import annotations

from collections.abc import Callable

from cloudfs.vfs.metadata.invalidations import Invalidations
from cloudfs.vfs.metadata.ttl import TtlPolicy


class MetadataValidity:
    """Whether cached entries and listings may be used. Keys of directories end with `/`.

    Moments are seconds of `clock`. Owned by the trio loop.
    """

    def __init__(self, policy: TtlPolicy, clock: Callable[[], float]) -> None:
        self.now = clock
        self.policy = policy
        self.invalidations = Invalidations()

    def is_entry_invalidated(self, key: str, requested_at: float) -> bool:
        """Return whether an entry was invalidated after it was requested."""
        return self.invalidations.last(key.removesuffix("/")) > requested_at

    def is_entry_valid(self, key: str, requested_at: float) -> bool:
        """Return whether an entry is within its TTL and was not invalidated."""
        age_s = self.now() - requested_at
        return age_s < self.policy.ttl_s(key) and not self.is_entry_invalidated(key, requested_at)

    def entry_valid_s(self, key: str, requested_at: float) -> float:
        """Return how much longer an entry is valid, in seconds."""
        # Once per entry of a READDIR: no more calls than it takes.
        if self.invalidations.last(key.removesuffix("/")) > requested_at:
            return 0.0
        age_s = max(0.0, self.now() - requested_at)
        return max(0.0, self.policy.ttl_s(key) - age_s)

    def is_listing_invalidated(self, directory: str, requested_at: float) -> bool:
        """Return whether a listing was invalidated after it was requested."""
        return self.invalidations.last(directory) > requested_at

    def is_listing_valid(self, directory: str, requested_at: float) -> bool:
        """Return whether a listing is within its TTL and was not invalidated."""
        expired = self.now() - requested_at >= self.policy.ttl_s(directory)
        return not (expired or self.is_listing_invalidated(directory, requested_at))
