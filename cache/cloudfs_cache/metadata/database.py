"""Persistent metadata cache: a diskcache database that the mounts of a node share.

    DIR/catalog/cache.db    diskcache's SQLite database (WAL; -wal and -shm come and go beside it)
    DIR/catalog/lock        held (flock, shared) by every mount that uses the database
    DIR/catalog/damaged     written by the mount that finds the database corrupt

Keys and values are bytes inside the database; nothing is pickled, unpickled or put into files of
its own. A value is packed JSON: whatever does not unpack is a miss. A damaged database is replaced
by the next mount that has it for itself, and nothing is lost with it but requests. This module does
not know what the values mean.

All functions block. A `Catalog` belongs to the thread that made it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import diskcache
import lz4.block
import xxhash

log = logging.getLogger(__name__)

SIZE_LIMIT_BYTES: Final = 256 << 20

_MAGIC: Final = b"cfC\x01"
_HEADER: Final = struct.Struct("<4sQ")
_LENGTH: Final = struct.Struct("<I")
_PART_BYTES_MAX: Final = 16 << 20
_BUSY_S: Final = 0.5
_CULL_ROWS: Final = 32
_RAW_MODE: Final = 1
_SETTINGS: Final = {
    "statistics": 0,
    "tag_index": 0,
    # The only policy that does not write when it reads.
    "eviction_policy": "least-recently-stored",
    "cull_limit": _CULL_ROWS,
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 1024,
    "sqlite_journal_mode": "wal",
    # A mapped database on a disk that errors is a SIGBUS instead of an error.
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 1,
    "disk_min_file_size": 1 << 40,
    "disk_pickle_protocol": 0,
}


class CatalogError(Exception):
    """The catalog cannot be opened, read or written now. Nothing is lost but requests."""


@dataclass(frozen=True, slots=True)
class CatalogRecord:
    """JSON values under a key, packed and with a checksum. Any thread may pack and unpack."""

    key: bytes
    packed: bytes

    @classmethod
    def pack(cls, key: bytes, parts: Iterable[object]) -> CatalogRecord:
        """Return the record of some JSON values. Strings may hold surrogate escapes.

        Each part is compressed for itself: parts of some thousand rows keep the interpreter free
        for others in between.
        """
        body = bytearray()
        for part in parts:
            text = json.dumps(part, separators=(",", ":")).encode("ascii")
            compressed = lz4.block.compress(text, store_size=True)
            body += _LENGTH.pack(len(compressed))
            body += compressed
        return cls(key, _HEADER.pack(_MAGIC, _checksum(key, body)) + body)

    def unpack(self) -> list[Any] | None:
        """Return the parts, or None when they are damaged, of another key or another format."""
        try:
            magic, checksum = _HEADER.unpack_from(self.packed)
            body = memoryview(self.packed)[_HEADER.size :]
            if magic != _MAGIC or checksum != _checksum(self.key, body):
                return None
            return list(_parts(body))
        except (ValueError, struct.error, lz4.block.LZ4BlockError, RecursionError, MemoryError):
            return None


def _parts(body: memoryview) -> Iterator[Any]:
    offset = 0
    while offset < len(body):
        (length,) = _LENGTH.unpack_from(body, offset)
        offset += _LENGTH.size
        packed = body[offset : offset + length]
        if _LENGTH.unpack_from(packed)[0] > _PART_BYTES_MAX:
            raise ValueError("a part is too large")
        yield json.loads(lz4.block.decompress(packed))
        offset += length


def _checksum(key: bytes, body: bytearray | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(body, seed=xxhash.xxh3_64_intdigest(key))


def _after(prefix: bytes) -> bytes:
    """The least key that is greater than all that begin with `prefix` (not all bytes 255)."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


def _is_damage(error: Exception) -> bool:
    """Whether it is the database that is wrong, and not the disk or another process that writes.

    SQLite's own word for it is the bare DatabaseError; diskcache stumbles over its own tables.
    """
    return type(error) in {sqlite3.DatabaseError, TypeError, ValueError}


class _PlainDisk(diskcache.Disk):  # type: ignore[misc]
    """Bytes in, bytes out, and all of it in the database: diskcache's own would pickle, unpickle
    what a row says is a pickle, and open or delete the file that a row names."""

    def put(self, key: bytes) -> tuple[memoryview, bool]:
        """The key as the database holds it."""
        return memoryview(key), True

    def get(self, key: object, raw: object) -> bytes:
        """The key of a row."""
        return key if raw and isinstance(key, bytes) else b""

    def store(
        self, value: bytes, read: bool, key: object = None
    ) -> tuple[int, int, None, memoryview]:
        """The columns size, mode, filename and value."""
        return 0, _RAW_MODE, None, memoryview(value)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:
        """The value of a row; of a row that is not ours, bytes that do not unpack."""
        ours = mode == _RAW_MODE and filename is None
        return value if ours and isinstance(value, bytes) else b""

    def remove(self, file_path: str) -> None:
        """There are no files of ours: whatever a row names stays."""


class Catalog:
    """An open catalog in the directory `catalog` of a cache directory, which must exist.

    At most `size_limit_bytes` are used (those stored first go first), and nothing is written while
    the disk has less than `min_free_bytes`. Raises CatalogError.
    """

    def __init__(
        self,
        cache_directory: str,
        *,
        size_limit_bytes: int = SIZE_LIMIT_BYTES,
        min_free_bytes: int = 0,
    ) -> None:
        self._directory = os.path.abspath(os.path.join(cache_directory, "catalog"))
        self._size_limit = size_limit_bytes
        self._min_free = min_free_bytes
        self._rows: sqlite3.Connection | None = None
        if os.path.expandvars(self._directory) != self._directory:
            raise CatalogError(f"{self._directory}: a path with $ in it cannot hold a catalog")
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            self._lock_fd = os.open(
                self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise CatalogError(f"{self._directory} cannot be used ({error.strerror})") from error
        try:
            self._cache = self._open()
        except BaseException:
            os.close(self._lock_fd)
            raise

    def get(self, key: bytes) -> CatalogRecord | None:
        """Return the record of a key, or None."""
        with self._errors():
            value = self._cache.get(key)
            return CatalogRecord(key, value) if isinstance(value, bytes) else None

    def put(self, record: CatalogRecord, *, ttl_s: float | None) -> None:
        """Store a record, for `ttl_s` seconds (None: until it has to make room).

        A record that is a large part of the catalog, or has no room on the disk, is not stored.
        """
        with self._errors():
            disk, size = os.statvfs(self._directory), len(record.packed)
            too_large = size > self._size_limit // 4
            if too_large or disk.f_bavail * disk.f_frsize - size < self._min_free:
                self._cache.delete(record.key)
            else:
                self._cache.set(record.key, record.packed, expire=ttl_s)

    def remove_below(self, prefix: bytes, *, limit: int) -> int:
        """Remove up to `limit` keys that begin with `prefix`; return how many those were."""
        with self._errors():
            # diskcache removes one key or all of a tag: a range needs its table.
            removed = self._connection().execute(
                "DELETE FROM Cache WHERE rowid IN"
                " (SELECT rowid FROM Cache WHERE key >= ? AND key < ? LIMIT ?)",
                (prefix, _after(prefix), limit),
            )
            return removed.rowcount

    def remove(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        with self._errors():
            self._cache.delete(key)

    def close(self) -> None:
        """Close the database."""
        with contextlib.suppress(sqlite3.Error):
            if self._rows is not None:
                self._rows.close()
            self._cache.close()
        os.close(self._lock_fd)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _open(self) -> Any:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_SH)
            if os.path.exists(self._path("damaged")):
                self._start_anew("an earlier mount found it damaged")
            try:
                return self._open_database()
            except (sqlite3.Error, TypeError, ValueError) as error:
                if not _is_damage(error):
                    raise
                self._start_anew(str(error))
                return self._open_database()
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            raise CatalogError(f"{self._directory} cannot be used ({error})") from error

    def _open_database(self) -> Any:
        # SQLite gives -wal and -shm the mode of the database.
        os.close(os.open(self._path("cache.db"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return diskcache.Cache(
            self._directory,
            timeout=_BUSY_S,
            disk=_PlainDisk,
            size_limit=self._size_limit,
            **_SETTINGS,
        )

    def _start_anew(self, reason: str) -> None:
        """Delete the database, if no other mount uses it."""
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CatalogError(
                f"{self._directory} is damaged ({reason}) and in use by another mount"
            ) from None
        log.warning(
            "the catalog in %s is damaged (%s): a new one is begun", self._directory, reason
        )
        for name in ("cache.db-wal", "cache.db-shm", "cache.db", "damaged"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(name))
        fcntl.flock(self._lock_fd, fcntl.LOCK_SH)

    def _connection(self) -> sqlite3.Connection:
        if self._rows is None:
            self._rows = sqlite3.connect(
                self._path("cache.db"), timeout=_BUSY_S, isolation_level=None
            )
            self._rows.execute("PRAGMA synchronous = NORMAL")
        return self._rows

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except diskcache.Timeout as error:
            raise CatalogError("the database is busy") from error
        except OSError as error:
            raise CatalogError(str(error)) from error
        except (sqlite3.Error, TypeError, ValueError) as error:
            if _is_damage(error):
                self._note_damage()
            raise CatalogError(str(error)) from error

    def _note_damage(self) -> None:
        """Leave word for the next mount, which may be the only one."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            os.close(os.open(self._path("damaged"), flags, 0o600))
