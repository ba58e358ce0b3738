"""A stream of status: a JSON document, or a row of figures, at each interval.

Every line is flushed, so a pipe has it at once. Ctrl-C ends it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import click

from cloudfs.cli.query import ANSWER_S_MAX
from cloudfs.cli.render import figures, json_text
from cloudfs.cli.watch.poll import Poll, PolledMount
from cloudfs.errors import printable
from cloudfs.status.document import StatusDocument

_ANSWER_S_MIN: Final = 1.0
_HEAD_EVERY: Final = 20

_GROUPS: Final = (
    ("", ("time    ",)),
    ("usage", ("memory", "   ssd")),
    ("FUSE", ("ops/s", "  lat", "read/s", "err")),
    ("cache", (" hit%",)),
    ("store", ("get/s", "  lat", "recv/s", "err")),
    ("", ("wait",)),
)
_COLUMNS: Final = tuple(column for _, group in _GROUPS for column in group)
_BETWEEN: Final = " "


def documents(mount: PolledMount, every_s: float) -> None:
    """Print the latest document of each poll as one line of JSON, until interrupted."""
    with suppress(KeyboardInterrupt):
        for poll in _polls(mount, every_s):
            click.echo(json_text.text(poll.latest, indent=None))


def rows(mount: PolledMount, every_s: float) -> None:
    """Print a row of what happened in each interval, until interrupted."""
    earlier: StatusDocument | None = None
    printed = 0
    with suppress(KeyboardInterrupt):
        for poll in _polls(mount, every_s):
            if poll.absent is not None:
                click.echo(printable(f"{_clock()} {poll.absent.health}: {poll.absent.fix}"))
                continue
            assert poll.document is not None
            if earlier is not None and _is_same_daemon(earlier, poll.document):
                if printed % _HEAD_EVERY == 0:
                    click.echo("\n".join(head()))
                click.echo(row(earlier, poll.document))
                printed += 1
            earlier = poll.document


def head() -> Iterator[str]:
    """Yield the two lines above the rows."""
    yield _BETWEEN.join(
        f" {name} ".center(len(_BETWEEN.join(group)), "-" if name else " ")
        for name, group in _GROUPS
    ).rstrip()
    yield _BETWEEN.join(_COLUMNS)


def per_s_between(earlier: StatusDocument | None, document: StatusDocument) -> tuple[float, float]:
    """Return bytes read and received per second since an earlier document; without one, of now."""
    if earlier is None or not _is_same_daemon(earlier, document):
        return document.now.read_bytes_per_s, document.now.received_bytes_per_s
    before, after = _Counted.of(earlier), _Counted.of(document)
    passed_s = after.uptime_s - before.uptime_s
    read_bytes = after.read_bytes - before.read_bytes
    received_bytes = after.received_bytes - before.received_bytes
    return _per_s(read_bytes, passed_s), _per_s(received_bytes, passed_s)


def row(earlier: StatusDocument, document: StatusDocument) -> str:
    """Return what happened between two documents of one daemon, in the columns of `head`."""
    before, now = _Counted.of(earlier), _Counted.of(document)
    passed_s = now.uptime_s - before.uptime_s
    read_bytes, store_bytes = (
        now.read_bytes - before.read_bytes,
        now.store_bytes - before.store_bytes,
    )
    hits = figures.share(1 - store_bytes / read_bytes) if read_bytes else "-"
    cells = (
        _clock(),
        _size(now.memory_bytes),
        _size(now.ssd_bytes),
        f"{_per_s(now.requests - before.requests, passed_s):.0f}",
        _mean(now.read_s - before.read_s, now.reads - before.reads),
        _size(_per_s(read_bytes, passed_s)),
        str(now.errors - before.errors),
        hits.rstrip(" %"),
        f"{_per_s(now.gets - before.gets, passed_s):.1f}",
        _mean(now.get_s - before.get_s, now.gets - before.gets),
        _size(_per_s(now.received_bytes - before.received_bytes, passed_s)),
        str(now.store_errors - before.store_errors),
        str(document.waiting_count),
    )
    widths = map(len, _COLUMNS)
    return _BETWEEN.join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _polls(mount: PolledMount, every_s: float) -> Iterator[Poll]:
    """Poll at once and at every interval; one that comes late shifts those after it."""
    timeout_s = min(max(every_s, _ANSWER_S_MIN), ANSWER_S_MAX)
    due = time.monotonic()
    while True:
        yield mount.poll(timeout_s)
        due = max(due + every_s, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _is_same_daemon(earlier: StatusDocument, document: StatusDocument) -> bool:
    return document.uptime_s > earlier.uptime_s and document.pid == earlier.pid


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
    store_bytes: int
    gets: int
    get_s: float
    received_bytes: int
    store_errors: int

    @classmethod
    def of(cls, document: StatusDocument) -> _Counted:
        operations = document.fuse.operations
        read, get = operations.get("read"), document.store.operations.get("get")
        return cls(
            uptime_s=document.uptime_s,
            memory_bytes=document.memory.used_bytes,
            ssd_bytes=sum(disk.used_bytes for disk in document.disks.values()),
            requests=sum(of.requests for of in operations.values()),
            errors=sum(of.errors for of in operations.values()),
            reads=read.requests if read else 0,
            read_s=read.seconds if read else 0.0,
            read_bytes=document.sources.total,
            store_bytes=document.sources.store_bytes,
            gets=get.requests if get else 0,
            get_s=get.seconds if get else 0.0,
            received_bytes=document.store.received_bytes,
            store_errors=document.store.errors,
        )
