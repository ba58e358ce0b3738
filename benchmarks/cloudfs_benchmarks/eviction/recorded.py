"""Traces recorded from a mount.

A file of JSON lines, one per visit, in order, without times:

    {"key": "train/run_7/surface.vtu", "extent": 3, "size_bytes": 67108864, "group": 17}

`key` is the object's key and `extent` the number of the extent in it; `size_bytes` is the size of
that extent. `group` (0 to 255) may be missing: then it is the first directory of the key. A line
is written when a visit begins, so reads that belong to one visit make one line.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.eviction.cache import Trace, Visit

CACHE_SHARES = (0.125, 0.25, 0.5, 0.75)
"""Caches to try, as shares of the bytes that the trace touches."""


class TraceFormatError(Exception):
    """A line is not what the format says."""


def read_visits(lines: Iterable[str]) -> list[Visit]:
    """Parse a recorded trace; raises TraceFormatError with the number of the line."""
    numbers: dict[tuple[str, int], int] = {}
    visits = []
    for line_number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            visits.append(_parse(json.loads(line), numbers))
        except (KeyError, TypeError, ValueError) as error:
            raise TraceFormatError(f"line {line_number}: {error!r}") from error
    return visits


def load_traces(path: Path) -> list[Trace]:
    """Return the recorded visits with caches of several sizes."""
    with path.open(encoding="utf-8") as lines:
        visits = read_visits(lines)
    sizes = {visit.key: visit.size_bytes for visit in visits}
    touched = sum(sizes.values())
    return [
        Trace(f"{path.name}, {1 / share:.3g}x", int(touched * share), visits, frozenset({0}))
        for share in CACHE_SHARES
    ]


def _parse(entry: dict[str, Any], numbers: dict[tuple[str, int], int]) -> Visit:
    key, extent, size_bytes = str(entry["key"]), int(entry["extent"]), int(entry["size_bytes"])
    if extent < 0 or size_bytes <= 0:
        raise ValueError("extent or size_bytes out of range")
    group = int(entry.get("group", zlib.crc32(key.partition("/")[0].encode()) & 0xFF))
    return Visit(numbers.setdefault((key, extent), len(numbers)), size_bytes, group, 0)
