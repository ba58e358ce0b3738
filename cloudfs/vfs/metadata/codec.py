"""JSON codec of listings and attributes. No I/O, no clock.

Entries are encoded as columns of some thousand rows each, which pack better and are decoded in
short pieces. What does not look as expected decodes to None: the catalog is a file that any process
may have written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs_backends.api import ObjectInfo

_ROWS: Final = 2000
_HAS_METADATA: Final = 1
_METADATA_MTIME: Final = 2


def from_entries(requested_at_s: float, entries: Iterable[DirectoryEntry]) -> Iterator[Any]:
    """Yield the parts of a listing that was requested then, in seconds since the epoch."""
    yield [requested_at_s]
    rest = iter(entries)
    while rows := [_row(entry) for entry in islice(rest, _ROWS)]:
        yield list(zip(*rows, strict=True))


def requested_at(parts: list[Any]) -> float | None:
    """Return when the listing or the attributes were requested, in seconds since the epoch."""
    match parts:
        case [[float() | int() as moment, *_], *_]:
            return float(moment)
    return None


def to_entries(directory: str, parts: list[Any]) -> dict[bytes, DirectoryEntry] | None:
    """Return the entries of a directory by name, in their order."""
    found: dict[bytes, DirectoryEntry] = {}
    try:
        (_,), *pages = parts
        for columns in pages:
            for part, *known in zip(*columns, strict=True):
                if names.hidden_reason(part) is not None or "/" in part:
                    return None
                name, info = names.to_name(part), _info(directory + part, known)
                kind = InodeKind.DIRECTORY if info is None else InodeKind.FILE
                found[name] = DirectoryEntry(name, kind, info)
    except (TypeError, ValueError):
        return None
    return found


def from_info(requested_at_s: float, info: ObjectInfo) -> list[Any]:
    """Return the parts of one object's attributes."""
    return [[requested_at_s, info.size, info.etag, info.mtime_ns, _flags(info)]]


def to_info(key: str, parts: list[Any]) -> ObjectInfo | None:
    """Return the attributes of an object."""
    try:
        ((_, *known),) = parts
        return _info(key, known)
    except (TypeError, ValueError):
        return None


def _row(entry: DirectoryEntry) -> tuple[str, int | None, str | None, int | None, int | None]:
    """Return the columns of an entry; those of a directory are None but for its name."""
    part = names.to_part(entry.name)
    if entry.kind is InodeKind.DIRECTORY:
        return part, None, None, None, None
    assert entry.info is not None, "a listing of the store shows a file by its object"
    return part, entry.info.size, entry.info.etag, entry.info.mtime_ns, _flags(entry.info)


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
