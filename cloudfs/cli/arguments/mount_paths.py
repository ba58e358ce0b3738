"""Paths in mounts, resolved without access to the mounts.

Symbolic links above a mountpoint are followed; the rest of a path is taken lexically, because the
mount may hang.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints

_SYMLINKS_MAX: Final = 40
_FOLDERS_CACHED: Final = 4096


@dataclass(frozen=True, slots=True)
class MountPath:
    """A path in a mount; `key` is relative to the mount's root, "" for the root itself."""

    mountpoint: Path
    key: str

    def __str__(self) -> str:
        return shown(self.mountpoint, self.key)


class MountTable:
    """The current cloudfs mounts. `mountpoints` are in the order of the mount table."""

    def __init__(self) -> None:
        # Of two mounts at one path the later one is on top.
        on_top = {mount.path: mount for mount in mountpoints.mounts()}
        self.mountpoints = [path for path, mount in on_top.items() if mount.is_cloudfs]
        self._known = set(map(str, self.mountpoints))
        self._of_folder = lru_cache(maxsize=_FOLDERS_CACHED)(self._walk)

    def find(self, path: str) -> MountPath | None:
        """Return the mount and key of `path`, or None when it is in no cloudfs mount.

        A relative path starts at the working directory. `..` is resolved lexically, symbolic links
        down to the mountpoint.
        """
        folder, name = os.path.split(os.path.abspath(path))
        parent = self._of_folder(folder)
        if parent is None or not name:
            return self._walk(os.path.join(folder, name))
        return MountPath(parent.mountpoint, f"{parent.key}/{name}".removeprefix("/"))

    def require(self, path: str) -> MountPath:
        """Return the mount and key of `path`, or raise `UserError`."""
        require_path(path)
        found = self.find(path)
        if found is None:
            fix = "'cloudfs status' lists the mounts"
            raise UserError(ExitCode.NOT_MOUNTED, f"{path} lies in no cloudfs mount: {fix}")
        return found

    def _walk(self, path: str) -> MountPath | None:
        current, pending, links = "/", _parts(path), 0
        while pending:
            current = os.path.join(current, pending.pop(0))
            if current in self._known:
                return MountPath(Path(current), "/".join(pending))
            try:
                target = os.readlink(current)
            except OSError:
                continue
            links += 1
            if links > _SYMLINKS_MAX:
                message = f"{path}: too many symbolic links: give the real path"
                raise UserError(ExitCode.USAGE, message)
            resolved = os.path.normpath(os.path.join(os.path.dirname(current), target))
            current, pending = "/", _parts(resolved) + pending
        return None


def require_path(path: str) -> None:
    """Raise `UserError` for an empty path: an unset variable, not the working directory."""
    if not path:
        raise UserError(ExitCode.USAGE, "a path is empty: write . for the working folder")


def by_mount(paths: Iterable[MountPath]) -> dict[Path, list[str]]:
    """Return the keys of the paths, each once, by their mountpoint."""
    found: defaultdict[Path, dict[str, None]] = defaultdict(dict)
    for path in paths:
        found[path.mountpoint][path.key] = None
    return {mountpoint: list(keys) for mountpoint, keys in found.items()}


def shown(mountpoint: Path, key: str) -> str:
    """Return the path of a key in a mount."""
    return f"{mountpoint}/{key}" if key else str(mountpoint)


def above(key: str) -> Iterator[str]:
    """Yield the keys of the parent directories, from the innermost to the root."""
    while key:
        key = key.rpartition("/")[0]
        yield key


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
