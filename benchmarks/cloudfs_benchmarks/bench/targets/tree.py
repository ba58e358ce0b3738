"""A directory tree that is read and written in the same words, mounted or over libnfs.

Paths are relative to the tree's root, with `/` between names and never `..`; the root is "".
Failures are `OSError` with the errno and the path. A tree belongs to the process that opened it:
workers open their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder; `size` in bytes, 0 for folders."""

    name: str
    is_dir: bool
    size: int


class Tree(Protocol):
    """One target's files."""

    @property
    def location(self) -> str:
        """The absolute path, or the URL, that `open_tree` opens again."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; unbuffered: every `readinto` is one read of the target."""

    def native(self, path: str) -> str | None:
        """The path for libraries that open files themselves; None where the kernel has none."""

    def entries(self, path: str) -> list[Entry]:
        """What is in a folder, sorted by name."""

    def size(self, path: str) -> int:
        """A file's size (one stat)."""

    def walk(self, path: str) -> Iterator[tuple[str, int]]:
        """Path and size of every file below a folder, folder by folder, sorted."""

    def make_folder(self, path: str) -> None:
        """Make one folder; `FileExistsError` when it is there."""

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, sync: bool) -> int:
        """Create a file that is not there yet; with `sync` it is fsynced. Returns its bytes."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""

    def close(self) -> None:
        """Let go of it."""


def walk(entries: Callable[[str], list[Entry]], path: str) -> Iterator[tuple[str, int]]:
    """Path and size of every file below a folder: its own first, then folder by folder."""
    found = entries(path)
    prefix = f"{path}/" if path else ""
    for entry in found:
        if not entry.is_dir:
            yield prefix + entry.name, entry.size
    for entry in found:
        if entry.is_dir:
            yield from walk(entries, prefix + entry.name)
