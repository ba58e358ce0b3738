"""Which extent of the SSD tier goes first: pure policies, no I/O.

An extent is what the disk gives back at once: a whole small object, or EXTENT_BLOCKS adjacent
blocks of a large one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)


class EvictionPolicy(Protocol[Key]):
    """Orders extents by how soon they should go."""

    def used(self, key: Key) -> None:
        """The extent was written or read."""

    def forget(self, key: Key) -> None:
        """The extent is gone."""

    def victim(self) -> Key | None:
        """Return the extent that should go first, or None when there is none."""


class LeastRecentlyUsed(Generic[Key]):
    """Evicts what was not used for the longest time."""

    def __init__(self) -> None:
        self._order: OrderedDict[Key, None] = OrderedDict()

    def used(self, key: Key) -> None:
        """The extent was written or read."""
        self._order[key] = None
        self._order.move_to_end(key)

    def forget(self, key: Key) -> None:
        """The extent is gone."""
        self._order.pop(key, None)

    def victim(self) -> Key | None:
        """Return the least recently used extent, or None when there is none."""
        return next(iter(self._order), None)
