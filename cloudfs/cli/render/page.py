"""A status document as a page for people: what is mounted, how it does, and what is wrong.

It shows whatever document it gets: a part that an older daemon does not have is left out, as is one
that says nothing. It does not know how the document came here.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from cloudfs.cli.render import figures
from cloudfs.cli.render.figures import Paint, latency, percentile, rate, share, size
from cloudfs.errors import printable
from cloudfs.units import format_count, format_duration

SCHEMA: Final = 3
"""The documents that this page is made for."""

WIDTH: Final = 100

_LABEL_WIDTH: Final = 12
_NAME_WIDTH: Final = 60
_WAITING_SHOWN: Final = 5
_ERRORS_SHOWN: Final = 3
_JOBS_SHOWN: Final = 3
_PERCENTILES: Final = (0.5, 0.95, 0.99)

Document: TypeAlias = Mapping[str, Any]
_Lines: TypeAlias = Iterator[str]


def lines(
    document: Document,
    paint: Paint = figures.plain,
    width: int = WIDTH,
    first: Sequence[str] = (),
) -> list[str]:
    """Return the page, with the parts labelled `first` before the others.

    No line is longer than `width`, but for a path or an address that is.
    """
    page = list(_title(document, paint))
    for label, part in ({name: _PARTS[name] for name in first} | _PARTS).items():
        for number, line in enumerate(_wrapped(part(document), width - _LABEL_WIDTH - 1)):
            head = label.ljust(_LABEL_WIDTH) if number == 0 else " " * _LABEL_WIDTH
            page.append(f"{paint(head, 'label')} {line}")
    return page


def health_of(document: Document) -> str:
    """Return the health as a role of `Paint`, too: what is neither ok nor degraded is a problem."""
    return printable(str(document.get("health", "unknown")))


def _title(document: Document, paint: Paint) -> _Lines:
    health = health_of(document)
    what = printable(f"{document.get('mountpoint')}  {document.get('url')}")
    yield f"{paint(what, 'title')}  {paint(health, health)}"


def _wrapped(found: _Lines, room: int) -> _Lines:
    """Break lines that are too long."""
    for line in found:
        text = _on_one_line(line)
        if len(text) <= room:
            yield text
            continue
        yield from textwrap.wrap(
            text, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )


def _on_one_line(line: str) -> str:
    """Return a line without control characters, its blanks kept."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _since(document: Document) -> _Lines:
    if document.get("schema") != SCHEMA:
        yield (
            f"schema {document.get('schema')}, and this command is made for {SCHEMA}:"
            " mount again with one version"
        )
    uptime_s = document.get("uptime_s")
    if uptime_s is None:
        return
    began = figures.clock(document.get("time", time.time()) - uptime_s)
    process = f"process {document.get('pid', '-')}, cloudfs {document.get('version', '-')}"
    yield f"for {format_duration(round(uptime_s))}, since {began}; {process}"


def _health(document: Document) -> _Lines:
    yield from document.get("health_reasons", [])
    for key in ("reason", "fix"):
        if document.get(key):
            yield f"{key}: {document[key]}"
    catalog = document.get("catalog", {})
    if catalog.get("state", "ok") not in {"ok", "off"}:
        yield f"the catalog of names is {catalog['state']}: names are asked of the store"
    if hidden := document.get("hidden_names"):
        yield f"{format_count(hidden, 'key')} that no path can name: hidden"


def _now(document: Document) -> _Lines:
    now = document.get("now")
    if now is None:
        return
    read = f"{rate(now['read_bytes_per_s'])} read{_hits(now['hit_ratio'])}"
    yield f"{read}; {rate(now['received_bytes_per_s'])} received"
    yield (
        f"{now['fuse_requests_per_s']:,.0f} requests a second of programs,"
        f" {now['store_requests_per_s']:,.1f} to the store"
    )


def _sources(document: Document) -> _Lines:
    found = document.get("sources")
    if found is None:
        return
    total = sum(found.values())
    named = (("memory", "memory_bytes"), ("SSD", "disk_bytes"), ("store", "store_bytes"))
    rows = []
    for name, key in named:
        part = found.get(key, 0)
        of_all = share(figures.ratio(part, total))
        rows.append((name, size(part), of_all, figures.bar(part, total)))
    yield from figures.columns(rows)
    yield f"{size(total)} since the mount began{_hits(document.get('hit_ratio'))}"


def _hits(ratio: float | None) -> str:
    return "" if ratio is None else f", {share(ratio)} of it without the store"


def _memory(document: Document) -> _Lines:
    memory = document.get("memory")
    if memory is not None:
        yield _fill(memory)


def _fill(tier: Document) -> str:
    used, capacity = tier.get("used_bytes", 0), tier.get("capacity_bytes", 0)
    return f"{figures.bar(used, capacity)} {size(used)} of {size(capacity)}"


def _disks(document: Document) -> _Lines:
    disks = document.get("disks")
    if disks is None:
        return
    if not disks:
        yield "none: nothing is kept across mounts"
    for directory, disk in disks.items():
        why = f" ({disk['reason']})" if disk.get("reason") else ""
        yield f"{directory}: {disk.get('state')}{why}"
        if "used_bytes" in disk:
            yield "  " + ", ".join((_fill(disk), *_disk_figures(disk)))
    waiting = document.get("populate", {}).get("waiting_bytes", 0)
    yield f"{size(waiting)} not yet on the SSD; to the bucket nothing is written: read-only"


def _disk_figures(disk: Document) -> _Lines:
    yield f"{size(disk.get('free_bytes', 0))} free"
    for key in ("evictions", "errors", "stalls", "corrupt"):
        if disk.get(key):
            yield f"{disk[key]:,} {key}"


def _store(document: Document) -> _Lines:
    store = document.get("store", {})
    operations = {
        name: operation
        for name, operation in store.get("operations", {}).items()
        if operation["requests"]
    }
    if operations:
        yield from figures.columns(_store_rows(document, operations))
    kinds: dict[str, int] = {}
    for operation in operations.values():
        for kind, count in operation.get("errors_by_kind", {}).items():
            kinds[kind] = kinds.get(kind, 0) + count
    if store:
        failed = f"; failed: {figures.counts(kinds)}" if kinds else ""
        yield f"{size(store.get('received_bytes', 0))} received{failed}"


def _store_rows(document: Document, operations: Document) -> Iterator[Sequence[str]]:
    backend = document["store"].get("backend", "")
    yield (backend, "requests", "errors", "retries", "p50", "p95", "p99")
    for name, operation in operations.items():
        figure = [f"{operation[key]:,}" for key in ("requests", "errors", "retries")]
        yield (name, *figure, *_percentiles(document, operation.get("durations", ())))
        if any(operation.get("first_byte", ())):
            first = _percentiles(document, operation["first_byte"])
            yield ("  first byte", "", "", "", *first)


def _percentiles(document: Document, counts: Sequence[int]) -> list[str]:
    bounds = document.get("histogram_bounds_s", ())
    found = (percentile(counts, bounds, part) for part in _PERCENTILES)
    # Interpolated: more digits would only look exact.
    return [latency(None if value is None else float(f"{value:.2g}")) for value in found]


def _cost(document: Document) -> _Lines:
    cost = document.get("cost")
    if cost is None:
        return
    if "unknown" in cost:
        yield f"not known: {cost['unknown']}"
        return
    yield (
        f"about ${cost['total_usd']:.2f}: requests ${cost['requests_usd']:.4f},"
        f" egress ${cost['egress_usd']:.2f}"
    )
    yield f"list prices of {cost['prices_of']}, {cost['basis']}"


def _requests(document: Document) -> _Lines:
    fuse = document.get("fuse")
    if fuse is None:
        return
    operations = fuse.get("operations", {})
    errnos: dict[str, int] = {}
    for operation in operations.values():
        for name, count in operation.get("errnos", {}).items():
            errnos[name] = errnos.get(name, 0) + count
    total = sum(operation["requests"] for operation in operations.values())
    failed = f", answered with an error: {figures.counts(errnos)}" if errnos else ""
    yield f"{total:,} of programs, {fuse.get('inflight', 0)} under way{failed}"
    read = operations.get("read", {})
    if read.get("requests") and "durations" in read:
        p50, p95, p99 = _percentiles(document, read["durations"])
        yield f"{read['requests']:,} reads: p50 {p50}, p95 {p95}, p99 {p99}"


def _read_ahead(document: Document) -> _Lines:
    found = document.get("prefetch")
    if not found or not found.get("issued_bytes"):
        return
    issued = found["issued_bytes"]
    used = share(figures.ratio(found["used_bytes"], issued))
    wasted = share(figures.ratio(found["wasted_bytes"], issued))
    queued = format_count(found["queued"], "block")
    yield f"{size(issued)} fetched ahead: {used} read, {wasted} dropped unread; {queued} queued"


def _waiting(document: Document) -> _Lines:
    waiting = document.get("waiting")
    if waiting is None:
        return
    total = document.get("waiting_count", len(waiting))
    yield f"{format_count(total, 'request')}" if total else "nobody"
    for wait in waiting[:_WAITING_SHOWN]:
        name = figures.shortened(wait["name"], _NAME_WIDTH)
        yield f"{wait['operation']} {name}: {latency(wait['waited_s'])} for {_FOR[wait['for']]}"


_FOR: Final = {
    "store": "the store",
    "disk": "the SSD",
    "memory": "free memory (--memory-limit)",
    "other": "something else",
}


def _jobs(document: Document) -> _Lines:
    for job in document.get("jobs", [])[:_JOBS_SHOWN]:
        done, total = job.get("bytes_done"), job.get("bytes_total")
        text = "" if done is None else f": {size(done)}"
        text += f" of {size(total)}" if total else ""
        yield f"{job['kind']} {job['job']}{text}, for {format_duration(job['elapsed_s'])}"


def _errors(document: Document) -> _Lines:
    # The daemon of an earlier schema has texts there.
    records = [r for r in document.get("last_errors", []) if isinstance(r, Mapping)]
    for record in reversed(records[-_ERRORS_SHOWN:]):
        times = f", {record['count']:,} times" if record["count"] > 1 else ""
        name = figures.shortened(record["name"], _NAME_WIDTH)
        about = f"{record['operation']} {name}".strip()
        when = figures.clock(record["time"])
        yield f"{when} {about}: {record['errno']}{times}: {record['cause']}"
        yield f"  fix: {record['advice']}"


def _metrics(document: Document) -> _Lines:
    if document.get("metrics_address"):
        yield document["metrics_address"]


def _log(document: Document) -> _Lines:
    if log_file := document.get("options", {}).get("log_file"):
        yield log_file


_PARTS: Final = {
    "mounted": _since,
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
