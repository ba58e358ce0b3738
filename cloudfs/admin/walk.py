"""The walk from paths to files with few requests: a flat LIST of a tree, and for a list of paths
one LIST of a folder that has many of them.

Names follow the rules of the mount: a directory wins over a file of its name, and keys that no path
can name are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from cloudfs.config.globs import Match
from cloudfs.vfs.metadata import names
from cloudfs_backends.api import ObjectInfo, ObjectStore
from cloudfs_backends.errors import ObjectNotFoundError, StoreError

_LISTED_NAMES_MIN: Final = 8
"""From so many names of one folder on, its listing is used instead of single lookups."""

_NAMES_PER_PAGE: Final = 4
"""Names that pay for one page of a listing: a single lookup costs two requests."""

_LOOKUPS_AT_ONCE: Final = 8


class Visitor(Protocol):
    """The receiver of what a walk finds. Called on the loop; `found` by several tasks at once."""

    async def found(self, path: str, files: Sequence[ObjectInfo]) -> None:
        """Take files that are, or are below, the `path` of the walk."""

    def hidden(self, count: int) -> None:
        """Take the number of keys that were left out because no path can name them."""

    def failed(self, path: str, reason: str) -> None:
        """Take the reason why `path` could not be walked: it is missing, or the store failed."""


class Walk:
    """Finds the files of paths. Paths are relative to the mount's root, without `/` at the ends;
    "" is the root. `matches` takes each file's path below the path of the walk, or its name when
    that path is the file."""

    def __init__(self, store: ObjectStore, matches: Match, visitor: Visitor) -> None:
        self._store = store
        self._matches = matches
        self._visitor = visitor

    async def visit(self, path: str) -> None:
        """Visit everything that `path` names. The visitor gets the errors of the store."""
        try:
            if await self._visit_tree(path):
                return
            info = await self._store.head(path)
        except ObjectNotFoundError:
            self._visitor.failed(path, "no such file or directory")
        except StoreError as error:
            self._visitor.failed(path, f"{error}: {error.advice}")
        else:
            await self._found_file(path, info)

    async def visit_all(self, paths: Sequence[str]) -> None:
        """Visit many paths, in any order."""
        folders: defaultdict[str, list[str]] = defaultdict(list)
        for path in dict.fromkeys(paths):
            folders[path.rpartition("/")[0]].append(path)
        single: list[str] = []
        for folder, members in folders.items():
            many = len(members) >= _LISTED_NAMES_MIN
            single += await self._visit_listed(folder, members) if many else members
        await self._visit_each(single)

    async def _visit_each(self, paths: Sequence[str]) -> None:
        rest = iter(paths)

        async def visit_rest() -> None:
            for path in rest:
                await self.visit(path)

        async with trio.open_nursery() as nursery:
            for _ in range(min(_LOOKUPS_AT_ONCE, len(paths))):
                nursery.start_soon(visit_rest)

    async def _visit_listed(self, folder: str, paths: Sequence[str]) -> Sequence[str]:
        """Visit the files that a listing of their folder shows; return the other paths."""
        missing = dict.fromkeys(paths)
        found: dict[str, ObjectInfo] = {}
        prefix = f"{folder}/" if folder else ""
        token: str | None = None
        for _ in range(1 + len(paths) // _NAMES_PER_PAGE):
            try:
                page = await self._store.list_page(prefix, delimiter="/", token=token)
            except StoreError:
                return paths  # the lookup of each path reports the error
            found.update((info.key, info) for info in page.objects if info.key in missing)
            for common in page.prefixes:
                # A directory wins; it comes after the file, maybe on a later page.
                found.pop(common.removesuffix("/"), None)
            token = page.next_token
            if token is None:
                break
        else:
            return paths
        for path, info in found.items():
            del missing[path]
            await self._found_file(path, info)
        return list(missing)

    async def _visit_tree(self, path: str) -> bool:
        """Visit what is below the directory `path`; False when there is no such directory."""
        prefix = f"{path}/" if path else ""
        is_there = path == ""
        token: str | None = None
        while True:
            page = await self._store.list_page(prefix, token=token)
            is_there = is_there or bool(page.objects)
            await self._found_below(path, prefix, page.objects)
            token = page.next_token
            if token is None:
                return is_there

    async def _found_below(self, path: str, prefix: str, objects: Sequence[ObjectInfo]) -> None:
        named = [info for info in objects if not is_hidden(info.key)]
        if len(named) < len(objects):
            self._visitor.hidden(len(objects) - len(named))
        files = [
            info
            for info in named
            if not info.key.endswith("/") and self._matches(info.key[len(prefix) :])
        ]
        if files:
            await self._visitor.found(path, files)

    async def _found_file(self, path: str, info: ObjectInfo) -> None:
        if self._matches(path.rpartition("/")[2]):
            await self._visitor.found(path, [info])


def is_hidden(key: str) -> bool:
    """Return True when no path can name the key of an object, or of a directory's marker."""
    return any(names.hidden_reason(part) is not None for part in key.removesuffix("/").split("/"))
