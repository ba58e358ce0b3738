"""Handles of open files and directories, from open to release. Owned by the trio loop."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Generic, TypeVar

from cloudfs.vfs.content import Content
from cloudfs.vfs.inode import Inode
from cloudfs.vfs.metadata.entries import DirectoryEntry

Handle = TypeVar("Handle")


@dataclass(slots=True, eq=False)
class FileHandle:
    """An open file. `direct`: it was opened with O_DIRECT."""

    inode: Inode
    content: Content
    direct: bool


@dataclass(slots=True, eq=False)
class DirectoryHandle:
    """An open directory with the entries that a LIST sent at `requested_at` showed.

    Positions in them stay valid while entries are added to the directory and removed from it.
    """

    inode: Inode
    entries: tuple[DirectoryEntry, ...]
    requested_at: float


class HandleTable(Generic[Handle]):
    """Open handles by number. Numbers are never used twice."""

    def __init__(self) -> None:
        self._handles: dict[int, Handle] = {}
        self._numbers = itertools.count(1)

    def add(self, handle: Handle) -> int:
        """Add a handle and return its number."""
        number = next(self._numbers)
        self._handles[number] = handle
        return number

    def get(self, number: int) -> Handle:
        """Return an open handle. KeyError is a bug of the caller."""
        return self._handles[number]

    def remove(self, number: int) -> Handle:
        """Remove a handle and return it."""
        return self._handles.pop(number)
