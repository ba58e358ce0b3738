"""A limit of bytes per second for work whose size is known only afterwards."""

from __future__ import annotations

from typing import Final

import trio

_BURST_S: Final = 1.0


class TokenBucket:
    """Limits bytes per second, with bursts of a second's worth.

    `take` counts bytes that have passed and may overdraw; `wait` makes up for that. Owned by the
    trio loop. A rate of None is no limit.
    """

    def __init__(self, rate_bytes_s: int | None) -> None:
        self._rate = rate_bytes_s
        self._tokens = float(rate_bytes_s or 0) * _BURST_S
        self._counted_at = trio.current_time()

    @property
    def is_overdrawn(self) -> bool:
        """True when it takes more than another second to make up for what has passed."""
        return self._rate is not None and self._level() < -self._rate * _BURST_S

    def take(self, count: int) -> None:
        """Count bytes that have passed."""
        if self._rate is not None:
            self._tokens = self._level() - count
            self._counted_at = trio.current_time()

    async def wait(self) -> None:
        """Return once more bytes may pass."""
        # Less than a byte is rounding: the sleep could be too short for the clock to move.
        # Others take meanwhile, so one sleep may not be enough.
        while self._rate is not None and self._level() < -1:  # noqa: ASYNC110 - time, not an event
            await trio.sleep(-self._level() / self._rate)

    def _level(self) -> float:
        """Return the current tokens; negative when overdrawn."""
        assert self._rate is not None
        grown = (trio.current_time() - self._counted_at) * self._rate
        return min(self._tokens + grown, self._rate * _BURST_S)
