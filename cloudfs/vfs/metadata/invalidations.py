"""Explicit invalidations: metadata of a key is valid only if it was requested after them.

A listing is named by its directory's key ("" or ending with `/`), an entry by its key without a
slash at the end. Owned by the trio loop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

_NAMES_MAX: Final = 4096


class Invalidations:
    """When names were invalidated, for a few thousand of them: beyond, everything is invalid."""

    def __init__(self) -> None:
        self._everything_at = -math.inf
        self._names: dict[str, float] = {}
        self._subtrees: dict[str, float] = {}

    def add(self, name: str, now: float) -> None:
        """Invalidate one listing or entry as it was known before `now`."""
        self._names[name] = now
        self._bound(now)

    def add_subtree(self, directory: str, now: float) -> None:
        """Invalidate the listing of a directory and everything below it, as known before `now`."""
        self._subtrees[directory] = now
        self._bound(now)

    def last(self, name: str) -> float:
        """Return when a listing or an entry was last invalidated (`-math.inf`: never)."""
        latest = self._everything_at
        if self._names:
            latest = max(latest, self._names.get(name, -math.inf))
        if self._subtrees:
            for directory in _directories(name):
                latest = max(latest, self._subtrees.get(directory, -math.inf))
        return latest

    def _bound(self, now: float) -> None:
        if len(self._names) + len(self._subtrees) > _NAMES_MAX:
            self._everything_at = now
            self._names.clear()
            self._subtrees.clear()


def _directories(name: str) -> Iterator[str]:
    """Yield the directories that hold a name, from the root down; a directory holds itself."""
    yield ""
    end = name.find("/")
    while end >= 0:
        yield name[: end + 1]
        end = name.find("/", end + 1)
