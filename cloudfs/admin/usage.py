"""Cache usage of paths: the bytes at and below them that are local. Fetches nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from cloudfs.admin.messages import PathUsage, UsageProgress
from cloudfs.admin.ports import Cache
from cloudfs.admin.walk import Walk
from cloudfs.config import globs
from cloudfs.config.path_policy import PathPolicies
from cloudfs_backends.api import ObjectInfo, ObjectStore
from cloudfs_cache.api import DiskUnusableError, KeyRange, ObjectVersion

log = logging.getLogger(__name__)

_EVERYTHING: Final = globs.any_of([])


class UsageCount:
    """The work of counting local bytes. Paths as in `Walk`."""

    def __init__(
        self, store: ObjectStore, cache: Cache, policies: PathPolicies, paths: Sequence[str]
    ) -> None:
        self._store = store
        self._cache = cache
        self._policies = policies
        self._counts = {path: PathUsage(path) for path in paths}
        self._pins = PinnedKeys([])

    async def run(self) -> None:
        """Count everything."""
        try:
            self._pins = PinnedKeys(await self._cache.pins())
        except DiskUnusableError:
            # Local bytes can be counted all the same.
            log.debug("counting without the pins", exc_info=True)
        walk = Walk(self._store, _EVERYTHING, self)
        for path in self._counts:
            await walk.visit(path)

    def progress(self) -> UsageProgress:
        """Return the counts so far."""
        return UsageProgress(tuple(self._counts.values()))

    async def found(self, path: str, files: Sequence[ObjectInfo]) -> None:
        """Add these files to the count of `path`."""
        versions = [version_of(self._store, info) for info in files]
        local = await self._cache.local_bytes(versions)
        count = self._counts[path]
        self._counts[path] = replace(
            count,
            files=count.files + len(files),
            bytes=count.bytes + sum(info.size for info in files),
            local_files=count.local_files
            + sum(found >= info.size for found, info in zip(local, files, strict=True)),
            local_bytes=count.local_bytes + sum(local),
            pinned_bytes=count.pinned_bytes
            + sum(info.size for info in files if self._is_pinned(info.key)),
        )

    def hidden(self, count: int) -> None:
        """Leave them out, as the mount does."""

    def failed(self, path: str, reason: str) -> None:
        """Set the error of `path`."""
        self._counts[path] = replace(self._counts[path], error=reason)

    def _is_pinned(self, key: str) -> bool:
        return key in self._pins or self._policies.placement(key).pinned


class PinnedKeys:
    """The keys in some ranges, found by their ancestors: there may be thousands of ranges."""

    def __init__(self, ranges: Sequence[KeyRange]) -> None:
        self._keys = {range_.key for range_ in ranges}
        self._trees = {range_.key for range_ in ranges if range_.subtree}

    def __contains__(self, key: str) -> bool:
        if key in self._keys or "" in self._trees:
            return True
        folder = key.rpartition("/")[0]
        while folder:
            if folder in self._trees:
                return True
            folder = folder.rpartition("/")[0]
        return False


def version_of(store: ObjectStore, info: ObjectInfo) -> ObjectVersion:
    """Return the content identity of an object that a LIST or HEAD has shown."""
    return ObjectVersion(store.identity, info.key, info.etag, info.size)


async def count_local(
    store: ObjectStore, cache: Cache, policies: PathPolicies, path: str
) -> tuple[int, int]:
    """Return the local bytes and all bytes at and below a path; "" is the root."""
    work = UsageCount(store, cache, policies, [path])
    await work.run()
    (count,) = work.progress().paths
    return count.local_bytes, count.bytes
