"""The SQLite database of a cache directory: tables, triggers and the connection.

SQLite with a rollback journal: transactions are serialised across the mounts of the directory, and
a crash of any of them undoes what it had not committed. Two settings need a reason:

- No write-ahead log: its shared memory is a mapped file, and when a disk dies the kernel answers a
  touch of it with SIGBUS, which would end the mount.
- Nothing is synced: a commit takes 60 us instead of 600. After a power loss the index may be
  damaged; it is checked then (`is_sound`), and deleted if need be. The checksums detect
  whatever else it says wrongly.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from typing import Final

LOCK_WAIT_S: Final = 2.0
"""Others hold the lock for a millisecond; for longer only while their disk, and so ours, stalls."""

SCHEMA: Final = """
CREATE TABLE stores (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE);

-- One row per object version; `digest` names its data files. Keys are the store's bytes.
-- AUTOINCREMENT: a mount may remember the row of an object that is gone.
CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    store INTEGER NOT NULL REFERENCES stores,
    key BLOB NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    pinned INTEGER NOT NULL
);
CREATE INDEX object_by_key ON objects (store, key);

-- What is evicted at once: 64 adjacent blocks, or a small object. With `bytes` 0 it is a ghost:
-- only the memory of its visits is left. `recoded` says that lz4 was tried on it.
CREATE TABLE extents (
    id INTEGER PRIMARY KEY,
    object INTEGER NOT NULL REFERENCES objects,
    number INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    visited_at INTEGER NOT NULL,
    interval INTEGER NOT NULL,
    visits INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    recoded INTEGER NOT NULL DEFAULT 0,
    UNIQUE (object, number)
);
CREATE INDEX resident ON extents (id) WHERE bytes > 0;
CREATE INDEX ghost ON extents (id) WHERE bytes = 0;

CREATE TABLE blocks (
    object INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    sums BLOB NOT NULL,
    PRIMARY KEY (object, idx)
) WITHOUT ROWID;

-- Blocks [first, first + count) whose files are being changed by a mount, and what that may occupy.
CREATE TABLE intents (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    object INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE TABLE pins (
    store INTEGER NOT NULL,
    key BLOB NOT NULL,
    subtree INTEGER NOT NULL,
    PRIMARY KEY (store, key, subtree)
) WITHOUT ROWID;

-- used: bytes of all extents. residents, ghosts: how many extents of each kind. clock: bytes that
-- readers were given. policy: JSON of what the eviction policy has learnt. boot: the boot of the
-- machine in which the index was last opened, '' after an orderly end.
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO state VALUES ('used', 0), ('residents', 0), ('ghosts', 0), ('clock', 0), ('policy', ''),
    ('boot', '');

CREATE TRIGGER extent_added AFTER INSERT ON extents BEGIN
    UPDATE state SET value = value + NEW.bytes WHERE name = 'used';
    UPDATE state SET value = value + 1 WHERE name = iif(NEW.bytes > 0, 'residents', 'ghosts');
END;
CREATE TRIGGER extent_changed AFTER UPDATE OF bytes ON extents BEGIN
    UPDATE state SET value = value + NEW.bytes - OLD.bytes WHERE name = 'used';
    UPDATE state SET value = value - 1 WHERE name = iif(OLD.bytes > 0, 'residents', 'ghosts');
    UPDATE state SET value = value + 1 WHERE name = iif(NEW.bytes > 0, 'residents', 'ghosts');
END;
CREATE TRIGGER extent_removed AFTER DELETE ON extents BEGIN
    UPDATE state SET value = value - OLD.bytes WHERE name = 'used';
    UPDATE state SET value = value - 1 WHERE name = iif(OLD.bytes > 0, 'residents', 'ghosts');
END;
"""
_VERSION: Final = 1


class IndexDatabase:
    """The connection of one mount. Blocking and thread-safe: one thread at a time is inside.

    Everything raises sqlite3.Error, which callers treat like an error of the disk.
    """

    def __init__(self, path: str) -> None:
        self._connection = _connect(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connection; no other thread may be inside."""
        self._connection.close()

    @contextlib.contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one moment of the index."""
        with self._inside("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction: all or nothing, one mount at a time."""
        with self._inside("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def _inside(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                # After some errors SQLite has ended the transaction itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def is_sound(self) -> bool:
        """Whether the tables hang together. Reads all of them: a second for a million blocks."""
        with self._lock:
            (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            return bool(answer == "ok")

    def recount(self) -> None:
        """Make the counters agree with the rows."""
        with self.change() as change:
            change.execute(
                "UPDATE state SET value = (SELECT coalesce(sum(bytes), 0) FROM extents) "
                "WHERE name = 'used'"
            )
            for name, condition in (("residents", "bytes > 0"), ("ghosts", "bytes = 0")):
                change.execute(
                    f"UPDATE state SET value = (SELECT count(*) FROM extents WHERE {condition}) "
                    "WHERE name = ?",
                    (name,),
                )


def _connect(path: str) -> sqlite3.Connection:
    """Open the index, creating it when it is new. Raises sqlite3.Error when it cannot be used."""
    if not os.path.exists(path):
        # Made here for its mode: SQLite gives its other files the mode of this one.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-8192")
        _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    if _version(connection) == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) != _VERSION:
            for statement in _statements(SCHEMA):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(script: str) -> list[str]:
    """The statements of a script one by one: executescript would end the transaction."""
    statements: list[str] = []
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
