"""The block table of one object version, and the registry of versions in use.

Owned by the trio loop. A block stands in the table from the moment it is planned until it is
evicted or fails, so a second request for the same bytes always finds the first: single-flight by
construction.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from cloudfs_cache.api import ObjectVersion
from cloudfs_cache.block import Block

if TYPE_CHECKING:
    from cloudfs_cache.disk_object import DiskObject

_IDLE_MAX = 4096


class CachedObject:
    """What the tiers hold of one object version. `opens` counts the handles that read it."""

    __slots__ = ("blocks", "disk", "opens", "version")

    def __init__(self, version: ObjectVersion, disk: DiskObject | None) -> None:
        self.version = version
        self.disk = disk
        self.blocks: dict[int, Block] = {}
        self.opens = 0

    def plan(self, index: int, *, ahead: bool) -> Block:
        """Enter block `index`, which must not be in the table, as planned."""
        block = Block(self, index, self.version.block_length(index), ahead=ahead)
        self.blocks[index] = block
        return block

    def on_disk(self, index: int) -> bool:
        """The SSD tier holds block `index`."""
        return self.disk is not None and index in self.disk.checksums

    def local_bytes(self) -> int:
        """Bytes of the object that a read would not fetch from the store."""
        local = {index for index, block in self.blocks.items() if block.full}
        if self.disk is not None:
            local.update(self.disk.checksums)
        return sum(self.version.block_length(index) for index in local)


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
