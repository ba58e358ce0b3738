"""Directory listings, made from the pages of a LIST. No I/O.

Where a key is both a file (`a`) and a directory (`a/b`), the directory wins: everything below it
stays reachable, and the file of the same name is hidden, counted and logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloudfs.vfs.metadata import names
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs_backends.api import ListPage, ObjectInfo

log = logging.getLogger(__name__)

_COUNTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class DirectoryListing:
    """All entries of a directory as a LIST sent at `requested_at` showed them, in key order."""

    entries: tuple[DirectoryEntry, ...]
    by_name: dict[bytes, DirectoryEntry]
    requested_at: float


class HiddenNames:
    """Counts the keys that no path can name, and logs each once (up to a bound)."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.count = 0

    def note(self, key: str, reason: str) -> None:
        """Count a hidden key; the same key is counted and logged once."""
        if key in self._seen or len(self._seen) >= _COUNTED_MAX:
            return
        self.count += 1
        self._seen.add(key)
        log.warning("key %r is hidden: a path cannot name it (%s)", key, reason)


def build(
    prefix: str, pages: Iterable[ListPage], hidden: HiddenNames, requested_at: float
) -> DirectoryListing:
    """Make the listing of the directory `prefix` ("" or ending with "/") out of its pages."""
    by_name: dict[bytes, DirectoryEntry] = {}
    for page in pages:
        for common in page.prefixes:
            _add(by_name, common[len(prefix) : -1], None, common, hidden)
        for info in page.objects:
            part = info.key[len(prefix) :]
            if part == "":
                continue  # the directory's own marker
            if part.endswith("/"):
                _add(by_name, part[:-1], None, info.key, hidden)
            else:
                _add(by_name, part, info, info.key, hidden)
    return DirectoryListing(tuple(by_name.values()), by_name, requested_at)


def _add(
    by_name: dict[bytes, DirectoryEntry],
    part: str,
    info: ObjectInfo | None,
    key: str,
    hidden: HiddenNames,
) -> None:
    """Add a file, or without `info` a directory, unless a path cannot name it."""
    reason = names.hidden_reason(part)
    if reason is not None:
        hidden.note(key, reason)
        return
    kind = InodeKind.DIRECTORY if info is None else InodeKind.FILE
    entry = DirectoryEntry(names.to_name(part), kind, info)
    known = by_name.get(entry.name)
    if known is not None and known.kind is not kind:
        hidden.note(key if known.info is None else known.info.key, "a directory has the same name")
    if known is None or known.kind is not InodeKind.DIRECTORY:
        by_name[entry.name] = entry
