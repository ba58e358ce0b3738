"""Read-only inspection of a cache directory: its format, the bytes in use and its mounts.

For commands that look at a directory without mounting. Blocks for as long as the disk does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from cloudfs_cache.disk import layout
from cloudfs_cache.disk.index.rows import totals_of

_LOCK_WAIT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Inspection:
    """One existing directory. `problem` says why a mount refuses it, None if it does not.

    `used_bytes` is what the index counts, 0 where there is none or it cannot be read; `mounts` is
    the number of mounts that use the directory now.
    """

    is_cache: bool
    problem: str | None
    used_bytes: int
    mounts: int


def inspect(path: str) -> Inspection:
    """Return what is known of an existing directory."""
    return Inspection(
        is_cache=layout.is_cache(path),
        problem=_problem_of(path),
        used_bytes=_used_bytes(os.path.join(path, "index.sqlite")),
        mounts=_mounts(os.path.join(path, "mounts")),
    )


def _problem_of(path: str) -> str | None:
    try:
        return layout.problem_of(path)
    except OSError as error:
        return f"cache directory {path} cannot be read ({error.strerror})"


def _used_bytes(index: str) -> int:
    if not os.path.exists(index):
        return 0
    address = f"file:{quote(index)}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_LOCK_WAIT_S)) as base:
            return totals_of(base).used_bytes
    except sqlite3.Error:
        return 0


def _mounts(folder: str) -> int:
    """Return how many owners hold the lock of their file.

    A mount that starts while a lock is tried takes the next number, which is harmless.
    """
    count = 0
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    for name in filter(str.isdigit, names):
        with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                count += 1
    return count
