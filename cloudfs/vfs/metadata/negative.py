"""Negative cache: names that the store does not have. Owned by the trio loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ENTRIES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class NegativeEntry:
    """A name that was missing or changed at `requested_at`.

    Nothing that was requested earlier brings it back. Until `expires_at` the store is not asked.
    """

    requested_at: float
    expires_at: float


class NegativeCache:
    """Negative entries by the inode number of the directory and the name.

    The oldest are evicted when there are too many.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, bytes], NegativeEntry] = OrderedDict()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self._entries)

    def add(self, parent_ino: int, name: bytes, requested_at: float, *, ttl_s: float) -> None:
        """Add a name, unless a later request found it missing already."""
        known = self._entries.get((parent_ino, name))
        if known is not None and known.requested_at > requested_at:
            return
        self._entries[parent_ino, name] = NegativeEntry(requested_at, requested_at + ttl_s)
        while len(self._entries) > _ENTRIES_MAX:
            self._entries.popitem(last=False)

    def get(self, parent_ino: int, name: bytes) -> NegativeEntry | None:
        """Return the negative entry of a name, also an expired one."""
        return self._entries.get((parent_ino, name))

    def discard_older(self, parent_ino: int, name: bytes, requested_at: float) -> bool:
        """Drop what was known before a request that found the name there.

        Return False, and keep it, when the name was found missing by a later request.
        """
        known = self._entries.get((parent_ino, name))
        if known is not None and known.requested_at > requested_at:
            return False
        self._entries.pop((parent_ino, name), None)
        return True
