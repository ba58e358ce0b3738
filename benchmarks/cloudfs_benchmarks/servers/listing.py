"""The names below a folder as the objects of a bucket, a page at a time, whatever the dialect.

The ETags are spelled as nginx spells them, so that a conditional read of a listed object matches.
"""

from __future__ import annotations

import base64
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

LIMIT_MAX = 1000
_SNAPSHOTS_MAX = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: `mtime_s` and `size` in bytes are what nginx makes its ETag of."""

    key: str
    mtime_s: int
    size: int

    @property
    def etag(self) -> str:
        """Without quotes."""
        return f"{self.mtime_s:x}-{self.size:x}"

    @property
    def generation(self) -> str:
        """The same as a decimal number, which GCS wants. It may be longer than Google's 64 bits."""
        return f"{self.mtime_s}{self.size:012}"

    @property
    def modified(self) -> datetime:
        """When the object was written."""
        return datetime.fromtimestamp(self.mtime_s, UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """What one LIST answers; `token` continues it, "" when it is complete."""

    entries: tuple[Entry, ...]
    prefixes: tuple[str, ...]
    token: str


class Names:
    """The objects below `root`. Safe to use from several threads.

    A listing that is continued goes on with the names that were there when it began: a folder of
    many pages is looked through once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._snapshots: dict[str, Sequence[Entry]] = {}

    def page(self, *, prefix: str, delimiter: str, limit: int, token: str) -> Page:
        """Return the page after `token`; at most `LIMIT_MAX` names, whatever the limit."""
        folder = prefix.rpartition("/")[0]
        if not token or (entries := self._snapshots.get(folder)) is None:
            entries = sorted(scan(self._root, folder), key=_order)
            self._remember(folder, entries)
        limit = min(limit, LIMIT_MAX)
        return select(entries, prefix=prefix, delimiter=delimiter, limit=limit, token=token)

    def find(self, key: str) -> Entry | None:
        """Return the object, or None when there is none."""
        path = os.path.join(self._root, key)
        if not key or _leaves(key) or not os.path.isfile(path):
            return None
        return _entry(key, os.stat(path))

    def _remember(self, folder: str, entries: Sequence[Entry]) -> None:
        if len(self._snapshots) >= _SNAPSHOTS_MAX:
            self._snapshots = {}
        self._snapshots[folder] = entries


def scan(root: Path, folder: str = "") -> Iterator[Entry]:
    """Yield the objects below `folder` of `root`, in no particular order."""
    if _leaves(folder):
        return
    for path, _, names in os.walk(os.path.join(root, folder)):
        for name in names:
            full = os.path.join(path, name)
            yield _entry(os.path.relpath(full, root), os.stat(full))


def select(
    entries: Sequence[Entry], *, prefix: str, delimiter: str, limit: int, token: str
) -> Page:
    """Return the page after `token` of `entries`, which must be in the order of their UTF-8."""
    last = base64.urlsafe_b64decode(token).decode() if token else ""
    objects: list[Entry] = []
    prefixes: list[str] = []
    for entry in entries[bisect_right(entries, last.encode(), key=_order) :]:
        if not entry.key.startswith(prefix):
            continue
        name = _name(entry.key, prefix, delimiter)
        if name.encode() <= last.encode():
            continue
        if len(objects) + len(prefixes) == limit:
            return Page(tuple(objects), tuple(prefixes), _token(last))
        last = name
        if name == entry.key:
            objects.append(entry)
        else:
            prefixes.append(name)
    return Page(tuple(objects), tuple(prefixes), "")


def _order(entry: Entry) -> bytes:
    return entry.key.encode()


def _entry(key: str, status: os.stat_result) -> Entry:
    return Entry(key, int(status.st_mtime), status.st_size)


def _leaves(path: str) -> bool:
    """Whether the path may lead out of the folder that is served."""
    return path.startswith("/") or ".." in path.split("/")


def _name(key: str, prefix: str, delimiter: str) -> str:
    """The key, or the common prefix that stands for it; a prefix ends with the delimiter."""
    rest = key[len(prefix) :]
    if delimiter and delimiter in rest:
        return prefix + rest.partition(delimiter)[0] + delimiter
    return key


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()
