"""The checks of the store's speed: latency and bandwidth.

The data is discarded. Bytes and time are bounded, because both cost.
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

from cloudfs.doctor.checks.disk import format_rate
from cloudfs.doctor.checks.read import NO_SAMPLE, first_byte_s
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, skipped, warning
from cloudfs.doctor.probes import disks
from cloudfs.units import MIB, format_count, format_duration, format_size
from cloudfs_backends.api import ObjectInfo, ReadBuffer
from cloudfs_backends.url import FILE

SAMPLES: Final = 7
LATENCY_WARNED_S: Final = 0.1
"""More than to a nearby continent: a bucket in the region answers in a third of that."""

ONE_BYTES_MAX: Final = 32 * MIB
ALL_BYTES_MAX: Final = 256 * MIB
ONE_S_MAX: Final = 1.0
MANY_S_MAX: Final = 2.0
BYTES_MIN: Final = 8 * MIB
"""With less to read, the latency of the first bytes dominates."""

_RANGE_BYTES: Final = 8 * MIB
_LINK_SHARE_MIN: Final = 0.3
_EXAMPLE_BYTES: Final = 1e12
_LOOPBACK: Final = frozenset({"localhost", "::1"})


async def latency(context: Context) -> Finding:
    """Time HEADs and small GETs of an object."""
    sample = context.sample
    if sample is None:
        return skipped(NO_SAMPLE)
    heads, gets = [], []
    for _ in range(SAMPLES):
        started = time.perf_counter()
        await context.store.head(sample.key)
        heads.append(time.perf_counter() - started)
        gets.append(await first_byte_s(context, sample, sample.etag))
    head, get = statistics.median(heads), statistics.median(gets)
    text = (
        f"HEAD {format_duration(head)}, first byte of a GET {format_duration(get)}"
        f" (medians of {SAMPLES}, slowest {format_duration(max(*heads, *gets))})"
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
    """The budget of time or of bytes is used up."""


@dataclass(slots=True)
class _ReadBudget:
    """Bytes that may still be read within `timeout_s`, and those that were.

    Sinks are called in several threads: a sum may miss a chunk, which is negligible.
    """

    left_bytes: int
    timeout_s: float
    read_bytes: int = 0
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def take(self, data: ReadBuffer) -> None:
        """Count the bytes; raise `_EnoughError` when the budget is used up."""
        self.read_bytes += len(data)
        self.left_bytes -= len(data)
        self.seconds = time.perf_counter() - self.started
        if self.left_bytes <= 0 or self.seconds > self.timeout_s:
            raise _EnoughError

    @property
    def bytes_per_s(self) -> float:
        """The rate up to the last byte."""
        return self.read_bytes / max(self.seconds, 1e-6)


async def bandwidth(context: Context) -> Finding:
    """Read with one connection, then with as many as a mount would use."""
    if context.quick:
        return skipped("not measured, because of --quick")
    objects = sorted((found for found in context.objects if found.size), key=lambda o: -o.size)
    if sum(found.size for found in objects) < BYTES_MIN:
        return skipped(f"not measured: the objects have less than {format_size(BYTES_MIN)}")
    one = _ReadBudget(ONE_BYTES_MAX, ONE_S_MAX)
    await _read(context, objects, one, 1)
    many = _ReadBudget(ALL_BYTES_MAX - ONE_BYTES_MAX, MANY_S_MAX)
    connections = await _read(context, objects, many, context.settings.max_downloads)
    return _judge(context, one, many, connections)


async def _read(
    context: Context, objects: Sequence[ObjectInfo], budget: _ReadBudget, connections: int
) -> int:
    """Read until the budget is used up; return the number of connections."""
    ranges = _ranges(objects)
    # A connection is wasted on less than a MiB.
    connections = min(connections, max(1, sum(found.size for found in objects) // MIB))

    async def connection() -> None:
        for found, start, stop in ranges:
            try:
                await context.store.get_range(
                    found.key, start, stop, etag=found.etag, sink=budget.take
                )
            except _EnoughError:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(connection)
    return connections


def _ranges(objects: Sequence[ObjectInfo]) -> Iterator[tuple[ObjectInfo, int, int]]:
    """Yield the ranges of the objects in their order, endlessly."""
    for found in itertools.cycle(objects):
        for start in range(0, found.size, _RANGE_BYTES):
            yield found, start, min(start + _RANGE_BYTES, found.size)


def _judge(context: Context, one: _ReadBudget, many: _ReadBudget, connections: int) -> Finding:
    rate = max(one.bytes_per_s, many.bytes_per_s)
    read = one.read_bytes + many.read_bytes
    text = (
        f"{format_rate(many.bytes_per_s)} with {format_count(connections, 'connection')},"
        f" {format_rate(one.bytes_per_s)} with one: {_epoch(context, rate)}"
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
        problem = f"{text}; the network could carry {format_rate(link)}"
        return warning(problem, fix, **facts)
    disk = context.disk_read_bytes_per_s
    if disk is not None and disk < rate:
        fix = "give a directory on a faster disk with --cache-dir, or several, one on each disk"
        problem = f"{text}; the cache disk reads only {format_rate(disk)}"
        return warning(problem, fix, **facts)
    return ok(text, **facts)


def _epoch(context: Context, bytes_per_s: float) -> str:
    """Return the time for one epoch of everything listed, or for a terabyte."""
    everything = context.listed_bytes
    if everything is None:
        return f"1 TB takes {format_duration(_EXAMPLE_BYTES / bytes_per_s)}"
    shown = format_size(everything)
    return f"all {shown} take {format_duration(everything / bytes_per_s)}"


def _is_local(context: Context) -> bool:
    """Whether the store is on this machine, where no network limits it."""
    host = urlsplit(context.store.endpoint or "").hostname or ""
    return context.scheme == FILE or host in _LOOPBACK or host.startswith("127.")
