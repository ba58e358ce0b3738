"""Walks of a folder in key order, for the listings of `file://`.

A key is a path relative to the root. A folder's key ends with "/"; keys are ordered by their bytes,
so the keys below a folder are contiguous, and a walk that sorts each folder's entries yields them
all in order.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_FolderId: TypeAlias = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True, slots=True)
class WalkEntry:
    """One entry of a listing. `status` is None for a common prefix."""

    key: bytes
    status: os.stat_result | None


def walk(root: bytes, prefix: bytes, *, delimited: bool, after: bytes) -> Iterator[WalkEntry]:
    """Yield the entries that start with `prefix` and come after `after`, in key order.

    Delimited, a folder is yielded instead of its content, except the folders in `prefix`. Otherwise
    folders are entered, and one without visible content is yielded as a marker. Symbolic links are
    followed to files and folders inside the root; others, folders that contain themselves that way,
    and special files are omitted. Raises OSError for a folder that cannot be read.
    """
    folder, _, _ = prefix.rpartition(b"/")
    folder += b"/" if folder else b""
    inside = os.path.realpath(root)
    trail = _enter(inside, folder)
    if trail is None:
        return
    walker = _Walk(inside, prefix, delimited, after)
    found = False
    for name in walker.entries(folder, trail):
        found = True
        yield name
    if not found and prefix == folder and folder > after and not walker.skipped:
        yield WalkEntry(folder, os.stat(os.path.join(inside, folder)))


def resolve(root: bytes, key: bytes) -> bytes | None:
    """Return the real path of `key`, or None when it is not a path inside the root.

    "", "." and ".." are no names in a key; a trailing "/" is ignored.
    """
    parts = key.removesuffix(b"/").split(b"/")
    if b"\0" in key or any(part in {b"", b".", b".."} for part in parts):
        return None
    inside = os.path.realpath(root)
    path = os.path.realpath(os.path.join(inside, key.removesuffix(b"/")))
    return path if _is_below(path, inside) else None


class _Walk:
    """One walk over a tree. `skipped` is set when some of it came before `after`."""

    def __init__(self, root: bytes, prefix: bytes, delimited: bool, after: bytes) -> None:
        self._root = root
        self._prefix = prefix
        self._delimited = delimited
        self._after = after
        self.skipped = False

    def entries(self, folder: bytes, trail: frozenset[_FolderId]) -> Iterator[WalkEntry]:
        """Yield the entries in `folder`; `trail` has the folders on its path, itself included."""
        for key, entry in self._sorted(folder):
            if key.endswith(b"/"):
                yield from self._folder(key, trail)
            elif key > self._after:
                status = self._file_status(entry)
                if status is not None:
                    yield WalkEntry(key, status)
            else:
                self.skipped = True

    def _folder(self, key: bytes, trail: frozenset[_FolderId]) -> Iterator[WalkEntry]:
        if key <= self._after and (self._delimited or not self._after.startswith(key)):
            self.skipped = True
            return
        identity = self._folder_id(key)
        if identity is None or identity in trail:
            return
        if self._delimited:
            yield WalkEntry(key, None)
            return
        found = False
        for name in self.entries(key, trail | {identity}):
            found = True
            yield name
        if found or self._after.startswith(key):
            return
        yield from self._marker(key)

    def _marker(self, key: bytes) -> Iterator[WalkEntry]:
        try:
            yield WalkEntry(key, os.stat(os.path.join(self._root, key)))
        except FileNotFoundError:
            return

    def _sorted(self, folder: bytes) -> list[tuple[bytes, os.DirEntry[bytes]]]:
        """Return the entries that can match, by key."""
        try:
            with os.scandir(os.path.join(self._root, folder)) as entries:
                keyed = [
                    (folder + entry.name + (b"/" if _is_folder(entry) else b""), entry)
                    for entry in entries
                ]
        except (FileNotFoundError, NotADirectoryError):  # deleted meanwhile
            return []
        matching = [item for item in keyed if item[0].startswith(self._prefix)]
        return sorted(matching, key=lambda item: item[0])

    def _folder_id(self, key: bytes) -> _FolderId | None:
        path = os.path.join(self._root, key)
        if not _is_below(os.path.realpath(path), self._root):
            return None
        try:
            return _identity(path)
        except OSError:
            return None

    def _file_status(self, entry: os.DirEntry[bytes]) -> os.stat_result | None:
        try:
            status = entry.stat()
            hidden = not stat.S_ISREG(status.st_mode) or (
                entry.is_symlink() and not _is_below(os.path.realpath(entry.path), self._root)
            )
        except OSError:  # deleted meanwhile, or a dangling link
            return None
        return None if hidden else status


def _enter(root: bytes, folder: bytes) -> frozenset[_FolderId] | None:
    """Return the folders on the path of `folder`, or None when it cannot be listed."""
    trail = {_identity(root)}
    path = root
    for part in folder.split(b"/")[:-1]:
        path = os.path.join(path, part)
        if part in {b"", b".", b".."} or b"\0" in part:
            return None
        if not _is_below(os.path.realpath(path), root) or not os.path.isdir(path):
            return None
        identity = _identity(path)
        if identity in trail:
            return None
        trail.add(identity)
    return frozenset(trail)


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False


def _identity(path: bytes) -> _FolderId:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")
