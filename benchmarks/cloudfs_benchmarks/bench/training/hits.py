"""How much of what a mount hands out it had to ask the store for, over time and per epoch."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable
from dataclasses import dataclass

from cloudfs_benchmarks.bench.training.job import TrainingSettings

Counters = Callable[[], tuple[int, int, int] | None]
"""Bytes handed out in all, bytes of the store among them, and requests to the store; all since the
mount began. None for targets without counters."""

_CLOCK = time.monotonic
# Reading the counters may start a process: it must not take the CPU away from what is measured.
_REST_PER_COST = 20


@dataclass(frozen=True, slots=True)
class Served:
    """What a mount did in one epoch."""

    bytes: int
    store_bytes: int
    store_requests: int

    @property
    def hit_ratio(self) -> float:
        """The share of bytes not from the store; 1 when the page cache left it nothing to do."""
        if not self.bytes:
            return 0.0 if self.store_bytes else 1.0
        # What is read ahead for later counts against the bytes handed out now.
        return max(0.0, 1 - self.store_bytes / self.bytes)


class HitRatio:
    """Samples a mount's counters from the begin of a run on.

    Epochs begin and end with `counters`; `running`, which may be a little behind and costs less, is
    asked in between.

    `epoch_started_s`: when the last epoch began, in seconds since the first did.
    """

    def __init__(
        self, counters: Counters, settings: TrainingSettings, running: Counters | None = None
    ) -> None:
        self._counters = counters
        self._running = running or counters
        self._every_s = settings.sample_s
        self._began_s = 0.0
        self.epoch_started_s = 0.0
        self._due_s = 0.0
        self._last: tuple[int, int, int] | None = None
        self._epoch_began: tuple[int, int, int] | None = None
        self._over_time: list[tuple[float, float]] = []

    def begin_epoch(self) -> None:
        """An epoch begins now, with the first of them the run.

        What happened since the last sample was none of its doing.
        """
        self._last = self._epoch_began = self._read(self._counters)
        now_s = _CLOCK()
        self._began_s = self._began_s or now_s
        self.epoch_started_s = now_s - self._began_s

    def sample(self) -> None:
        """Take one sample; nothing is recorded when nothing was handed out since the last."""
        self._sample(self._running)

    def end_epoch(self) -> Served | None:
        """Take a sample; what the mount did since the epoch began, None without counters."""
        self._sample(self._counters)
        if self._last is None or self._epoch_began is None:
            return None
        served, stored, requests = (
            now - before for now, before in zip(self._last, self._epoch_began, strict=True)
        )
        return Served(served, stored, requests)

    def due_in_s(self) -> float:
        """Seconds until the next sample is to be taken; infinite without counters."""
        return max(0.0, self._due_s - _CLOCK()) if self._last is not None else math.inf

    @property
    def over_time(self) -> tuple[tuple[float, float], ...]:
        """(seconds since the run began, hit ratio since the sample before)."""
        return tuple(self._over_time)

    def _sample(self, counters: Counters) -> None:
        if self._last is None:
            return
        now, last = self._read(counters), self._last
        if now is None or any(map(operator.lt, now, last)):
            # There is no reading yet, or it is from before the epoch.
            return
        if now[0] > last[0]:
            ratio = Served(now[0] - last[0], now[1] - last[1], now[2] - last[2]).hit_ratio
            self._over_time.append((_CLOCK() - self._began_s, ratio))
        self._last = now

    def _read(self, counters: Counters) -> tuple[int, int, int] | None:
        began_s = _CLOCK()
        found = counters()
        cost_s = _CLOCK() - began_s
        self._due_s = _CLOCK() + max(self._every_s, _REST_PER_COST * cost_s)
        return found
