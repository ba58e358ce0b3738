"""Which mount a path lies in, found without asking any file system inside a mount.

Only what lies above a mountpoint is looked at; what lies below is taken as it is written, because
the mount may hang. It does not know the daemon.
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
_FOLDERS_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a mount; `key` is relative to the mount's root, "" for the root itself."""

    mountpoint: Path
    key: str

    def __str__(self) -> str:
        return shown(self.mountpoint, self.key)


class MountTable:
    """The cloudfs mounts of this moment. `mountpoints` are in the order of the mount table."""

    def __init__(self) -> None:
        # Of two mounts at one path the later one is on top.
        on_top = {mount.path: mount for mount in mountpoints.mounts()}
        self.mountpoints = [path for path, mount in on_top.items() if mount.is_cloudfs]
        self._known = set(map(str, self.mountpoints))
        self._of_folder = lru_cache(maxsize=_FOLDERS_REMEMBERED)(self._walk)

    def find(self, path: str) -> Place | None:
        """Return where `path` lies, or None when it is in no cloudfs mount.

        A relative path belongs to the working folder. `..` is resolved as it is written, and
        symbolic links down to the mountpoint.
        """
        folder, name = os.path.split(os.path.abspath(path))
        place = self._of_folder(folder)
        if place is None or not name:
            return self._walk(os.path.join(folder, name))
        return Place(place.mountpoint, f"{place.key}/{name}".removeprefix("/"))

    def place(self, path: str) -> Place:
        """Return where `path` lies, or raise `UserError`."""
        require_path(path)
        found = self.find(path)
        if found is None:
            fix = "'cloudfs status' lists the mounts"
            raise UserError(ExitCode.NOT_MOUNTED, f"{path} lies in no cloudfs mount: {fix}")
        return found

    def _walk(self, path: str) -> Place | None:
        current, pending, links = "/", _parts(path), 0
        while pending:
            current = os.path.join(current, pending.pop(0))
            if current in self._known:
                return Place(Path(current), "/".join(pending))
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
    """Raise `UserError` for an empty path: a variable that is not set, not the working folder."""
    if not path:
        raise UserError(ExitCode.USAGE, "a path is empty: write . for the working folder")


def by_mount(places: Iterable[Place]) -> dict[Path, list[str]]:
    """Return the keys of some places, each once, by their mountpoint."""
    found: defaultdict[Path, dict[str, None]] = defaultdict(dict)
    for place in places:
        found[place.mountpoint][place.key] = None
    return {mountpoint: list(keys) for mountpoint, keys in found.items()}


def shown(mountpoint: Path, key: str) -> str:
    """Return the path of a key in a mount."""
    return f"{mountpoint}/{key}" if key else str(mountpoint)


def above(key: str) -> Iterator[str]:
    """Yield the keys of the folders that a key is in, from the innermost to the root."""
    while key:
        key = key.rpartition("/")[0]
        yield key


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
