"""Counts and times of the requests that reach a store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from cloudfs_backends.api import OperationStatistics
from cloudfs_backends.errors import ObjectNotFoundError, StoreError
from cloudfs_backends.histogram import bucket_of, empty_histogram

_ALWAYS_REPORTED: Final = ("head", "list", "get")
"""Operations that are in the statistics before their first request."""


@dataclass(slots=True)
class _Meter:
    """The running totals of one operation."""

    requests: int = 0
    errors: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    first_byte_seconds: float = 0.0
    errors_by_kind: Counter[str] = field(default_factory=Counter)
    durations: list[int] = field(default_factory=empty_histogram)
    first_byte: list[int] = field(default_factory=empty_histogram)

    def snapshot(self, retries: int) -> OperationStatistics:
        return OperationStatistics(
            requests=self.requests,
            errors=self.errors,
            retries=retries,
            received_bytes=self.received_bytes,
            seconds=self.seconds,
            first_byte_seconds=self.first_byte_seconds,
            errors_by_kind=dict(self.errors_by_kind),
            durations=tuple(self.durations),
            first_byte=tuple(self.first_byte),
        )


class Meters:
    """Totals by operation, and the store's last error. Used from the trio loop only.

    Times are in seconds and summed over requests, failed and cancelled ones included;
    `first_byte_seconds` sums over the requests that received a byte. A missing object is not an
    error.
    """

    def __init__(self) -> None:
        self._meters = defaultdict(_Meter, {name: _Meter() for name in _ALWAYS_REPORTED})
        self.last_error: str | None = None

    @contextmanager
    def measured(self, operation: str) -> Iterator[None]:
        """Count one request, which is made inside the block."""
        meter = self._meters[operation]
        meter.requests += 1
        started = trio.current_time()
        try:
            yield
        except ObjectNotFoundError:
            raise
        except StoreError as error:
            meter.errors += 1
            meter.errors_by_kind[error.kind] += 1
            self.last_error = error.describe()
            raise
        finally:
            seconds = trio.current_time() - started
            meter.seconds += seconds
            meter.durations[bucket_of(seconds)] += 1

    def add_body(self, operation: str, received_bytes: int, first_byte_s: float | None) -> None:
        """Count the body of a request that ended; `first_byte_s` is None without a byte."""
        meter = self._meters[operation]
        meter.received_bytes += received_bytes
        if first_byte_s is not None:
            meter.first_byte_seconds += first_byte_s
            meter.first_byte[bucket_of(first_byte_s)] += 1

    def snapshot(self, retries: Mapping[str, int]) -> dict[str, OperationStatistics]:
        """Return the totals; `retries` are counted elsewhere, by operation."""
        return {name: meter.snapshot(retries[name]) for name, meter in self._meters.items()}
