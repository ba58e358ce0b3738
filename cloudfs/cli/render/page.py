"""The status page of one mount: source, health, figures, waits, jobs and errors."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from cloudfs.cli.render import figures
from cloudfs.cli.render.figures import Paint, latency, percentile, rate, share, size
from cloudfs.errors import escaped, printable
from cloudfs.status.document import (
    AnyDocument,
    CatalogState,
    DiskStatus,
    StatusDocument,
    StoreOperation,
    UnansweredMount,
)
from cloudfs.units import format_count, format_duration
from cloudfs_cache.api import WaitsFor

WIDTH: Final = 100

_LABEL_WIDTH: Final = 12
_NAME_WIDTH: Final = 60
_WAITING_SHOWN: Final = 5
_ERRORS_SHOWN: Final = 3
_JOBS_SHOWN: Final = 3
_PERCENTILES: Final = (0.5, 0.95, 0.99)

_Lines: TypeAlias = Iterator[str]


def lines(
    document: AnyDocument,
    paint: Paint = figures.plain,
    width: int = WIDTH,
    first: Sequence[str] = (),
) -> list[str]:
    """Return the page, with the parts labelled `first` before the others.

    No line is longer than `width`, but for a path or an address that is.
    """
    what = printable(f"{document.mountpoint}  {document.url}")
    page = [f"{paint(what, 'title')}  {paint(document.health, document.health)}"]
    for label, part in _parts(document, first):
        for number, line in enumerate(_wrapped(part, width - _LABEL_WIDTH - 1)):
            head = label.ljust(_LABEL_WIDTH) if number == 0 else " " * _LABEL_WIDTH
            page.append(f"{paint(head, 'label')} {line}")
    return page


def _parts(document: AnyDocument, first: Sequence[str]) -> Iterator[tuple[str, _Lines]]:
    if isinstance(document, UnansweredMount):
        yield "health", iter([f"reason: {document.reason}", f"fix: {document.fix}"])
        return
    for label, part in ({name: _PARTS[name] for name in first} | _PARTS).items():
        yield label, part(document)


def _wrapped(found: _Lines, room: int) -> _Lines:
    """Break lines that are too long."""
    for line in found:
        text = escaped(line)
        if len(text) <= room:
            yield text
            continue
        yield from textwrap.wrap(
            text, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )


def _mounted(document: StatusDocument) -> _Lines:
    since = figures.clock(document.time - document.uptime_s)
    process = f"process {document.pid}, cloudfs {document.version}"
    yield f"for {format_duration(round(document.uptime_s))}, since {since}; {process}"


def _health(document: StatusDocument) -> _Lines:
    yield from document.health_reasons
    if document.catalog.state not in {CatalogState.OK, CatalogState.OFF}:
        yield f"the metadata cache on the SSD is {document.catalog.state}: the store is asked"
    if document.hidden_names:
        yield f"{format_count(document.hidden_names, 'key')} that no path can name: hidden"


def _now(document: StatusDocument) -> _Lines:
    now = document.now
    read = f"{rate(now.read_bytes_per_s)} read{_hits(now.hit_ratio)}"
    yield f"{read}; {rate(now.received_bytes_per_s)} received"
    yield (
        f"{now.fuse_requests_per_s:,.0f} FUSE requests/s,"
        f" {now.store_requests_per_s:,.1f} store requests/s"
    )


def _sources(document: StatusDocument) -> _Lines:
    sources = document.sources
    named = (
        ("memory", sources.memory_bytes),
        ("SSD", sources.disk_bytes),
        ("store", sources.store_bytes),
    )
    total = sources.total
    yield from figures.columns(
        (name, size(part), share(figures.ratio(part, total)), figures.bar(part, total))
        for name, part in named
    )
    yield f"{size(total)} since the mount began{_hits(document.hit_ratio)}"


def _hits(ratio: float | None) -> str:
    return "" if ratio is None else f", {share(ratio)} cache hits"


def _memory(document: StatusDocument) -> _Lines:
    yield _fill(document.memory.used_bytes, document.memory.capacity_bytes)


def _fill(used: int, capacity: int) -> str:
    return f"{figures.bar(used, capacity)} {size(used)} of {size(capacity)}"


def _disks(document: StatusDocument) -> _Lines:
    if not document.disks:
        yield "none: nothing is cached across mounts"
    for directory, disk in document.disks.items():
        why = f" ({disk.reason})" if disk.reason else ""
        yield f"{directory}: {disk.state}{why}"
        if disk.is_used:
            yield "  " + ", ".join(_disk_figures(disk))
    waiting = document.populate.waiting_bytes
    yield f"{size(waiting)} waiting to be written to the SSD; read-only: no writes to the bucket"


def _disk_figures(disk: DiskStatus) -> _Lines:
    yield _fill(disk.used_bytes, disk.capacity_bytes)
    yield f"{size(disk.free_bytes)} free"
    counts = {
        "evictions": disk.evictions,
        "errors": disk.errors,
        "stalls": disk.stalls,
        "corrupt": disk.corrupt,
    }
    yield from (f"{count:,} {name}" for name, count in counts.items() if count)


def _store(document: StatusDocument) -> _Lines:
    store = document.store
    operations = {name: of for name, of in store.operations.items() if of.requests}
    if operations:
        yield from figures.columns(_store_rows(document, operations))
    kinds = sum((Counter(of.errors_by_kind) for of in operations.values()), Counter[str]())
    failed = f"; failed: {figures.counts(kinds)}" if kinds else ""
    yield f"{size(store.received_bytes)} received{failed}"


def _store_rows(
    document: StatusDocument, operations: Mapping[str, StoreOperation]
) -> Iterator[Sequence[str]]:
    yield (document.store.backend, "requests", "errors", "retries", "p50", "p95", "p99")
    for name, of in operations.items():
        figure = [f"{count:,}" for count in (of.requests, of.errors, of.retries)]
        yield (name, *figure, *_percentiles(document, of.durations))
        if any(of.first_byte):
            yield ("  first byte", "", "", "", *_percentiles(document, of.first_byte))


def _percentiles(document: StatusDocument, counts: Sequence[int]) -> list[str]:
    bounds = document.histogram_bounds_s
    found = (percentile(counts, bounds, part) for part in _PERCENTILES)
    # Interpolated: more digits would only look exact.
    return [latency(None if value is None else float(f"{value:.2g}")) for value in found]


def _cost(document: StatusDocument) -> _Lines:
    cost = document.cost
    if cost.unknown:
        yield f"unknown: {cost.unknown}"
        return
    yield (
        f"about ${cost.total_usd or 0:.2f}: requests ${cost.requests_usd or 0:.4f},"
        f" egress ${cost.egress_usd or 0:.2f}"
    )
    yield f"list prices of {cost.prices_of}, {cost.basis}"


def _requests(document: StatusDocument) -> _Lines:
    operations = document.fuse.operations
    total = sum(of.requests for of in operations.values())
    errors = sum(of.errors for of in operations.values())
    errnos = sum((Counter(of.errnos) for of in operations.values()), Counter[str]())
    failed = f", {format_count(errors, 'error')} ({_errnos(errnos)})" if errors else ""
    yield f"{format_count(total, 'FUSE request')}, {document.fuse.inflight} in flight{failed}"
    read = operations.get("read")
    if read is not None and read.requests:
        p50, p95, p99 = _percentiles(document, read.durations)
        yield f"{format_count(read.requests, 'read')}: p50 {p50}, p95 {p95}, p99 {p99}"


def _errnos(counts: Mapping[str, int]) -> str:
    """Return the name of the only errno, or all with their counts."""
    return next(iter(counts)) if len(counts) == 1 else figures.counts(counts)


def _read_ahead(document: StatusDocument) -> _Lines:
    prefetch = document.prefetch
    if not prefetch.issued_bytes:
        return
    used = share(figures.ratio(prefetch.used_bytes, prefetch.issued_bytes))
    wasted = share(figures.ratio(prefetch.wasted_bytes, prefetch.issued_bytes))
    queued = format_count(prefetch.queued, "block")
    yield f"{size(prefetch.issued_bytes)} prefetched: {used} read, {wasted} wasted; {queued} queued"


def _waiting(document: StatusDocument) -> _Lines:
    total = document.waiting_count
    yield f"{format_count(total, 'request')}" if total else "none"
    for wait in document.waiting[:_WAITING_SHOWN]:
        name = figures.shortened(wait.name, _NAME_WIDTH)
        yield f"{wait.operation} {name}: {latency(wait.waited_s)} for {_FOR[wait.waits_for]}"


_FOR: Final = {
    WaitsFor.STORE: "the store",
    WaitsFor.DISK: "the SSD",
    WaitsFor.MEMORY: "free memory (--memory-limit)",
    WaitsFor.OTHER: "something else",
}


def _jobs(document: StatusDocument) -> _Lines:
    for job in document.jobs[:_JOBS_SHOWN]:
        text = "" if job.bytes_done is None else f": {size(job.bytes_done)}"
        text += f" of {size(job.bytes_total)}" if job.bytes_total else ""
        yield f"{job.kind} {job.job}{text}, for {format_duration(job.elapsed_s)}"


def _errors(document: StatusDocument) -> _Lines:
    for error in reversed(document.last_errors[-_ERRORS_SHOWN:]):
        times = f", {error.count:,} times" if error.count > 1 else ""
        name = figures.shortened(error.name, _NAME_WIDTH)
        about = f"{error.operation} {name}".strip()
        yield f"{figures.clock(error.time)} {about}: {error.errno}{times}: {error.cause}"
        yield f"  fix: {error.advice}"


def _metrics(document: StatusDocument) -> _Lines:
    if document.metrics_address:
        yield document.metrics_address


def _log(document: StatusDocument) -> _Lines:
    if log_file := document.options.get("log_file"):
        yield str(log_file)


_PARTS: Final[dict[str, Callable[[StatusDocument], _Lines]]] = {
    "mounted": _mounted,
    "health": _health,
    "now": _now,
    "read from": _sources,
    "memory": _memory,
    "SSD": _disks,
    "store": _store,
    "cost": _cost,
    "requests": _requests,
    "read-ahead": _read_ahead,
    "waiting": _waiting,
    "jobs": _jobs,
    "last errors": _errors,
    "metrics": _metrics,
    "log": _log,
}
