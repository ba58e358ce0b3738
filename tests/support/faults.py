"""Faults below the SSD tier: any call to the operating system or to SQLite may fail or be late.

All other calls are real: nothing stands in for code of the cache.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from cloudfs_cache.disk import capacity
from cloudfs_cache.disk.index import database
from cloudfs_cache.disk.io import files

_CALLS = frozenset(
    "open preadv pwritev pread pwrite fdatasync unlink makedirs fstat statvfs fallocate".split()  # noqa: SIM905
)
_ERRORS = (errno.EIO, errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE)
_SQLITE_ERRORS = (
    ("SQLITE_IOERR", sqlite3.SQLITE_IOERR),
    ("SQLITE_FULL", sqlite3.SQLITE_FULL),
    ("SQLITE_BUSY", sqlite3.SQLITE_BUSY),
    ("SQLITE_READONLY", sqlite3.SQLITE_READONLY),
)


class Faults:
    """Chooses the calls that fail, a `rate` (0..1) of them. Safe to use from any thread."""

    def __init__(self, seed: int) -> None:
        self.rate = 0.0
        self.late_s = 0.0
        self.seen: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._lock = threading.Lock()

    def strikes(self, call: str) -> bool:
        """Return whether this call fails; may sleep first."""
        with self._lock:
            hit = self._rng.random() < self.rate
            late_s = self.late_s if self.late_s and self._rng.random() < self.rate / 10 else 0.0
            self.seen[call] += hit
        if late_s:
            time.sleep(late_s)
        return hit

    def pick(self, choices: Sequence[Any]) -> Any:
        with self._lock:
            return self._rng.choice(choices)

    def os_error(self) -> OSError:
        number = self.pick(_ERRORS)
        return OSError(number, os.strerror(number))

    def sqlite_error(self) -> sqlite3.OperationalError:
        name, code = self.pick(_SQLITE_ERRORS)
        error = sqlite3.OperationalError(f"injected {name}")
        error.sqlite_errorcode = code
        error.sqlite_errorname = name
        return error


class _System:
    """The module `os`, whose calls may fail or do only a part."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        genuine = getattr(os, name)
        if name not in _CALLS:
            return genuine
        return lambda *args, **kwargs: self._call(name, genuine, args, kwargs)

    def _call(self, name: str, genuine: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if not self._faults.strikes(name):
            return genuine(*args, **kwargs)
        if name in {"preadv", "pwritev"} and self._faults.pick((True, False)):
            fd, views, offset = args
            return genuine(fd, [views[0][: self._faults.pick((512, 4096, 12_288))]], offset)
        raise self._faults.os_error()


class _Libc:
    def __init__(self, faults: Faults, genuine: Any) -> None:
        self._faults = faults
        self._genuine = genuine

    def fallocate(self, *args: int) -> int:
        if self._faults.strikes("fallocate"):
            ctypes.set_errno(errno.EIO)
            return -1
        return int(self._genuine.fallocate(*args))


class _Sqlite:
    """The module `sqlite3`, whose connections may fail."""

    def __init__(self, faults: Faults) -> None:
        class Connection(sqlite3.Connection):
            def execute(self, sql: str, /, *args: Any) -> sqlite3.Cursor:
                if sql != "ROLLBACK" and faults.strikes("execute"):
                    raise faults.sqlite_error()
                return super().execute(sql, *args)

        self._connection = Connection

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        return sqlite3.connect(*args, factory=self._connection, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


@contextmanager
def injected(faults: Faults) -> Iterator[None]:
    """Put `faults` below every disk tier that is opened within."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", _System(faults))
        patch.setattr(capacity, "os", _System(faults))
        patch.setattr(files, "_libc", _Libc(faults, files._libc))
        patch.setattr(database, "sqlite3", _Sqlite(faults))
        yield
