"""Registry of the object versions in use: finds their block tables, drops the longest idle.

Owned by the trio loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from cloudfs_cache.api import ObjectVersion
from cloudfs_cache.memory.block import CachedObject

_IDLE_MAX = 4096
# The records of a block on the disk take about 200 bytes: 50 MB in all.
_BLOCKS_MAX = 1 << 18


class ObjectRegistry:
    """Finds the `CachedObject` of a version; forgets the longest idle ones beyond a bound on their
    number and on the blocks they have."""

    def __init__(self) -> None:
        self._objects: OrderedDict[ObjectVersion, CachedObject] = OrderedDict()
        self._block_count = 0

    def get(self, version: ObjectVersion) -> CachedObject | None:
        """Return the object and mark it as recently used."""
        found = self._objects.get(version)
        if found is not None:
            self._objects.move_to_end(version)
        return found

    def peek(self, version: ObjectVersion) -> CachedObject | None:
        """Return the object without marking it as used."""
        return self._objects.get(version)

    def __iter__(self) -> Iterator[CachedObject]:
        return iter(list(self._objects.values()))

    def add(self, cached: CachedObject) -> None:
        """Enter an object whose version is not registered yet."""
        self._block_count += cached.version.block_count
        # Before it is entered: a very large one must not be forgotten at once.
        self._forget_idle()
        self._objects[cached.version] = cached

    def _forget_idle(self) -> None:
        idle = (cached for cached in self._objects.values() if not cached.in_use)
        forgotten: list[ObjectVersion] = []
        while len(self._objects) - len(forgotten) >= _IDLE_MAX or self._block_count > _BLOCKS_MAX:
            cached = next(idle, None)
            if cached is None:
                break
            self._block_count -= cached.version.block_count
            forgotten.append(cached.version)
        for version in forgotten:
            del self._objects[version]
