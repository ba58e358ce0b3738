"""From paths to the files they name, with few requests: a flat LIST of a tree, and of a list of
paths one LIST of a folder that holds many of them.

The same rules of names as in the mount: a directory wins over a file of its name, and keys that no
path can name are left out. It does not know what is done with the files.
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
"""So many names of one folder are looked for in its listing."""

_NAMES_PER_PAGE: Final = 4
"""A folder's listing is given up when it takes more than a page for so many names: single names
cost two requests each."""

_LOOKUPS_AT_ONCE: Final = 8


class Visitor(Protocol):
    """Who is told what is there. Called on the loop; `found` by several tasks at once."""

    async def found(self, path: str, files: Sequence[ObjectInfo]) -> None:
        """These files are, or are below, the `path` that was asked for."""

    def hidden(self, count: int) -> None:
        """So many keys were left out, because no path can name them."""

    def failed(self, path: str, reason: str) -> None:
        """What `path` names could not be found out, or nothing does."""


class Walk:
    """Finds the files of paths. Paths are relative to the mount's root, without `/` at the ends;
    "" is the root. `matches` is asked with each file's path below the path that was given, and for
    a file that was given itself with its name."""

    def __init__(self, store: ObjectStore, matches: Match, visitor: Visitor) -> None:
        self._store = store
        self._matches = matches
        self._visitor = visitor

    async def visit(self, path: str) -> None:
        """Visit everything that `path` names. Errors of the store are told to the visitor."""
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
                return paths  # each path is asked for, and says for itself what is wrong
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
    """Say whether no path can name the key of an object, or of a directory's marker."""
    return any(names.hidden_reason(part) is not None for part in key.removesuffix("/").split("/"))
