"""Read-ahead budget: one part of the memory, shared equally by the files that are being read."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

_ACTIVE_S: Final = 5.0


class ReadAheadBudget:
    """Shares `total_bytes` among the readers that were active in the last seconds."""

    def __init__(self, total_bytes: int, clock: Callable[[], float]) -> None:
        self._total_bytes = total_bytes
        self._clock = clock
        self._active_at: dict[Hashable, float] = {}
        self._pruned_at = -_ACTIVE_S

    def share(self, reader: Hashable) -> int:
        """Note that a reader is active and return how many bytes it may have ahead."""
        now = self._clock()
        self._active_at[reader] = now
        if now - self._pruned_at > _ACTIVE_S:
            self._pruned_at = now
            self._active_at = {r: at for r, at in self._active_at.items() if now - at <= _ACTIVE_S}
        return self._total_bytes // len(self._active_at)

    def leave(self, reader: Hashable) -> None:
        """Give the share of a reader that was closed to the others."""
        self._active_at.pop(reader, None)
