"""Listings and attributes as JSON values, and back. No I/O, no clock.

Rows are columns of some thousand entries each, which pack better and are decoded in short pieces.
What does not look as expected is None: the catalog is a file that anything may have written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.listing import Entry
from cloudfs_backends.api import ObjectInfo

_ROWS = 2000
_HAS_METADATA = 1
_METADATA_MTIME = 2


def from_entries(asked_at_s: float, entries: Iterable[Entry]) -> Iterator[Any]:
    """Yield the parts of a listing that was asked for at `asked_at_s` (seconds since the epoch)."""
    yield [asked_at_s]
    rest = iter(entries)
    while rows := tuple(islice(rest, _ROWS)):
        infos = [entry.info for entry in rows]
        yield [
            [names.to_part(entry.name) for entry in rows],
            [None if info is None else info.size for info in infos],
            [None if info is None else info.etag for info in infos],
            [None if info is None else info.mtime_ns for info in infos],
            [None if info is None else _flags(info) for info in infos],
        ]


def asked_at(parts: list[Any]) -> float | None:
    """When the listing or the attributes were asked for, in seconds since the epoch."""
    match parts:
        case [[float() | int() as moment, *_], *_]:
            return float(moment)
    return None


def to_entries(directory: str, parts: list[Any]) -> dict[bytes, Entry] | None:
    """Return the entries of a directory by name, in their order."""
    found: dict[bytes, Entry] = {}
    try:
        (_,), *pages = parts
        for columns in pages:
            for part, *known in zip(*columns, strict=True):
                if names.hidden_reason(part) is not None or "/" in part:
                    return None
                name = names.to_name(part)
                found[name] = Entry(name, _info(directory + part, known))
    except (TypeError, ValueError):
        return None
    return found


def from_info(asked_at_s: float, info: ObjectInfo) -> list[Any]:
    """Return the parts of one object's attributes."""
    return [[asked_at_s, info.size, info.etag, info.mtime_ns, _flags(info)]]


def to_info(key: str, parts: list[Any]) -> ObjectInfo | None:
    """Return the attributes of an object."""
    try:
        ((_, *known),) = parts
        return _info(key, known)
    except (TypeError, ValueError):
        return None


def _info(key: str, known: list[Any]) -> ObjectInfo | None:
    size, etag, mtime_ns, flags = known
    if size is None:
        return None
    if not (isinstance(etag, str) and isinstance(flags, int) and int(size) >= 0):
        raise ValueError(key)
    return ObjectInfo(
        key=key,
        size=int(size),
        etag=etag,
        mtime_ns=int(mtime_ns),
        has_metadata=bool(flags & _HAS_METADATA),
        metadata_mtime=bool(flags & _METADATA_MTIME),
    )


def _flags(info: ObjectInfo) -> int:
    return _HAS_METADATA * info.has_metadata + _METADATA_MTIME * info.metadata_mtime
