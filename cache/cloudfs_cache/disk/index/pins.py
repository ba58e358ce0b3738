"""Pins: keys whose blocks are never evicted to make room, of this version and of later ones.

Kept in the index, so they hold for all mounts of the directory and across restarts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from cloudfs_cache.api import KeyRange, key_bytes
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.rows import pins_of, range_condition, store_id_of


class Pins:
    """The pins of one cache directory. Blocking and thread-safe."""

    def __init__(self, database: IndexDatabase) -> None:
        self._database = database

    def add(self, store_id: str, ranges: Iterable[KeyRange]) -> None:
        """Keep these keys, now and later."""
        with self._database.change() as change:
            store = store_id_of(change, store_id)
            for keys in ranges:
                change.execute(
                    "INSERT OR IGNORE INTO pins VALUES (?, ?, ?)",
                    (store, key_bytes(keys.key), keys.subtree),
                )
                _mark_pinned(change, store, keys, pinned=True)

    def remove(self, store_id: str, ranges: Iterable[KeyRange]) -> None:
        """Undo pins of these keys and of everything in them."""
        with self._database.change() as change:
            store = store_id_of(change, store_id)
            for keys in ranges:
                for pin in pins_of(change, store):
                    if pin.key in keys or pin == keys:
                        change.execute(
                            "DELETE FROM pins WHERE store = ? AND key = ? AND subtree = ?",
                            (store, key_bytes(pin.key), pin.subtree),
                        )
                _mark_pinned(change, store, keys, pinned=False)
            for pin in pins_of(change, store):
                _mark_pinned(change, store, pin, pinned=True)

    def of_store(self, store_id: str) -> list[KeyRange]:
        """The pins of a store."""
        with self._database.look() as look:
            row = look.execute("SELECT id FROM stores WHERE url = ?", (store_id,)).fetchone()
            return [] if row is None else pins_of(look, row[0])


def _mark_pinned(change: sqlite3.Connection, store: int, keys: KeyRange, *, pinned: bool) -> None:
    condition, arguments = range_condition(keys)
    change.execute(
        f"UPDATE objects SET pinned = ? WHERE store = ? AND ({condition})",
        (pinned, store, *arguments),
    )
