"""Where the samples of the metrics come from: functions from the status document to samples.

They do not know which metrics there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloudfs.status.prometheus.definition import (
    Document,
    Reader,
    Sample,
    entries,
    histogram,
    numbers,
    part,
)

HEALTH_STATES: Final = ("ok", "degraded")
DISK_STATES: Final = ("ok", "read-only", "bypassed", "left out")
WAITS_FOR: Final = ("store", "disk", "memory", "other")
MEMORY: Final = "memory"
SSD: Final = "ssd"


def build(document: Document) -> Iterator[Sample]:
    """The version of the daemon."""
    yield Sample((str(document.get("version", "")),), 1.0)


def mount(document: Document) -> Iterator[Sample]:
    """Which mount it is; never of which bucket."""
    backend = part(document, "store").get("backend", "")
    yield Sample((str(document.get("mountpoint", "")), str(backend)), 1.0)


def _states(labels: tuple[str, ...], states: tuple[str, ...], state: object) -> Iterator[Sample]:
    for name in states:
        yield Sample((*labels, name), float(name == state))


def health(document: Document) -> Iterator[Sample]:
    """The state of the mount."""
    yield from _states((), HEALTH_STATES, document.get("health"))


def fuse(key: str) -> Reader:
    """A figure of each operation of the kernel."""

    def read(document: Document) -> Iterator[Sample]:
        for operation, record in entries(document, "fuse", "operations"):
            yield from numbers((operation,), record, key)

    return read


def fuse_errors(document: Document) -> Iterator[Sample]:
    """Errors of each operation by errno."""
    # A series that begins at 1 has no increase: what alerts look at is there from the start.
    operations = {"read": {}, **part(document, "fuse", "operations")}
    for operation, record in entries({"operations": operations}, "operations"):
        errnos = {"EIO": 0, **part(record, "errnos")}
        for name in errnos:
            yield from numbers((operation, name), errnos, name)


def fuse_durations(document: Document) -> Iterator[Sample]:
    """How long the operations took."""
    for operation, record in entries(document, "fuse", "operations"):
        yield from histogram((operation,), record, "durations", "seconds")


def longest_waits(document: Document) -> Iterator[Sample]:
    """The longest wait that is under way, by what is waited for."""
    longest = dict.fromkeys(WAITS_FOR, 0.0)
    for wait in document.get("waiting", ()):
        cause = wait.get("for") if wait.get("for") in longest else "other"
        longest[cause] = max(longest[cause], float(wait.get("waited_s", 0.0)))
    yield from (Sample((cause,), seconds) for cause, seconds in longest.items())


def by_tier(key: str) -> Reader:
    """The same figure of memory, which has no directory, and of each cache directory."""

    def read(document: Document) -> Iterator[Sample]:
        yield from numbers((MEMORY, ""), part(document, "memory"), key)
        for directory, record in entries(document, "disks"):
            yield from numbers((SSD, directory), record, key)

    return read


def by_directory(key: str) -> Reader:
    """A figure of each cache directory."""

    def read(document: Document) -> Iterator[Sample]:
        for directory, record in entries(document, "disks"):
            yield from numbers((directory,), record, key)

    return read


def by_directory_and(kinds: dict[str, str]) -> Reader:
    """Several figures of each directory: `kinds` are the values of the second label by key."""

    def read(document: Document) -> Iterator[Sample]:
        for directory, record in entries(document, "disks"):
            for key, kind in kinds.items():
                yield from numbers((directory, kind), record, key)

    return read


def disk_states(document: Document) -> Iterator[Sample]:
    """The state of each cache directory."""
    for directory, record in entries(document, "disks"):
        yield from _states((directory,), DISK_STATES, record.get("state"))


def hit_bytes(document: Document) -> Iterator[Sample]:
    """Bytes that were local, by tier."""
    yield from numbers((MEMORY,), part(document, "sources"), "memory_bytes")
    yield from numbers((SSD,), part(document, "sources"), "disk_bytes")


def _operations(document: Document) -> Iterator[tuple[tuple[str, str], Document]]:
    backend = str(part(document, "store").get("backend", ""))
    for operation, record in entries(document, "store", "operations"):
        yield (backend, operation), record


def threads(key: str) -> Reader:
    """A figure of the store's limits on threads, which have no directory, and of each disk's."""

    def read(document: Document) -> Iterator[Sample]:
        for limiter, record in entries(document, "store", "threads"):
            yield from numbers((f"store-{limiter}", ""), record, key)
        for directory, record in entries(document, "disks"):
            yield from numbers(("disk", directory), record, f"threads_{key}")

    return read


def store(key: str) -> Reader:
    """A figure of each kind of request to the store."""

    def read(document: Document) -> Iterator[Sample]:
        for labels, record in _operations(document):
            yield from numbers(labels, record, key)

    return read


def store_errors(document: Document) -> Iterator[Sample]:
    """Failed requests by operation and kind."""
    for labels, record in _operations(document):
        for kind in part(record, "errors_by_kind"):
            yield from numbers((*labels, kind), part(record, "errors_by_kind"), kind)


def store_histogram(counts: str, seconds: str, document: Document) -> Iterator[Sample]:
    """A histogram of each kind of request to the store."""
    for labels, record in _operations(document):
        yield from histogram(labels, record, counts, seconds)


def received(document: Document) -> Iterator[Sample]:
    """Bytes of bodies."""
    store = part(document, "store")
    yield from numbers((str(store.get("backend", "")),), store, "received_bytes")


def cost(document: Document) -> Iterator[Sample]:
    """The estimate, by what is paid for."""
    for kind in ("requests", "egress"):
        yield from numbers((kind,), part(document, "cost"), f"{kind}_usd")


def catalog(document: Document) -> Iterator[Sample]:
    """Looks into the catalog of names."""
    for key, outcome in (("hits", "hit"), ("misses", "miss")):
        yield from numbers((outcome,), part(document, "catalog"), key)
