"""Queries over a whole cache directory: counters, access records, eviction candidates, usage.

Blocking and thread-safe: worker threads only.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cloudfs_cache.api import DiskUsage, KeyRange, ObjectVersion
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.rows import (
    ExtentRow,
    IndexTotals,
    object_id_of,
    put_extent,
    range_condition,
    totals_of,
)
from cloudfs_cache.eviction.policy import AccessRecord, Candidate

_GHOSTS_MIN: Final = 16_384
_GHOSTS_PER_RESIDENT: Final = 4
_PRUNED_AT_ONCE: Final = 4096
_PRUNE_STRIDE: Final = 32
_SAMPLE_STRIDE: Final = 8
# A reader of the index keeps all others from changing it: never for longer than some 10 ms.
_USAGE_OBJECTS: Final = 10_000


class IndexQueries:
    """Questions about all extents of one cache directory."""

    def __init__(self, database: IndexDatabase) -> None:
        self._database = database

    def totals(self) -> IndexTotals:
        """Return the counters."""
        with self._database.look() as look:
            return totals_of(look)

    def sample(
        self, count: int, random_id: Callable[[int, int], int]
    ) -> list[Candidate[ExtentRow]]:
        """Return about `count` resident extents that may be evicted, drawn at random.

        Short stretches at random places: `random_id(low, high)` draws a row number. All of them
        when there are not more.
        """
        found: dict[int, Candidate[ExtentRow]] = {}
        with self._database.look() as look:
            low, high = _ends(look, "bytes > 0")
            if high < low:
                return []
            few = totals_of(look).residents <= count
            # The first extents, too, are in as many stretches as all others.
            first = low - _SAMPLE_STRIDE + 1
            starts = [low] if few else [random_id(first, high) for _ in range(count // 4)]
            limit = count if few else _SAMPLE_STRIDE
            for start in starts:
                for candidate in _candidates(look, start, limit):
                    found[candidate.key.extent_id] = candidate
                if len(found) >= count:
                    break
            if not found:
                # The stretches held pinned ones only.
                found = {c.key.extent_id: c for c in _candidates(look, low, count)}
        return list(found.values())

    def note_accesses(
        self,
        accesses: Sequence[tuple[ObjectVersion, bytes, int, AccessRecord]],
        clock_bytes: int,
        policy: str | None,
    ) -> tuple[IndexTotals, list[AccessRecord]]:
        """Store access records, move the clock on by `clock_bytes`, and return the counters.

        Returned too: the records of ghosts that are forgotten, which the policy must hear of.
        """
        with self._database.change() as change:
            change.execute(
                "UPDATE state SET value = value + ? WHERE name = 'clock'", (clock_bytes,)
            )
            if policy is not None:
                change.execute("UPDATE state SET value = ? WHERE name = 'policy'", (policy,))
            for version, digest, number, record in accesses:
                object_id = object_id_of(change, version, digest, pinned=False)
                put_extent(change, object_id, number, 0, record)
            forgotten = _prune_ghosts(change, len(accesses))
            return totals_of(change), forgotten

    def in_use_since(self) -> str:
        """The boot of the machine in which the index is or was in use; '' after an orderly end."""
        with self._database.look() as look:
            (boot_id,) = look.execute("SELECT value FROM state WHERE name = 'boot'").fetchone()
            return str(boot_id)

    def begin(self, boot_id: str) -> None:
        """Note that the index is in use."""
        with self._database.change() as change:
            change.execute("UPDATE state SET value = ? WHERE name = 'boot'", (boot_id,))

    def end(self) -> None:
        """Record an orderly end: no mount uses the index any more."""
        with self._database.change() as change:
            change.execute("UPDATE state SET value = '' WHERE name = 'boot'")

    def extent_ids_of(self, store_id: str, keys: KeyRange) -> list[int]:
        """The rows of the resident extents of a key range that are not pinned."""
        condition, arguments = range_condition(keys)
        with self._database.look() as look:
            rows = look.execute(
                "SELECT e.id FROM objects o JOIN stores s ON s.id = o.store "
                "JOIN extents e ON e.object = o.id "
                f"WHERE s.url = ? AND ({condition}) AND e.bytes > 0 AND NOT o.pinned",
                (store_id, *arguments),
            ).fetchall()
        return [row[0] for row in rows]

    def extents(self, ids: Sequence[int]) -> list[ExtentRow]:
        """The extents of these rows that are still resident."""
        with self._database.look() as look:
            rows = look.execute(
                "SELECT e.id, e.object, o.digest, e.number, e.bytes, e.recoded FROM extents e "
                "JOIN objects o ON o.id = e.object "
                f"WHERE e.id IN ({','.join('?' * len(ids))}) AND e.bytes > 0",
                tuple(ids),
            ).fetchall()
        return [
            ExtentRow(extent_id, object_id, digest, number, size, bool(recompressed))
            for extent_id, object_id, digest, number, size, recompressed in rows
        ]

    def usage(self, directory: str) -> list[DiskUsage]:
        """What the directory holds, by store. Seconds when it is large, but not at a stretch."""
        checksums: dict[str, list[int]] = {}
        after: int | None = 0
        while after is not None:
            after, rows = self._usage_after(after)
            for url, *counts in rows:
                before = checksums.setdefault(url, [0] * len(counts))
                checksums[url] = [a + b for a, b in zip(before, counts, strict=True)]
        return [DiskUsage(directory, url, *checksums[url]) for url in sorted(checksums)]

    def count_blocks(self, store_id: str) -> int:
        """How many blocks of a store there are."""
        return sum(usage.blocks for usage in self.usage("") if usage.store_id == store_id)

    def objects_after(
        self, store_id: str, object_id: int, limit: int
    ) -> list[tuple[int, ObjectVersion, bytes]]:
        """The next `limit` versions of a store in the order of their rows: row, version, digest."""
        with self._database.look() as look:
            rows = look.execute(
                "SELECT o.id, o.key, o.etag, o.size, o.digest FROM objects o "
                # The "+" keeps SQLite from sorting all objects of the store for each page.
                "WHERE o.id > ? AND +o.store = (SELECT id FROM stores WHERE url = ?) "
                "AND EXISTS (SELECT 1 FROM blocks WHERE object = o.id) ORDER BY o.id LIMIT ?",
                (object_id, store_id, limit),
            ).fetchall()
        return [
            (number, ObjectVersion(store_id, _key(key), etag, size), digest)
            for number, key, etag, size, digest in rows
        ]

    def if_unknown(self, digest: bytes, act: Callable[[], None]) -> bool:
        """Run `act` if a version has no blocks and is not being changed; meanwhile it cannot be."""
        with self._database.change() as change:
            known = change.execute(
                "SELECT 1 FROM objects o WHERE digest = ? AND ("
                "EXISTS (SELECT 1 FROM blocks WHERE object = o.id) OR "
                "EXISTS (SELECT 1 FROM intents WHERE object = o.id))",
                (digest,),
            ).fetchone()
            if known is None:
                act()
            return known is None

    def _usage_after(self, object_id: int) -> tuple[int | None, list[tuple[str, int]]]:
        """The sums over the next objects, and the last of these; None when there are no more."""
        with self._database.look() as look:
            (last,) = look.execute(
                "SELECT max(id) FROM (SELECT id FROM objects WHERE id > ? ORDER BY id LIMIT ?)",
                (object_id, _USAGE_OBJECTS),
            ).fetchone()
            if last is None:
                return None, []
            rows = look.execute(
                "SELECT s.url, count(DISTINCT b.object), count(*), sum(b.stored), "
                "sum(iif(o.pinned, b.stored, 0)), sum(iif(b.codec != 0, b.stored, 0)), "
                "sum(iif(b.codec != 0, min(1048576, o.size - b.idx * 1048576) - b.stored, 0)) "
                "FROM objects o JOIN blocks b ON b.object = o.id "
                "JOIN stores s ON s.id = o.store WHERE o.id > ? AND o.id <= ? GROUP BY s.url",
                (object_id, last),
            ).fetchall()
            return last, rows


def _key(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _candidates(look: sqlite3.Connection, start: int, limit: int) -> Iterator[Candidate[ExtentRow]]:
    rows = look.execute(
        "SELECT e.id, e.object, o.digest, e.number, e.bytes, e.recoded, "
        "e.visited_at, e.interval, e.visits, e.grp "
        "FROM extents e INDEXED BY resident JOIN objects o ON o.id = e.object "
        "WHERE e.bytes > 0 AND e.id >= ? AND NOT o.pinned ORDER BY e.id LIMIT ?",
        (start, limit),
    )
    for extent_id, object_id, digest, number, size, recompressed, *access in rows:
        key = ExtentRow(extent_id, object_id, digest, number, size, bool(recompressed))
        yield Candidate(key, size, AccessRecord(*access))


def _prune_ghosts(change: sqlite3.Connection, added: int) -> list[AccessRecord]:
    """Forget some ghosts when there are too many; returns their records.

    At random places: with the oldest first, none would be left when its extent comes round again.
    Not all at once, because everybody waits meanwhile; but more than were `added`.
    """
    counts = dict(
        change.execute("SELECT name, value FROM state WHERE name IN ('residents', 'ghosts')")
    )
    excess = counts["ghosts"] - max(_GHOSTS_MIN, _GHOSTS_PER_RESIDENT * counts["residents"])
    excess = min(excess, max(_PRUNED_AT_ONCE, 2 * added))
    rows: list[tuple[int, int, int, int, int]] = []
    while len(rows) < excess:
        low, high = _ends(change, "bytes = 0")
        start = random.randint(low - _PRUNE_STRIDE + 1, high)
        rows += change.execute(
            "DELETE FROM extents WHERE id IN "
            "(SELECT id FROM extents WHERE bytes = 0 AND id >= ? ORDER BY id LIMIT ?) "
            "RETURNING object, visited_at, interval, visits, grp",
            (start, min(_PRUNE_STRIDE, excess - len(rows))),
        ).fetchall()
    change.executemany(
        "DELETE FROM objects WHERE id = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM extents WHERE object = ?1) "
        "AND NOT EXISTS (SELECT 1 FROM intents WHERE object = ?1)",
        [(object_id,) for object_id, *_ in rows],
    )
    return [AccessRecord(*record) for _, *record in rows]


def _ends(look: sqlite3.Connection, condition: str) -> tuple[int, int]:
    """The first and last row of extents with this condition, which has an index; 0 and -1 if there
    are none. Two queries, because SQLite reads all rows for one with both."""
    low, high = look.execute(
        f"SELECT (SELECT min(id) FROM extents WHERE {condition}), "
        f"(SELECT max(id) FROM extents WHERE {condition})"
    ).fetchone()
    return (0, -1) if low is None else (low, high)
