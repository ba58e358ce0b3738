"""Samples of the metrics: readers that take them from the status document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Final

from cloudfs.status.document import (
    DirectoryState,
    DiskStatus,
    FuseOperation,
    Health,
    MemoryStatus,
    StatusDocument,
    StoreOperation,
)
from cloudfs.status.prometheus.metric import Reader, Sample
from cloudfs_cache.api import WaitsFor

_MEMORY: Final = "memory"
_SSD: Final = "ssd"


def value(of: Callable[[StatusDocument], float | None]) -> Reader:
    """Read one number; no sample for None."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        number = of(document)
        if number is not None:
            yield Sample((), float(number))

    return read


def build(document: StatusDocument) -> Iterator[Sample]:
    """Read the version of the daemon."""
    yield Sample((document.version,), 1.0)


def mount(document: StatusDocument) -> Iterator[Sample]:
    """Read the mountpoint and the kind of the store, never the bucket."""
    yield Sample((document.mountpoint, document.store.backend), 1.0)


def health(document: StatusDocument) -> Iterator[Sample]:
    """Read the health that a daemon may have."""
    return _states((), (Health.OK, Health.DEGRADED), document.health)


def _states(labels: tuple[str, ...], states: Iterable[Enum], state: Enum) -> Iterator[Sample]:
    for known in states:
        yield Sample((*labels, known.value), float(known is state))


def fuse(of: Callable[[FuseOperation], float]) -> Reader:
    """Read a number of each operation of the kernel."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        for name, operation in document.fuse.operations.items():
            yield Sample((name,), float(of(operation)))

    return read


def fuse_errors(document: StatusDocument) -> Iterator[Sample]:
    """Read the errors of each operation by errno."""
    # A series that begins at 1 has no increase: what alerts use is there from the start.
    errnos: dict[str, Mapping[str, int]] = {"read": {}}
    errnos |= {name: operation.errnos for name, operation in document.fuse.operations.items()}
    for operation, counts in errnos.items():
        for name, count in {"EIO": 0, **counts}.items():
            yield Sample((operation, name), float(count))


def fuse_durations(document: StatusDocument) -> Iterator[Sample]:
    """Read the durations of the operations."""
    for name, operation in document.fuse.operations.items():
        yield Sample((name,), operation.seconds, operation.durations)


def longest_waits(document: StatusDocument) -> Iterator[Sample]:
    """Read the longest wait that is under way, by what is waited for."""
    longest = dict.fromkeys(WaitsFor, 0.0)
    for wait in document.waiting:
        longest[wait.waits_for] = max(longest[wait.waits_for], wait.waited_s)
    yield from (Sample((cause.value,), seconds) for cause, seconds in longest.items())


def by_tier(of: Callable[[MemoryStatus | DiskStatus], float]) -> Reader:
    """Read the same number of memory, which has no directory, and of each cache directory."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        yield Sample((_MEMORY, ""), float(of(document.memory)))
        for disk in document.used_disks:
            yield Sample((_SSD, disk.directory), float(of(disk)))

    return read


def by_directory(of: Callable[[DiskStatus], float]) -> Reader:
    """Read a number of each cache directory."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        for disk in document.used_disks:
            yield Sample((disk.directory,), float(of(disk)))

    return read


def by_directory_and(of: Callable[[DiskStatus], Mapping[str, int]]) -> Reader:
    """Read several numbers of each cache directory, by the value of the second label."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        for disk in document.used_disks:
            for label, number in of(disk).items():
                yield Sample((disk.directory, label), float(number))

    return read


def disk_states(document: StatusDocument) -> Iterator[Sample]:
    """Read the state of each cache directory."""
    for directory, disk in document.disks.items():
        yield from _states((directory,), DirectoryState, disk.state)


def hit_bytes(document: StatusDocument) -> Iterator[Sample]:
    """Read the bytes that were local, by tier."""
    yield Sample((_MEMORY,), float(document.sources.memory_bytes))
    yield Sample((_SSD,), float(document.sources.disk_bytes))


def threads(*, waiting: bool) -> Reader:
    """Read the threads of the store's limits, which have no directory, and of each disk."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        for limiter, of in document.store.threads.items():
            yield Sample((f"store-{limiter}", ""), float(of.waiting if waiting else of.busy))
        for disk in document.used_disks:
            number = disk.threads_waiting if waiting else disk.threads_busy
            yield Sample(("disk", disk.directory), float(number))

    return read


def store(of: Callable[[StoreOperation], float]) -> Reader:
    """Read a number of each kind of request to the store."""

    def read(document: StatusDocument) -> Iterator[Sample]:
        for labels, operation in _operations(document):
            yield Sample(labels, float(of(operation)))

    return read


def store_errors(document: StatusDocument) -> Iterator[Sample]:
    """Read the failed requests by operation and kind."""
    for labels, operation in _operations(document):
        for kind, count in operation.errors_by_kind.items():
            yield Sample((*labels, kind), float(count))


def store_durations(document: StatusDocument) -> Iterator[Sample]:
    """Read the durations of each kind of request to the store."""
    for labels, operation in _operations(document):
        yield Sample(labels, operation.seconds, operation.durations)


def store_first_byte(document: StatusDocument) -> Iterator[Sample]:
    """Read the times to the first byte, of requests that have one."""
    for labels, operation in _operations(document):
        if operation.first_byte:
            yield Sample(labels, operation.first_byte_seconds, operation.first_byte)


def received(document: StatusDocument) -> Iterator[Sample]:
    """Read the bytes of bodies."""
    yield Sample((document.store.backend,), float(document.store.received_bytes))


def cost(document: StatusDocument) -> Iterator[Sample]:
    """Read the estimate, by what is paid for; no samples where there is none."""
    costs = {"requests": document.cost.requests_usd, "egress": document.cost.egress_usd}
    yield from (Sample((kind,), usd) for kind, usd in costs.items() if usd is not None)


def catalog(document: StatusDocument) -> Iterator[Sample]:
    """Read the lookups in the persistent metadata cache."""
    yield Sample(("hit",), float(document.catalog.hits))
    yield Sample(("miss",), float(document.catalog.misses))


def _operations(document: StatusDocument) -> Iterator[tuple[tuple[str, str], StoreOperation]]:
    for name, operation in document.store.operations.items():
        yield (document.store.backend, name), operation
