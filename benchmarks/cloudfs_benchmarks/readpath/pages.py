"""Emptying and filling the kernel's page cache between trials."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_DROP = Path("/proc/sys/vm/drop_caches")
_BLOCK_BYTES = 1 << 20


def drop(folders: Iterable[Path]) -> None:
    """Drop all clean pages of the machine, or without root those of the files below `folders`.

    What is dirty is written first.
    """
    os.sync()
    if may_drop_all():
        _DROP.write_text("3\n", encoding="ascii")
        return
    for path in _files(folders):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def method() -> str:
    """How `drop` works here, for the report."""
    return "drop_caches" if may_drop_all() else "posix_fadvise(DONTNEED) per file"


def warm(folder: Path) -> None:
    """Read the files of the store once, so that no trial measures the disk under the store."""
    block = bytearray(_BLOCK_BYTES)
    for path in _files([folder]):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            while os.readv(descriptor, [block]):
                pass
        finally:
            os.close(descriptor)


def may_drop_all() -> bool:
    """Whether this user may empty the page cache of the machine."""
    return os.access(_DROP, os.W_OK)


def _files(folders: Iterable[Path]) -> Iterator[str]:
    for top in folders:
        for folder, _, names in os.walk(top):
            yield from (os.path.join(folder, name) for name in names)
