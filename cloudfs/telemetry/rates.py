"""Sliding-window rates (10 s) from cumulative counters that are sampled once a second."""

from __future__ import annotations

from collections import deque
from dataclasses import astuple, dataclass
from typing import Final

WINDOW_S: Final = 10.0
SAMPLE_EVERY_S: Final = 1.0

_SAMPLES_MAX: Final = int(WINDOW_S / SAMPLE_EVERY_S) + 1


@dataclass(frozen=True, slots=True)
class TrafficTotals:
    """Cumulative counters of a mount at the moment `at` (seconds, monotonic).

    `read_bytes` were returned to readers, `store_bytes` of them were cache misses;
    `received_bytes` came from the store, `store_failures` are its failed requests.
    """

    at: float
    read_bytes: int = 0
    store_bytes: int = 0
    received_bytes: int = 0
    fuse_requests: int = 0
    store_requests: int = 0
    store_failures: int = 0

    def hit_ratio(self) -> float | None:
        """Return the share of the bytes read that were cache hits; None when nothing was read."""
        if not self.read_bytes:
            return None
        return round(1 - self.store_bytes / self.read_bytes, 6)


@dataclass(frozen=True, slots=True)
class TrafficRates:
    """Rates over the last `window_s` seconds; the ratio is None when nothing was read in them."""

    window_s: float
    read_bytes_per_s: float
    received_bytes_per_s: float
    fuse_requests_per_s: float
    store_requests_per_s: float
    hit_ratio: float | None


class SlidingRates:
    """Samples of the last `WINDOW_S` seconds; `first` is the one at the start."""

    def __init__(self, first: TrafficTotals) -> None:
        self._samples = deque([first], maxlen=_SAMPLES_MAX)

    def sample(self, totals: TrafficTotals) -> None:
        """Add the totals of this moment; to be called every `SAMPLE_EVERY_S`."""
        self._samples.append(totals)

    def increase(self, totals: TrafficTotals) -> TrafficTotals:
        """Return the increase from the oldest sample in the window; `at` is its seconds."""
        begin = totals.at - WINDOW_S - SAMPLE_EVERY_S
        # A loop that was held up has older samples only; the last one is then the best there is.
        recent = [sample for sample in self._samples if sample.at >= begin] or [self._samples[-1]]
        return _difference(totals, recent[0])

    def rates(self, totals: TrafficTotals) -> TrafficRates:
        """Return the rates over the same window."""
        return _rates(self.increase(totals))


def _difference(later: TrafficTotals, earlier: TrafficTotals) -> TrafficTotals:
    pairs = zip(astuple(later), astuple(earlier), strict=True)
    return TrafficTotals(*(new - old for new, old in pairs))


def _rates(increase: TrafficTotals) -> TrafficRates:
    window_s = increase.at
    per_s = 1 / window_s if window_s > 0 else 0.0
    return TrafficRates(
        window_s=round(window_s, 3),
        read_bytes_per_s=round(increase.read_bytes * per_s, 1),
        received_bytes_per_s=round(increase.received_bytes * per_s, 1),
        fuse_requests_per_s=round(increase.fuse_requests * per_s, 2),
        store_requests_per_s=round(increase.store_requests * per_s, 2),
        hit_ratio=increase.hit_ratio(),
    )
