"""Index rows as values, and the statements that several parts of the index share.

The functions take an open connection inside a transaction; they know nothing of locks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cloudfs_cache.api import KeyRange, ObjectVersion, key_bytes
from cloudfs_cache.eviction.policy import AccessRecord

ALIGN_BYTES: Final = 4096
WHOLE_OBJECT: Final = 1 << 40
"""More blocks than an object can have."""


def allocated(stored: int) -> int:
    """The bytes that `stored` bytes occupy on the disk: rounded up to what O_DIRECT accepts."""
    return -(-stored // ALIGN_BYTES) * ALIGN_BYTES


@dataclass(frozen=True, slots=True)
class Intent:
    """Leave to change the files of blocks [first, first + count) of an object."""

    intent_id: int
    object_id: int
    digest: bytes
    first: int
    count: int

    @property
    def whole_object(self) -> bool:
        """All blocks there could be: nothing of the object is left."""
        return self.count == WHOLE_OBJECT


class ReserveRefusal(Enum):
    """Why there is no intent: another mount changes these blocks, or there is no room."""

    BUSY = "busy"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class ExtentRow:
    """A resident extent: the key of an eviction candidate."""

    extent_id: int
    object_id: int
    digest: bytes
    number: int
    size: int
    recompressed: bool


@dataclass(frozen=True, slots=True)
class IndexTotals:
    """Bytes of all extents and intents, of the intents alone, residents, the clock, and what the
    policy has learnt."""

    used_bytes: int
    announced_bytes: int
    residents: int
    clock: int
    policy: str


def object_id_of(
    change: sqlite3.Connection, version: ObjectVersion, digest: bytes, *, pinned: bool
) -> int:
    """The row of a version, made when it is new; pinned when a pin says so."""
    row = change.execute("SELECT id, pinned FROM objects WHERE digest = ?", (digest,)).fetchone()
    if row is not None:
        if pinned and not row[1]:
            change.execute("UPDATE objects SET pinned = 1 WHERE id = ?", (row[0],))
        return int(row[0])
    store = store_id_of(change, version.store_id)
    pinned = pinned or any(version.key in pin for pin in pins_of(change, store))
    added = change.execute(
        "INSERT INTO objects (digest, store, key, etag, size, pinned) VALUES (?,?,?,?,?,?)",
        (digest, store, key_bytes(version.key), version.etag, version.size, pinned),
    )
    assert added.lastrowid is not None
    return added.lastrowid


def overlaps(look: sqlite3.Connection, object_id: int, first: int, count: int) -> bool:
    """Return whether a mount is changing any of these blocks."""
    row = look.execute(
        "SELECT 1 FROM intents WHERE object = ? AND first < ? AND first + count > ? LIMIT 1",
        (object_id, first + count, first),
    ).fetchone()
    return row is not None


def end_intents(change: sqlite3.Connection, intents: Iterable[Intent]) -> None:
    """Delete intents."""
    change.executemany("DELETE FROM intents WHERE id = ?", [(i.intent_id,) for i in intents])


def totals_of(look: sqlite3.Connection) -> IndexTotals:
    """The counters."""
    state = dict(look.execute("SELECT name, value FROM state").fetchall())
    (announced,) = look.execute("SELECT coalesce(sum(bytes), 0) FROM intents").fetchone()
    used = state["used"] + announced
    return IndexTotals(used, announced, state["residents"], state["clock"], state["policy"])


def put_extent(
    change: sqlite3.Connection, object_id: int, number: int, grown: int, record: AccessRecord
) -> None:
    """Add bytes to an extent, making it when it is new; the later access counts."""
    change.execute(
        "INSERT INTO extents (object, number, bytes, visited_at, interval, visits, grp) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (object, number) DO UPDATE SET "
        "bytes = bytes + excluded.bytes, visited_at = max(visited_at, excluded.visited_at), "
        "interval = iif(excluded.visited_at >= visited_at, excluded.interval, interval), "
        "visits = max(visits, excluded.visits), grp = excluded.grp",
        (
            object_id,
            number,
            grown,
            record.accessed_at,
            record.interval,
            record.accesses,
            record.group,
        ),
    )


def store_id_of(change: sqlite3.Connection, url: str) -> int:
    """The row of a store, made when it is new."""
    row = change.execute("SELECT id FROM stores WHERE url = ?", (url,)).fetchone()
    if row is not None:
        return int(row[0])
    added = change.execute("INSERT INTO stores (url) VALUES (?)", (url,))
    assert added.lastrowid is not None
    return added.lastrowid


def pins_of(look: sqlite3.Connection, store: int) -> list[KeyRange]:
    """The pins of a store."""
    rows = look.execute("SELECT key, subtree FROM pins WHERE store = ?", (store,))
    return [KeyRange(key.decode("utf-8", "surrogateescape"), bool(tree)) for key, tree in rows]


def range_condition(keys: KeyRange) -> tuple[str, tuple[bytes, ...]]:
    """SQL that selects the objects of a key range by the index on (store, key)."""
    key = key_bytes(keys.key)
    if not keys.subtree:
        return "key = ?", (key,)
    if not key:
        return "1", ()
    # "0" follows "/" in the order of bytes.
    return "key = ? OR (key >= ? AND key < ?)", (key, key + b"/", key + b"0")
