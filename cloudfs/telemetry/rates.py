"""What happens now: rates over the last seconds, from totals that are noted once a second.

It does not know where the totals come from.
"""

from __future__ import annotations

from collections import deque
from dataclasses import astuple, dataclass
from typing import Final

WINDOW_S: Final = 10.0
SAMPLE_EVERY_S: Final = 1.0

_SAMPLES_MAX: Final = int(WINDOW_S / SAMPLE_EVERY_S) + 1


@dataclass(frozen=True, slots=True)
class Totals:
    """What has come together since the mount was made, at one moment (seconds, monotonic).

    `read_bytes` were handed to readers, `store_bytes` of them were not local; `received_bytes`
    came from the store, `store_failures` are requests that it did not answer as it should.
    """

    at: float
    read_bytes: int = 0
    store_bytes: int = 0
    received_bytes: int = 0
    fuse_requests: int = 0
    store_requests: int = 0
    store_failures: int = 0

    def hit_ratio(self) -> float | None:
        """The share of the bytes read that did not have to be waited for from the store."""
        if not self.read_bytes:
            return None
        return round(1 - self.store_bytes / self.read_bytes, 6)


@dataclass(frozen=True, slots=True)
class Now:
    """Rates over the last `window_s` seconds; the ratio is None when nothing was read in them."""

    window_s: float
    read_bytes_per_s: float
    received_bytes_per_s: float
    fuse_requests_per_s: float
    store_requests_per_s: float
    hit_ratio: float | None


class Recent:
    """The totals of the last `WINDOW_S` seconds. `first` are those at the start."""

    def __init__(self, first: Totals) -> None:
        self._samples = deque([first], maxlen=_SAMPLES_MAX)

    def note(self, totals: Totals) -> None:
        """Take the totals of this moment; call it every `SAMPLE_EVERY_S`."""
        self._samples.append(totals)

    def within(self, totals: Totals) -> Totals:
        """Return what has come together from the oldest totals in the window to these; `at` is
        how many seconds that took."""
        begin = totals.at - WINDOW_S - SAMPLE_EVERY_S
        # A loop that was held up has older samples only; the last one is then the best there is.
        recent = [sample for sample in self._samples if sample.at >= begin] or [self._samples[-1]]
        return _difference(totals, recent[0])

    def now(self, totals: Totals) -> Now:
        """Return the rates over the same time."""
        return _rates(self.within(totals))


def _difference(later: Totals, earlier: Totals) -> Totals:
    pairs = zip(astuple(later), astuple(earlier), strict=True)
    return Totals(*(new - old for new, old in pairs))


def _rates(within: Totals) -> Now:
    window_s = within.at
    per_s = 1 / window_s if window_s > 0 else 0.0
    return Now(
        window_s=round(window_s, 3),
        read_bytes_per_s=round(within.read_bytes * per_s, 1),
        received_bytes_per_s=round(within.received_bytes * per_s, 1),
        fuse_requests_per_s=round(within.fuse_requests * per_s, 2),
        store_requests_per_s=round(within.store_requests * per_s, 2),
        hit_ratio=within.hit_ratio(),
    )
