"""How long the store takes to answer, and how many bytes a second come from it.

What is read is thrown away. The number of bytes and the time are bounded, because both cost.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import trio

from cloudfs.doctor.checks.disk import shown_rate
from cloudfs.doctor.checks.read import NO_SAMPLE, first_byte_s
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, skipped, warning
from cloudfs.doctor.probes import disks
from cloudfs.units import MIB, format_count, format_duration, format_size
from cloudfs_backends.api import ObjectInfo, ReadBuffer
from cloudfs_backends.url import FILE

ASKED: Final = 7
LATENCY_WARNED_S: Final = 0.1
"""Further away than another continent's coast: a bucket nearby answers in a third of that."""

ONE_BYTES_MAX: Final = 32 * MIB
ALL_BYTES_MAX: Final = 256 * MIB
ONE_S_MAX: Final = 1.0
MANY_S_MAX: Final = 2.0
BYTES_MIN: Final = 8 * MIB
"""With less to read, the time is that of the first bytes and not of the others."""

_PIECE_BYTES: Final = 8 * MIB
_LINK_SHARE_MIN: Final = 0.3
_EXAMPLE_BYTES: Final = 1e12
_LOOPBACK: Final = frozenset({"localhost", "::1"})


async def latency(context: Context) -> Finding:
    """Ask for the attributes and for the first bytes of an object, several times each."""
    sample = context.sample
    if sample is None:
        return skipped(NO_SAMPLE)
    heads, gets = [], []
    for _ in range(ASKED):
        started = time.perf_counter()
        await context.store.head(sample.key)
        heads.append(time.perf_counter() - started)
        gets.append(await first_byte_s(context, sample, sample.etag))
    head, get = statistics.median(heads), statistics.median(gets)
    text = (
        f"HEAD {format_duration(head)}, first byte of a GET {format_duration(get)}"
        f" (medians of {ASKED}, slowest {format_duration(max(*heads, *gets))})"
    )
    facts = {
        "head_s": round(head, 6),
        "first_byte_s": round(get, 6),
        "slowest_s": round(max(*heads, *gets), 6),
    }
    if get > LATENCY_WARNED_S and not _is_local(context):
        fix = "use a machine in the bucket's region, or a bucket in the machine's"
        return warning(f"{text}: every miss waits that long", fix, **facts)
    return ok(text, **facts)


class _EnoughError(Exception):
    """There is no time for more, or no byte left to pay for."""


@dataclass(slots=True)
class _Purse:
    """What may still be read within `limit_s`, and what was.

    Sinks are called in several threads: a sum may miss a piece, which changes nothing.
    """

    left_bytes: int
    limit_s: float
    read_bytes: int = 0
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def take(self, data: ReadBuffer) -> None:
        """Count the bytes, or end the request."""
        self.read_bytes += len(data)
        self.left_bytes -= len(data)
        self.seconds = time.perf_counter() - self.started
        if self.left_bytes <= 0 or self.seconds > self.limit_s:
            raise _EnoughError

    @property
    def bytes_per_s(self) -> float:
        """The rate until the last byte that came."""
        return self.read_bytes / max(self.seconds, 1e-6)


async def bandwidth(context: Context) -> Finding:
    """Read for a moment with one connection, then with as many as a mount would use."""
    if context.quick:
        return skipped("not measured, because of --quick")
    objects = sorted((found for found in context.objects if found.size), key=lambda o: -o.size)
    if sum(found.size for found in objects) < BYTES_MIN:
        return skipped(f"not measured: the objects have less than {format_size(BYTES_MIN)}")
    one = _Purse(ONE_BYTES_MAX, ONE_S_MAX)
    await _read(context, objects, one, 1)
    many = _Purse(ALL_BYTES_MAX - ONE_BYTES_MAX, MANY_S_MAX)
    connections = await _read(context, objects, many, context.settings.max_downloads)
    return _judged(context, one, many, connections)


async def _read(
    context: Context, objects: Sequence[ObjectInfo], purse: _Purse, connections: int
) -> int:
    """Read what the purse is for; return how many connections were of use."""
    pieces = _pieces(objects)
    # A connection is wasted on less than a piece.
    connections = min(connections, max(1, sum(found.size for found in objects) // MIB))

    async def connection() -> None:
        for found, start, stop in pieces:
            try:
                await context.store.get_range(
                    found.key, start, stop, etag=found.etag, sink=purse.take
                )
            except _EnoughError:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(connection)
    return connections


def _pieces(objects: Sequence[ObjectInfo]) -> Iterator[tuple[ObjectInfo, int, int]]:
    """Yield ranges of the objects, the largest object first, and again from the start."""
    for found in itertools.cycle(objects):
        for start in range(0, found.size, _PIECE_BYTES):
            yield found, start, min(start + _PIECE_BYTES, found.size)


def _judged(context: Context, one: _Purse, many: _Purse, connections: int) -> Finding:
    rate = max(one.bytes_per_s, many.bytes_per_s)
    read = one.read_bytes + many.read_bytes
    text = (
        f"{shown_rate(many.bytes_per_s)} with {format_count(connections, 'connection')},"
        f" {shown_rate(one.bytes_per_s)} with one: {_epoch(context, rate)}"
        f" (read {format_size(read)})"
    )
    link = None if _is_local(context) else disks.link_bytes_per_s()
    facts = {
        "connections": connections,
        "bytes_per_s": round(many.bytes_per_s),
        "one_bytes_per_s": round(one.bytes_per_s),
        "read_bytes": read,
        "link_bytes_per_s": link,
    }
    if link is not None and rate < link * _LINK_SHARE_MIN:
        fix = "raise --max-downloads; if it does not help, look at the machine's limit and region"
        problem = f"{text}; the network could carry {shown_rate(link)}"
        return warning(problem, fix, **facts)
    disk = context.disk_read_bytes_per_s
    if disk is not None and disk < rate:
        fix = "give a directory on a faster disk with --cache-dir, or several, one on each disk"
        problem = f"{text}; the cache disk reads only {shown_rate(disk)}"
        return warning(problem, fix, **facts)
    return ok(text, **facts)


def _epoch(context: Context, bytes_per_s: float) -> str:
    """Say what the rate means: the time for everything that is there, or for a terabyte."""
    everything = context.listed_bytes
    if everything is None:
        return f"1 TB takes {format_duration(_EXAMPLE_BYTES / bytes_per_s)}"
    shown = format_size(everything)
    return f"all {shown} take {format_duration(everything / bytes_per_s)}"


def _is_local(context: Context) -> bool:
    """Whether the store is on this machine, where no network limits it."""
    host = urlsplit(context.store.endpoint or "").hostname or ""
    return context.scheme == FILE or host in _LOOPBACK or host.startswith("127.")
