"""Counters of kernel requests by operation, and the last errors that were answered.

Owned by the trio loop. Stores and cache tiers keep their own statistics.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloudfs.telemetry.logs.rate_limit import fingerprint
from cloudfs.telemetry.redact import Redactor
from cloudfs_backends.histogram import bucket_of, empty_histogram

_ERRORS_MAX: Final = 10
_TEXT_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class RequestStatistics:
    """Requests of one operation since the mount was made.

    `errnos` counts the failed ones by the name of their errno; `durations` is a histogram over
    `histogram.BOUNDS_S`.
    """

    requests: int
    errors: int
    seconds: float
    errnos: dict[str, int]
    durations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error answered to a program, `count` times; `name` and `time` (Unix) are the last ones."""

    time: float
    operation: str
    name: str
    errno: str
    cause: str
    advice: str
    count: int


@dataclass(slots=True)
class _OperationCounter:
    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    errnos: Counter[int] = field(default_factory=Counter)
    durations: list[int] = field(default_factory=empty_histogram)


class RecentErrors:
    """The last errors, one record per cause: an outage that affects every file is one record."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._redactor = Redactor(os.environ)
        self._records: OrderedDict[tuple[str, int, str], ErrorRecord] = OrderedDict()

    def add(self, operation: str, name: str, number: int, cause: str, advice: str) -> None:
        """Count an error that was answered with the errno `number`; secrets are redacted."""
        cause = self._redactor.redact(cause)[:_TEXT_MAX]
        # Each answer of a store has a request id of its own.
        key = operation, number, fingerprint(cause)
        earlier = self._records.pop(key, None)
        self._records[key] = ErrorRecord(
            time=round(self._clock(), 3),
            operation=operation,
            name=name[:_TEXT_MAX],
            errno=errno_name(number),
            cause=cause,
            advice=self._redactor.redact(advice)[:_TEXT_MAX],
            count=1 if earlier is None else earlier.count + 1,
        )
        while len(self._records) > _ERRORS_MAX:
            self._records.popitem(last=False)

    def records(self) -> list[ErrorRecord]:
        """Return the records, the latest last."""
        return list(self._records.values())


@dataclass(slots=True)
class RequestMetrics:
    """Counters by operation, bytes returned to readers, requests in flight, the last errors."""

    read_bytes: int = 0
    inflight: int = 0
    last_errors: RecentErrors = field(default_factory=RecentErrors)
    _counters: dict[str, _OperationCounter] = field(default_factory=dict)

    def record(self, operation: str, seconds: float, number: int) -> None:
        """Count one request, answered with the errno `number`, 0 for success."""
        counter = self._counters.get(operation)
        if counter is None:
            counter = self._counters[operation] = _OperationCounter()
        counter.requests += 1
        counter.seconds += seconds
        counter.durations[bucket_of(seconds)] += 1
        if number:
            counter.errors += 1
            counter.errnos[number] += 1

    def requests(self) -> int:
        """Return how many requests were answered so far."""
        return sum(counter.requests for counter in self._counters.values())

    def statistics(self) -> dict[str, RequestStatistics]:
        """Return a snapshot by operation."""
        return {
            name: RequestStatistics(
                requests=c.requests,
                errors=c.errors,
                seconds=c.seconds,
                errnos={errno_name(number): count for number, count in c.errnos.items()},
                durations=tuple(c.durations),
            )
            for name, c in self._counters.items()
        }


def errno_name(number: int) -> str:
    """Return `EIO` for 5; the number where it has no name."""
    return errno.errorcode.get(number, str(number))
