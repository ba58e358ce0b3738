"""The files of a mounted directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cloudfs_benchmarks.bench.targets.paths import check_inside
from cloudfs_benchmarks.bench.targets.tree import Entry, walk


class MountedTree:
    """A `Tree` over the kernel's calls.

    A symbolic link to a file is a file. Links to folders (they may lead in circles), broken links,
    pipes, sockets and devices are in no listing.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)

    @property
    def location(self) -> str:
        """The absolute path."""
        return self._root

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, unbuffered."""
        return open(self.native(path), "rb", buffering=0)

    def native(self, path: str) -> str:
        """The absolute path of a file or folder."""
        return os.path.join(self._root, path) if path else self._root

    def entries(self, path: str) -> list[Entry]:
        """Files and folders in a folder, sorted by name; a stat of each."""
        found: list[Entry] = []
        with os.scandir(self.native(path)) as names:
            for name in names:
                if name.is_dir(follow_symlinks=False):
                    found.append(Entry(name.name, is_dir=True, size=0))
                elif (size := _regular_size(name)) is not None:
                    found.append(Entry(name.name, is_dir=False, size=size))
        return sorted(found, key=lambda entry: entry.name)

    def size(self, path: str) -> int:
        """A file's size in bytes."""
        return os.stat(self.native(path)).st_size

    def walk(self, path: str) -> Iterator[tuple[str, int]]:
        """Path and size of every file below a folder: its own first, then folder by folder."""
        return walk(self.entries, path)

    def make_folder(self, path: str) -> None:
        """Make one folder."""
        check_inside(path)
        os.mkdir(self.native(path))

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, sync: bool) -> int:
        """Create a file; what was written of it stays when that fails half way."""
        check_inside(path)
        written = 0
        with open(self.native(path), "xb", buffering=0) as file:
            for chunk in chunks:
                rest = memoryview(chunk).cast("B")
                while rest:
                    count = file.write(rest)
                    rest = rest[count:]
                    written += count
            if sync:
                os.fsync(file.fileno())
        return written

    def remove(self, path: str) -> None:
        """Remove a file."""
        check_inside(path)
        os.unlink(self.native(path))

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        check_inside(path)
        os.rmdir(self.native(path))

    def close(self) -> None:
        """Nothing is held."""


def _regular_size(name: os.DirEntry[str]) -> int | None:
    """The size of a file or of the file that a link leads to; None for everything else."""
    try:
        status = name.stat()
    except FileNotFoundError:  # a broken link, or removed since
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
