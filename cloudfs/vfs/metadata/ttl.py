"""Metadata TTLs: how long a response of the store may be used without asking again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TtlPolicy:
    """The TTLs of a mount, in seconds (`math.inf`: for ever).

    `ttl_of` may return another metadata TTL for a key (None: the mount's); directories end with
    `/`, the root is "".
    """

    metadata_ttl_s: float
    negative_ttl_s: float
    ttl_of: Callable[[str], float | None] | None = None

    def ttl_s(self, key: str) -> float:
        """Return the TTL of the entry or of the listing of a key."""
        chosen = None if self.ttl_of is None else self.ttl_of(key)
        return self.metadata_ttl_s if chosen is None else chosen
