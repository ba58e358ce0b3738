"""The index of a cache directory: it says what it was told, and nothing goes uncounted."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, BlockRecord
from cloudfs_cache.disk.index.blocks import DiskIndex
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.queries import IndexQueries
from cloudfs_cache.disk.index.rows import ExtentRow, Intent, ReserveRefusal, allocated
from cloudfs_cache.eviction.policy import AccessRecord
from tests.support.tiers import audit, version

VISIT = AccessRecord(5, 0, 1, 9)


class Opened:
    """An index and two owners of it."""

    def __init__(self, directory: Path) -> None:
        self.database = IndexDatabase(str(directory / "index.sqlite"))
        self.queries = IndexQueries(self.database)
        self.one = DiskIndex(self.database, 1)
        self.other = DiskIndex(self.database, 2)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.database.look() as look:
            return look.execute(query).fetchall()


@contextmanager
def opened(directory: Path) -> Iterator[Opened]:
    index = Opened(directory)
    try:
        yield index
    finally:
        index.database.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Opened]:
    with opened(tmp_path) as found:
        yield found


def digest_of(wanted: ObjectVersion) -> bytes:
    return bytes.fromhex(wanted.digest())


def raw(stored: int = BLOCK_BYTES, codec: Codec = Codec.RAW) -> BlockRecord:
    return BlockRecord(stored, codec, bytes(64))


def reserve(
    by: DiskIndex, wanted: ObjectVersion, blocks: range, *, fits: bool = True, pinned: bool = False
) -> Intent | ReserveRefusal:
    size = len(blocks) * BLOCK_BYTES
    return by.reserve(
        wanted, digest_of(wanted), blocks, size, pinned=pinned, fits=lambda _totals: fits
    )


def put(by: DiskIndex, wanted: ObjectVersion, blocks: range, **how: bool) -> Intent:
    intent = reserve(by, wanted, blocks, **how)
    assert isinstance(intent, Intent)
    accesses = dict.fromkeys(range(wanted.block_count // EXTENT_BLOCKS + 1), VISIT)
    assert by.commit(intent, dict.fromkeys(blocks, raw()), accesses)
    return intent


def residents(index: Opened) -> list[ExtentRow]:
    return [c.key for c in index.queries.sample(1000, random.Random(1).randint)]


def test_what_is_committed_is_loaded(index: Opened) -> None:
    wanted = version(blocks=100)
    put(index.one, wanted, range(60, 70))
    loaded = index.other.load(digest_of(wanted))
    assert loaded is not None
    assert loaded.records == dict.fromkeys(range(60, 70), raw())
    assert loaded.accesses == {0: VISIT, 1: VISIT}
    assert index.queries.totals().used_bytes == 10 * BLOCK_BYTES
    assert index.one.local_blocks([digest_of(wanted), b"x" * 16]) == {
        digest_of(wanted): list(range(60, 70))
    }


def test_an_intent_counts_and_keeps_others_away(index: Opened) -> None:
    wanted = version(blocks=20)
    intent = reserve(index.one, wanted, range(4, 8))
    assert isinstance(intent, Intent)
    assert index.queries.totals().used_bytes == 4 * BLOCK_BYTES
    assert index.queries.totals().announced_bytes == 4 * BLOCK_BYTES
    for blocks in (range(4), range(8, 20)):
        assert isinstance(reserve(index.other, wanted, blocks), Intent)
    for blocks in (range(3, 5), range(7, 9), range(5, 6), range(20)):
        assert reserve(index.other, wanted, blocks) is ReserveRefusal.BUSY
        assert reserve(index.one, wanted, blocks) is ReserveRefusal.BUSY
    assert isinstance(reserve(index.other, version("b"), range(4)), Intent)


def test_a_refused_write_leaves_no_trace(index: Opened) -> None:
    assert reserve(index.one, version(), range(2), fits=False) is ReserveRefusal.FULL
    assert index.rows("SELECT * FROM objects") == []
    assert index.rows("SELECT * FROM intents") == []


def test_what_is_asked_for_room_includes_what_is_announced(index: Opened) -> None:
    put(index.one, version("a"), range(2))
    reserve(index.one, version("b"), range(3))
    seen = []
    index.other.reserve(
        version("c"),
        digest_of(version("c")),
        range(1),
        BLOCK_BYTES,
        pinned=False,
        fits=lambda now: bool(seen.append((now.used_bytes, now.announced_bytes))),  # type: ignore[func-returns-value]
    )
    assert seen == [(5 * BLOCK_BYTES, 3 * BLOCK_BYTES)]


def test_taken_extents_are_gone_but_counted_until_they_are_cleared(index: Opened) -> None:
    wanted = version(blocks=70)
    put(index.one, wanted, range(70))
    row = next(row for row in residents(index) if row.number == 0)
    (taken,) = index.other.take([row])
    assert (taken.freed_bytes, taken.intent.whole_object) == (64 * BLOCK_BYTES, False)
    assert index.queries.totals().used_bytes == 70 * BLOCK_BYTES
    assert reserve(index.one, wanted, range(10, 11)) is ReserveRefusal.BUSY
    assert index.other.take([row]) == []
    index.other.settle([taken.intent])
    assert index.queries.totals().used_bytes == 6 * BLOCK_BYTES
    loaded = index.one.load(digest_of(wanted))
    assert loaded is not None
    assert set(loaded.records) == set(range(64, 70))
    assert loaded.accesses == {0: VISIT, 1: VISIT}


def test_the_last_extent_takes_the_whole_object(index: Opened) -> None:
    wanted = version()
    put(index.one, wanted, range(4))
    (taken,) = index.one.take(residents(index))
    assert taken.intent.whole_object
    assert reserve(index.other, wanted, range(3000, 3001)) is ReserveRefusal.BUSY


def test_an_extent_that_is_written_to_is_not_taken(index: Opened) -> None:
    wanted = version(blocks=20)
    put(index.one, wanted, range(4))
    reserve(index.other, wanted, range(10, 12))
    assert index.one.take(residents(index)) == []


def test_a_claimed_block_is_dropped_only_as_it_was(index: Opened) -> None:
    wanted = version()
    intent = put(index.one, wanted, range(4))
    place = (intent.object_id, intent.digest, 2)
    assert index.one.claim(*place, raw(77)) is None
    claimed = index.one.claim(*place, raw())
    assert claimed is not None
    assert index.other.claim(*place, raw()) is None
    index.one.drop(claimed)
    assert index.queries.totals().used_bytes == 4 * BLOCK_BYTES
    assert index.one.present(claimed) == {}
    index.one.settle([claimed])
    assert index.queries.totals().used_bytes == 3 * BLOCK_BYTES
    assert index.one.claim(*place, raw()) is None


def test_intents_are_widened_only_when_nothing_is_left(index: Opened) -> None:
    wanted = version(blocks=20)
    first, second = reserve(index.one, wanted, range(1)), reserve(index.one, wanted, range(1, 2))
    assert isinstance(first, Intent)
    assert isinstance(second, Intent)
    assert not index.one.widen(first)
    index.one.settle([second])
    assert index.one.widen(first)
    assert [intent.whole_object for intent in index.one.intents_of(1)] == [True]
    assert reserve(index.other, wanted, range(9, 10)) is ReserveRefusal.BUSY
    index.one.settle([first])
    put(index.one, wanted, range(1))
    third = reserve(index.one, wanted, range(1, 2))
    assert isinstance(third, Intent)
    assert not index.one.widen(third)


def test_intents_belong_to_their_owner(index: Opened) -> None:
    intent = reserve(index.one, version(), range(4))
    assert index.one.intents_of(1) == [intent]
    assert index.other.intents_of(2) == []


def test_blocks_in_another_codec_are_to_be_cleared(index: Opened) -> None:
    wanted = version()
    put(index.one, wanted, range(4))
    (extent,) = residents(index)
    intent = index.one.reserve_recompression(
        extent, range(4), 4 * BLOCK_BYTES, lambda _totals: True
    )
    assert isinstance(intent, Intent)
    assert not index.one.commit(intent, {1: raw(5000, Codec.LZ4)}, {0: VISIT})
    assert index.one.present(intent) == {0: 0, 1: 1, 2: 0, 3: 0}
    assert index.queries.totals().used_bytes == 7 * BLOCK_BYTES + allocated(5000)
    index.one.settle([intent])
    assert index.queries.totals().used_bytes == 3 * BLOCK_BYTES + allocated(5000)


def test_an_object_that_is_gone_is_not_recompressed(index: Opened) -> None:
    put(index.one, version(), range(4))
    (extent,) = residents(index)
    (taken,) = index.one.take([extent])
    index.one.settle([taken.intent])
    refused = index.one.reserve_recompression(extent, range(4), BLOCK_BYTES, lambda _totals: True)
    assert refused is ReserveRefusal.BUSY


def test_a_failed_change_is_undone(index: Opened) -> None:
    with pytest.raises(KeyError), index.database.change() as change:  # noqa: PT012
        change.execute("INSERT INTO stores VALUES (1, 'x')")
        raise KeyError
    assert index.rows("SELECT * FROM stores") == []
    with pytest.raises(sqlite3.OperationalError), index.database.look() as look:
        look.execute("SELECT * FROM nothing")
    put(index.one, version(), range(1))


def test_an_unknown_codec_is_an_error_of_the_index(index: Opened) -> None:
    put(index.one, version(), range(2))
    with index.database.change() as change:
        change.execute("UPDATE blocks SET codec = 99 WHERE idx = 1")
    with pytest.raises(sqlite3.DatabaseError, match="unknown codec 99"):
        index.one.load(digest_of(version()))


operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "abandon", "take", "drop", "recompress", "visit"]),
        st.integers(0, 3),
        st.integers(0, 130),
        st.integers(1, 8),
        st.sampled_from([4096, 5000, BLOCK_BYTES]),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(done=operations)
def test_counters_agree_with_the_rows_whatever_was_done(
    done: list[tuple[str, int, int, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder)) as index:
            for operation, number, first, count, stored in done:
                _do(
                    index,
                    operation,
                    version(f"k{number}", 140),
                    range(first, first + count),
                    stored,
                )
        audit_rows(Path(folder))


def _do(index: Opened, operation: str, wanted: ObjectVersion, blocks: range, stored: int) -> None:
    accesses = {0: VISIT, 1: VISIT, 2: VISIT}
    digest = digest_of(wanted)
    loaded = index.one.load(digest)
    match operation:
        case "put" | "abandon":
            intent = reserve(index.one, wanted, blocks)
            if isinstance(intent, Intent):
                if operation == "put":
                    index.one.commit(intent, dict.fromkeys(blocks, raw(stored)), accesses)
                index.one.settle([intent])
        case "take":
            taken = index.one.take(residents(index)[:2])
            index.one.settle([extent.intent for extent in taken])
        case "drop" if loaded is not None:
            record = loaded.records.get(blocks.start)
            if record is not None:
                claimed = index.one.claim(loaded.object_id, digest, blocks.start, record)
                assert claimed is not None
                index.one.drop(claimed)
                index.one.settle([claimed])
        case "recompress":
            for extent in residents(index)[:1]:
                _recompress(index, extent, stored)
        case "visit":
            index.queries.note_accesses(
                [(wanted, digest, number, VISIT) for number in range(3)], 7, None
            )


def _recompress(index: Opened, extent: ExtentRow, stored: int) -> None:
    loaded = index.one.load(extent.digest)
    assert loaded is not None
    first = extent.number * EXTENT_BLOCKS
    numbers = [n for n in loaded.records if first <= n < first + EXTENT_BLOCKS]
    blocks = range(first, first + EXTENT_BLOCKS)
    intent = index.one.reserve_recompression(extent, blocks, 0, lambda _totals: True)
    assert isinstance(intent, Intent)
    recompressed = dict.fromkeys(numbers, raw(max(1, stored // 2), Codec.LZ4))
    index.one.commit(intent, recompressed, {extent.number: VISIT})
    index.one.settle([intent])


def audit_rows(directory: Path) -> None:
    (directory / "objects").mkdir()
    assert audit(directory).intents == 0
