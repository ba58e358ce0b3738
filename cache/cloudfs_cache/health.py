"""When to stop asking a disk that errors: a small state machine without clock or I/O.

`ok` until several operations in a row fail, then `bypassed` for a while; after that one operation
is let through, and its outcome decides.
"""

from __future__ import annotations

FAILURES_MAX = 3
BYPASS_S = 30.0


class DiskHealth:
    """Times are seconds of any monotonic clock, passed in by the caller."""

    def __init__(self) -> None:
        self._failures = 0
        self._bypassed_until = 0.0
        self.errors = 0

    def usable(self, now: float) -> bool:
        """The disk may be asked."""
        return now >= self._bypassed_until

    def state(self, now: float) -> str:
        """`ok` or `bypassed`, for status."""
        return "ok" if self.usable(now) else "bypassed"

    def succeeded(self) -> None:
        """An operation on the disk went well."""
        self._failures = 0

    def failed(self, now: float) -> bool:
        """An operation failed. True when this one starts a bypass."""
        self.errors += 1
        self._failures += 1
        if self._failures < FAILURES_MAX:
            return False
        self._bypassed_until = now + BYPASS_S
        # One failure after the pause is enough to start the next one.
        self._failures = FAILURES_MAX - 1
        return True
