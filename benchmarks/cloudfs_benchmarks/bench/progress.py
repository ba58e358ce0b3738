"""How far a run is, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` actions are over; `text` says what is going on and how long it may take."""

    done: int
    total: int
    text: str


Show = Callable[[Progress], None]
Say = Callable[[str], None]
"""Prints one line that stays."""


@dataclass(slots=True)
class Tracker:
    """Counts actions (a trial of a measurement in one state, or an epoch) and guesses the rest."""

    total: int
    show: Show
    done: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def begin(self, what: str) -> None:
        """Say what is done now."""
        self.show(Progress(self.done, self.total, f"{what}{self._left()}"))

    def advance(self, what: str, count: int = 1) -> None:
        """Count actions as over, also those that failed."""
        self.done = min(self.total, self.done + count)
        self.begin(what)

    def _left(self) -> str:
        if not self.done:
            return ""
        elapsed_s = time.monotonic() - self.started_s
        left_s = round(elapsed_s / self.done * (self.total - self.done))
        minutes, seconds = divmod(left_s, 60)
        return f", about {minutes}:{seconds:02} left"
