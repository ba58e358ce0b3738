"""A watched mount for programs and files: a JSON document, or a row of figures, at each interval.

Every line is flushed, so a pipe has it at once. Ctrl-C is how it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import click

from cloudfs.cli.query import ANSWER_S_MAX
from cloudfs.cli.render import figures, json_text
from cloudfs.cli.render.page import Document, health_of
from cloudfs.cli.watch.poll import Look, Watched
from cloudfs.errors import printable

_ANSWER_S_MIN: Final = 1.0
_HEAD_EVERY: Final = 20

_GROUPS: Final = (
    ("", ("time    ",)),
    ("usage", ("memory", "   ssd")),
    ("programs", ("ops/s", "  lat", "read/s", "err")),
    ("cache", (" hit%",)),
    ("store", ("get/s", "  lat", "recv/s", "err")),
    ("", ("wait",)),
)
_COLUMNS: Final = tuple(column for _, group in _GROUPS for column in group)
_BETWEEN: Final = " "


def documents(watched: Watched, every_s: float) -> None:
    """Print what is known of the mount, one JSON document a line, until interrupted."""
    with suppress(KeyboardInterrupt):
        for look in _looks(watched, every_s):
            click.echo(json_text.text(look.latest, indent=None))


def rows(watched: Watched, every_s: float) -> None:
    """Print a row of what happened in each interval, until interrupted."""
    earlier: Document | None = None
    printed = 0
    with suppress(KeyboardInterrupt):
        for look in _looks(watched, every_s):
            if look.absent is not None:
                click.echo(printable(f"{_clock()} {health_of(look.absent)}: {look.absent['fix']}"))
                continue
            assert look.document is not None
            if earlier is not None and _is_same_daemon(earlier, look.document):
                if printed % _HEAD_EVERY == 0:
                    click.echo("\n".join(head()))
                click.echo(row(earlier, look.document))
                printed += 1
            earlier = look.document


def head() -> Iterator[str]:
    """Yield the two lines above the rows."""
    yield _BETWEEN.join(
        f" {name} ".center(len(_BETWEEN.join(group)), "-" if name else " ")
        for name, group in _GROUPS
    ).rstrip()
    yield _BETWEEN.join(_COLUMNS)


def per_s_between(earlier: Document | None, document: Document) -> tuple[float, float]:
    """Return bytes read and received per second since an earlier document; without one, of now."""
    if earlier is None or not _is_same_daemon(earlier, document):
        now = document.get("now", {})
        return now.get("read_bytes_per_s", 0.0), now.get("received_bytes_per_s", 0.0)
    before, after = _Counted.of(earlier), _Counted.of(document)
    passed_s = after.uptime_s - before.uptime_s
    read_bytes = after.read_bytes - before.read_bytes
    received_bytes = after.received_bytes - before.received_bytes
    return _per_s(read_bytes, passed_s), _per_s(received_bytes, passed_s)


def row(earlier: Document, document: Document) -> str:
    """Return what happened between two documents of one daemon, in the columns of `head`."""
    before, now = _Counted.of(earlier), _Counted.of(document)
    passed_s = now.uptime_s - before.uptime_s
    read_bytes, store_bytes = now.read_bytes - before.read_bytes, now.store - before.store
    hits = figures.share(1 - store_bytes / read_bytes) if read_bytes else "-"
    cells = (
        _clock(),
        _size(now.memory_bytes),
        _size(now.ssd_bytes),
        f"{_per_s(now.requests - before.requests, passed_s):.0f}",
        _mean(now.read_s - before.read_s, now.reads - before.reads),
        _size(_per_s(read_bytes, passed_s)),
        str(now.errors - before.errors),
        hits.rstrip("%"),
        f"{_per_s(now.gets - before.gets, passed_s):.1f}",
        _mean(now.get_s - before.get_s, now.gets - before.gets),
        _size(_per_s(now.received_bytes - before.received_bytes, passed_s)),
        str(now.store_errors - before.store_errors),
        str(document.get("waiting_count", "-")),
    )
    widths = map(len, _COLUMNS)
    return _BETWEEN.join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _looks(watched: Watched, every_s: float) -> Iterator[Look]:
    """Yield a look at once and at every interval; one that came late shifts those after it."""
    timeout_s = min(max(every_s, _ANSWER_S_MIN), ANSWER_S_MAX)
    due = time.monotonic()
    while True:
        yield watched.look(timeout_s)
        due = max(due + every_s, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _is_same_daemon(earlier: Document, document: Document) -> bool:
    is_later = document["uptime_s"] > earlier["uptime_s"]
    return bool(is_later and earlier.get("pid") == document.get("pid"))


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _size(size_bytes: float) -> str:
    """Return bytes in at most five characters."""
    number, unit = figures.size(size_bytes).split(" ")
    return f"{_three_digits(float(number))}{unit.removesuffix('iB')}"


def _latency(seconds: float) -> str:
    """Return a duration in at most five characters, up to a thousand seconds."""
    for unit, per_s in (("us", 1e6), ("ms", 1e3)):
        if seconds * per_s < 999.5:
            return f"{seconds * per_s:.0f}{unit}"
    return f"{_three_digits(seconds)}s"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 99.95 else f"{number:.3g}"


def _per_s(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _mean(seconds: float, count: float) -> str:
    if not count:
        return "-"
    return _latency(seconds / count)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The counters of a document that rows are made of."""

    uptime_s: float
    memory_bytes: int
    ssd_bytes: int
    requests: int
    errors: int
    reads: int
    read_s: float
    read_bytes: int
    store: int
    gets: int
    get_s: float
    received_bytes: int
    store_errors: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> _Counted:
        """Take them from a document of any schema; what is not there counts nothing."""
        sources, store = document.get("sources", {}), document.get("store", {})
        operations = document.get("fuse", {}).get("operations", {})
        read = operations.get("read", {})
        get = store.get("operations", {}).get("get", {})
        disks = document.get("disks", {}).values()
        return cls(
            uptime_s=document["uptime_s"],
            memory_bytes=document.get("memory", {}).get("used_bytes", 0),
            ssd_bytes=sum(disk.get("used_bytes", 0) for disk in disks),
            requests=sum(operation["requests"] for operation in operations.values()),
            errors=sum(operation["errors"] for operation in operations.values()),
            reads=read.get("requests", 0),
            read_s=read.get("seconds", 0.0),
            read_bytes=sum(sources.values()),
            store=sources.get("store_bytes", 0),
            gets=get.get("requests", 0),
            get_s=get.get("seconds", 0.0),
            received_bytes=store.get("received_bytes", 0),
            store_errors=store.get("errors", 0),
        )
