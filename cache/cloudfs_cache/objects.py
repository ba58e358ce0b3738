"""The object versions in use: finds their block tables, forgets the longest idle ones.

Owned by the trio loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from cloudfs_cache.api import ObjectVersion
from cloudfs_cache.blocks import CachedObject

_IDLE_MAX = 4096


class ObjectRegistry:
    """Finds the `CachedObject` of a version; forgets the longest idle ones beyond a bound."""

    def __init__(self) -> None:
        self._objects: OrderedDict[ObjectVersion, CachedObject] = OrderedDict()

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
        self._objects[cached.version] = cached
        self._forget_idle()

    def _forget_idle(self) -> None:
        excess = len(self._objects) - _IDLE_MAX
        if excess <= 0:
            return
        idle = (o for o in self._objects.values() if not o.opens and not o.blocks)
        for cached in [o for o, _ in zip(idle, range(excess), strict=False)]:
            del self._objects[cached.version]
