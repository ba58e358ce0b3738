"""Counts of kernel requests: the source of what status and metrics say about FUSE.

Owned by the trio loop. The stores and tiers keep their own statistics; this module knows none of
them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_LAST_ERRORS_MAX = 10


@dataclass(frozen=True, slots=True)
class RequestStatistics:
    """Requests of one kind since the mount was made."""

    requests: int
    errors: int
    seconds: float


@dataclass(slots=True)
class _Counter:
    requests: int = 0
    errors: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class RequestMetrics:
    """Mutable counters by operation, bytes delivered, requests in flight, the last errors."""

    read_bytes: int = 0
    inflight: int = 0
    last_errors: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_ERRORS_MAX))
    _counters: dict[str, _Counter] = field(default_factory=dict)

    def note(self, operation: str, seconds: float, *, failed: bool) -> None:
        """Count one answered request."""
        counter = self._counters.get(operation)
        if counter is None:
            counter = self._counters[operation] = _Counter()
        counter.requests += 1
        counter.seconds += seconds
        counter.errors += failed

    def statistics(self) -> dict[str, RequestStatistics]:
        """A snapshot by operation."""
        return {
            name: RequestStatistics(c.requests, c.errors, c.seconds)
            for name, c in self._counters.items()
        }
