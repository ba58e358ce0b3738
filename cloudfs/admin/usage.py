"""How much of some paths is local: walks them and asks the cache, without fetching anything."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cloudfs.admin.ports import Cache
from cloudfs.admin.walk import Walk
from cloudfs.config import globs
from cloudfs.config.path_policy import PathPolicies
from cloudfs_backends.api import ObjectInfo, ObjectStore
from cloudfs_cache.api import DiskUnusableError, KeyRange, ObjectVersion

log = logging.getLogger(__name__)

_EVERYTHING: Final = globs.any_of([])


@dataclass(frozen=True, slots=True)
class PathCount:
    """What is at or below one path, and how much of it a read would not fetch.

    `error` is what went wrong with the path; the counts are then what was found before that.
    """

    path: str
    files: int = 0
    bytes: int = 0
    local_files: int = 0
    local_bytes: int = 0
    pinned_bytes: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class SurveyProgress:
    """The counts so far, in the order in which the paths were given."""

    paths: tuple[PathCount, ...]


class Survey:
    """The work of counting what is local. Paths as in `Walk`."""

    def __init__(
        self, store: ObjectStore, cache: Cache, policies: PathPolicies, paths: Sequence[str]
    ) -> None:
        self._store = store
        self._cache = cache
        self._policies = policies
        self._counts = {path: PathCount(path) for path in paths}
        self._pins = PinnedKeys([])

    async def run(self) -> None:
        """See `Work.run`."""
        try:
            self._pins = PinnedKeys(await self._cache.pins())
        except DiskUnusableError:
            # What is in memory can be counted all the same.
            log.debug("counting without the pins", exc_info=True)
        walk = Walk(self._store, _EVERYTHING, self)
        for path in self._counts:
            await walk.visit(path)

    def progress(self) -> SurveyProgress:
        """See `Work.progress`."""
        return SurveyProgress(tuple(self._counts.values()))

    async def found(self, path: str, files: Sequence[ObjectInfo]) -> None:
        """See `Visitor.found`."""
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
        """See `Visitor.hidden`: the mount does not show them either."""

    def failed(self, path: str, reason: str) -> None:
        """See `Visitor.failed`."""
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
    """Return the content identity of an object that was listed or asked for."""
    return ObjectVersion(store.identity, info.key, info.etag, info.size)


async def count_local(
    store: ObjectStore, cache: Cache, policies: PathPolicies, path: str
) -> tuple[int, int]:
    """Return the local bytes and all bytes at and below a path; "" is the root."""
    survey = Survey(store, cache, policies, [path])
    await survey.run()
    (count,) = survey.progress().paths
    return count.local_bytes, count.bytes
