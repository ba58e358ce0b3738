"""The block index of a cache directory: what is there, shared by all mounts of the directory.

Every change of the data files is framed by an intent: a row that says which blocks a mount is about
to touch and how much they may occupy. While it stands no other mount touches them; when its owner
dies the files are brought in line with the rows (`Intent` tells which). So the rows never promise
what was not written, and nothing on the disk goes uncounted.

Blocking and thread-safe: worker threads only. Raises sqlite3.Error, which the caller treats like an
error of the disk. It touches no data file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudfs_cache.api import ObjectVersion
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, BlockRecord
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.rows import (
    WHOLE_OBJECT,
    ExtentRow,
    IndexTotals,
    Intent,
    ReserveRefusal,
    allocated,
    end_intents,
    object_id_of,
    overlaps,
    put_extent,
    totals_of,
)
from cloudfs_cache.eviction.policy import AccessRecord


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """What the index knows of a version."""

    object_id: int
    pinned: bool
    records: dict[int, BlockRecord]
    accesses: dict[int, AccessRecord]


@dataclass(frozen=True, slots=True)
class TakenExtent:
    """An extent whose rows are gone, and the intent under which its files are cleared."""

    row: ExtentRow
    intent: Intent
    freed_bytes: int


class DiskIndex:
    """The blocks of one cache directory; `owner` is this mount's number."""

    def __init__(self, database: IndexDatabase, owner: int) -> None:
        self._database = database
        self._owner = owner

    def load(self, digest: bytes) -> LoadedObject | None:
        """Return what is known of a version, None when it is nothing."""
        with self._database.look() as look:
            found = look.execute(
                "SELECT id, pinned FROM objects WHERE digest = ?", (digest,)
            ).fetchone()
            if found is None:
                return None
            blocks = look.execute(
                "SELECT idx, stored, codec, sums FROM blocks WHERE object = ?", (found[0],)
            )
            records = {
                index: BlockRecord(stored, _codec(codec), checksums)
                for index, stored, codec, checksums in blocks
            }
            extents = look.execute(
                "SELECT number, visited_at, interval, visits, grp FROM extents WHERE object = ?",
                (found[0],),
            )
            accesses = {number: AccessRecord(*access) for number, *access in extents}
            return LoadedObject(found[0], bool(found[1]), records, accesses)

    def record(self, object_id: int, index: int) -> tuple[BlockRecord | None, bool]:
        """Return what the index says of a block now, and whether a mount is changing it."""
        with self._database.look() as look:
            row = look.execute(
                "SELECT stored, codec, sums FROM blocks WHERE object = ? AND idx = ?",
                (object_id, index),
            ).fetchone()
            busy = overlaps(look, object_id, index, 1)
            return (None if row is None else BlockRecord(row[0], _codec(row[1]), row[2])), busy

    def local_blocks(self, digests: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return the indices of the blocks present, for those versions that have any."""
        marks = ",".join("?" * len(digests))
        found: dict[bytes, list[int]] = {}
        with self._database.look() as look:
            rows = look.execute(
                "SELECT o.digest, b.idx FROM objects o JOIN blocks b ON b.object = o.id "
                f"WHERE o.digest IN ({marks})",
                tuple(digests),
            )
            for digest, index in rows:
                found.setdefault(digest, []).append(index)
        return found

    def present(self, intent: Intent) -> dict[int, Codec]:
        """The blocks of an intent that the rows say are there, for the end of the intent."""
        with self._database.look() as look:
            rows = look.execute(
                "SELECT idx, codec FROM blocks WHERE object = ? AND idx >= ? AND idx < ?",
                (intent.object_id, intent.first, intent.first + intent.count),
            )
            return {index: _codec(codec) for index, codec in rows}

    def intents_of(self, owner: int) -> list[Intent]:
        """What an owner had announced and not ended."""
        with self._database.look() as look:
            rows = look.execute(
                "SELECT i.id, i.object, o.digest, i.first, i.count FROM intents i "
                "JOIN objects o ON o.id = i.object WHERE i.owner = ?",
                (owner,),
            )
            return [Intent(*row) for row in rows]

    def reserve(
        self,
        version: ObjectVersion,
        digest: bytes,
        blocks: range,
        size_bytes: int,
        *,
        pinned: bool,
        fits: Callable[[IndexTotals], bool],
    ) -> Intent | ReserveRefusal:
        """Announce a write of adjacent blocks that takes up to `size_bytes`.

        `fits` says whether they have room beside what is used and announced.
        """
        with self._database.change() as change:
            known = change.execute("SELECT id FROM objects WHERE digest = ?", (digest,)).fetchone()
            if known is not None and overlaps(change, known[0], blocks.start, len(blocks)):
                return ReserveRefusal.BUSY
            if not fits(totals_of(change)):
                return ReserveRefusal.FULL
            object_id = object_id_of(change, version, digest, pinned=pinned)
            return self._announce(change, object_id, digest, blocks, size_bytes)

    def reserve_recompression(
        self, extent: ExtentRow, blocks: range, size_bytes: int, fits: Callable[[IndexTotals], bool]
    ) -> Intent | ReserveRefusal:
        """Announce that blocks of an extent will be stored in another codec."""
        with self._database.change() as change:
            if overlaps(change, extent.object_id, blocks.start, len(blocks)):
                return ReserveRefusal.BUSY
            if not _has_blocks(change, extent.object_id):
                # Evicted meanwhile.
                return ReserveRefusal.BUSY
            if not fits(totals_of(change)):
                return ReserveRefusal.FULL
            return self._announce(change, extent.object_id, extent.digest, blocks, size_bytes)

    def mark_recompressed(self, extent: ExtentRow) -> None:
        """Remember that lz4 was tried on an extent."""
        with self._database.change() as change:
            change.execute(
                "UPDATE extents SET recoded = 1 WHERE object = ? AND number = ?",
                (extent.object_id, extent.number),
            )

    def commit(
        self,
        intent: Intent,
        records: Mapping[int, BlockRecord],
        accesses: Mapping[int, AccessRecord],
    ) -> bool:
        """Record blocks that are on the disk now; `accesses` has a record per extent.

        True when nothing else is to be done and the intent is over. False when bytes in another
        codec are to be cleared away: the caller does, then calls `settle`.
        """
        with self._database.change() as change:
            replaced = self._put_blocks(change, intent.object_id, records, accesses)
            if not replaced:
                end_intents(change, [intent])
        return not replaced

    def settle(self, intents: Iterable[Intent]) -> None:
        """The files agree with the rows: the intents are over."""
        with self._database.change() as change:
            end_intents(change, intents)

    def take(self, extents: Sequence[ExtentRow]) -> list[TakenExtent]:
        """Forget the blocks of extents, less those that a mount is changing or that are pinned.

        The caller clears their files and ends the intents.
        """
        with self._database.change() as change:
            taken = [self._take(change, extent) for extent in extents]
        return [extent for extent in taken if extent is not None]

    def claim(
        self, object_id: int, digest: bytes, index: int, record: BlockRecord
    ) -> Intent | None:
        """Keep everybody else from a block; None when it is not stored like that or in use."""
        with self._database.change() as change:
            row = change.execute(
                "SELECT stored, codec, sums FROM blocks WHERE object = ? AND idx = ?",
                (object_id, index),
            ).fetchone()
            if row != (record.stored, record.codec, record.checksums):
                return None
            if overlaps(change, object_id, index, 1):
                return None
            return self._announce(change, object_id, digest, range(index, index + 1), 0)

    def drop(self, intent: Intent) -> None:
        """Forget the blocks of an intent, for instance wrong ones. The caller clears their files
        and ends the intent."""
        with self._database.change() as change:
            rows = change.execute(
                "DELETE FROM blocks WHERE object = ? AND idx >= ? AND idx < ? "
                "RETURNING idx, stored",
                (intent.object_id, intent.first, intent.first + intent.count),
            ).fetchall()
            for index, stored in rows:
                size = allocated(stored)
                change.execute(
                    "UPDATE extents SET bytes = bytes - ? WHERE object = ? AND number = ?",
                    (size, intent.object_id, index // EXTENT_BLOCKS),
                )
                change.execute(
                    "UPDATE intents SET bytes = bytes + ? WHERE id = ?", (size, intent.intent_id)
                )

    def widen(self, intent: Intent) -> bool:
        """Extend an intent to the whole object if nothing of it is left and no other mount changes
        it: then its files can be removed."""
        with self._database.change() as change:
            (others,) = change.execute(
                "SELECT count(*) FROM intents WHERE object = ? AND id != ?",
                (intent.object_id, intent.intent_id),
            ).fetchone()
            if others or _has_blocks(change, intent.object_id):
                return False
            change.execute(
                "UPDATE intents SET first = 0, count = ? WHERE id = ?",
                (WHOLE_OBJECT, intent.intent_id),
            )
        return True

    def _announce(
        self,
        change: sqlite3.Connection,
        object_id: int,
        digest: bytes,
        blocks: range,
        size_bytes: int,
    ) -> Intent:
        added = change.execute(
            "INSERT INTO intents (owner, object, first, count, bytes) VALUES (?,?,?,?,?)",
            (self._owner, object_id, blocks.start, len(blocks), size_bytes),
        )
        assert added.lastrowid is not None
        return Intent(added.lastrowid, object_id, digest, blocks.start, len(blocks))

    def _put_blocks(
        self,
        change: sqlite3.Connection,
        object_id: int,
        records: Mapping[int, BlockRecord],
        accesses: Mapping[int, AccessRecord],
    ) -> bool:
        """Write the rows; True when a block was there in another codec."""
        replaced = False
        grown = dict.fromkeys({index // EXTENT_BLOCKS for index in records}, 0)
        for index, record in records.items():
            before = change.execute(
                "SELECT stored, codec FROM blocks WHERE object = ? AND idx = ?", (object_id, index)
            ).fetchone()
            if before is not None:
                grown[index // EXTENT_BLOCKS] -= allocated(before[0])
                replaced = replaced or (before[1] == Codec.RAW) != (record.codec is Codec.RAW)
            grown[index // EXTENT_BLOCKS] += allocated(record.stored)
            change.execute(
                "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)",
                (object_id, index, record.stored, int(record.codec), record.checksums),
            )
        for number, size in grown.items():
            put_extent(change, object_id, number, size, accesses[number])
        return replaced

    def _take(self, change: sqlite3.Connection, extent: ExtentRow) -> TakenExtent | None:
        first = extent.number * EXTENT_BLOCKS
        object_id = extent.object_id
        row = change.execute(
            "SELECT e.bytes, o.pinned FROM extents e JOIN objects o ON o.id = e.object "
            "WHERE e.object = ? AND e.number = ? AND e.bytes > 0",
            (object_id, extent.number),
        ).fetchone()
        if row is None or row[1] or overlaps(change, object_id, first, EXTENT_BLOCKS):
            return None
        change.execute(
            "DELETE FROM blocks WHERE object = ? AND idx >= ? AND idx < ?",
            (object_id, first, first + EXTENT_BLOCKS),
        )
        change.execute(
            "UPDATE extents SET bytes = 0, recoded = 0 WHERE object = ? AND number = ?",
            (object_id, extent.number),
        )
        blocks = range(first, first + EXTENT_BLOCKS)
        if not _has_blocks(change, object_id) and not overlaps(change, object_id, 0, WHOLE_OBJECT):
            # Nothing is left: the files are removed, so no mount may write into them meanwhile.
            blocks = range(WHOLE_OBJECT)
        intent = self._announce(change, object_id, extent.digest, blocks, row[0])
        return TakenExtent(extent, intent, row[0])


def _has_blocks(change: sqlite3.Connection, object_id: int) -> bool:
    row = change.execute("SELECT 1 FROM blocks WHERE object = ? LIMIT 1", (object_id,)).fetchone()
    return row is not None


def _codec(number: int) -> Codec:
    try:
        return Codec(number)
    except ValueError:
        raise sqlite3.DatabaseError(f"unknown codec {number}") from None
