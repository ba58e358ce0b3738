"""Questions about a whole index: samples, ghosts, pins, usage, and an end in good order."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudfs_cache.api import BLOCK_BYTES, KeyRange
from cloudfs_cache.disk import layout as directories
from cloudfs_cache.disk.index import queries
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.pins import Pins
from cloudfs_cache.eviction.policy import AccessRecord
from tests.support.tiers import STORE, open_tier, store_of, version
from tests.unit.cache.disk.index.test_blocks import Opened, digest_of, opened, put, residents

EVERYTHING = KeyRange("", subtree=True)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Opened]:
    with opened(tmp_path) as found:
        yield found


def keys(index: Opened, wanted: KeyRange) -> set[str]:
    ids = index.queries.extent_ids_of(STORE, wanted)
    names = dict(index.rows("SELECT digest, key FROM objects"))
    return {names[row.digest].decode() for row in index.queries.extents(ids)}  # type: ignore[attr-defined]


def test_samples_are_spread_over_all_residents(index: Opened) -> None:
    for number in range(400):
        put(index.one, version(f"k{number}", 1), range(1))
    rng = random.Random(3)
    seen: Counter[int] = Counter()
    for _ in range(200):
        sample = index.queries.sample(64, rng.randint)
        assert 32 <= len(sample) <= 71
        seen.update(candidate.key.extent_id for candidate in sample)
    assert len(seen) == 400
    assert min(seen.values()) > 10


def test_pinned_extents_are_in_no_sample_wherever_they_are(index: Opened) -> None:
    for number in range(300):
        put(index.one, version(f"{'free' if number < 3 else 'held'}/k{number}", 1), range(1))
    Pins(index.database).add(STORE, [KeyRange("held", subtree=True)])
    for seed in range(20):
        sample = index.queries.sample(64, random.Random(seed).randint)
        assert {candidate.key.extent_id for candidate in sample} <= {1, 2, 3}
        assert sample


def test_too_many_ghosts_are_forgotten_with_their_objects(
    index: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_GHOSTS_MIN", 10)
    monkeypatch.setattr(queries, "_GHOSTS_PER_RESIDENT", 2)
    monkeypatch.setattr(queries, "_PRUNED_AT_ONCE", 0)
    put(index.one, version("resident", 1), range(1))
    forgotten = set()
    for number in range(50):
        ghost = version(f"k{number}")
        access = AccessRecord(100 + number, 0, 1, 0)
        totals, gone = index.queries.note_accesses([(ghost, digest_of(ghost), 0, access)], 1, None)
        forgotten |= {record.accessed_at for record in gone}
    left = {row[0] for row in index.rows("SELECT visited_at FROM extents WHERE bytes = 0")}
    assert len(left) == 10
    assert left | forgotten == {100 + number for number in range(50)}
    assert not left & forgotten
    assert index.rows("SELECT count(*) FROM objects") == [(len(left) + 1,)]
    assert index.rows("SELECT value FROM state WHERE name = 'ghosts'") == [(len(left),)]
    assert (totals.clock, totals.used_bytes) == (50, BLOCK_BYTES)
    # A row that is free again is not given to another object: somebody may remember it.
    assert put(index.one, version("new", 1), range(1)).object_id == 52


def test_later_visits_count(index: Opened) -> None:
    wanted = version()
    put(index.one, wanted, range(4))
    for access in (AccessRecord(90, 85, 2, 9), AccessRecord(40, 35, 2, 9)):
        index.queries.note_accesses([(wanted, digest_of(wanted), 0, access)], 0, None)
    loaded = index.one.load(digest_of(wanted))
    assert loaded is not None
    assert loaded.accesses == {0: AccessRecord(90, 85, 2, 9)}


def test_pins_hold_for_what_comes_later_and_end_with_their_ranges(index: Opened) -> None:
    pins = Pins(index.database)
    put(index.one, version("a/x", 1), range(1))
    pins.add(STORE, [KeyRange("a", subtree=True), KeyRange("b/one", subtree=False)])
    for key in ("a/y", "ab", "b/one", "b/one/two", "a"):
        put(index.one, version(key, 1), range(1))
    assert keys(index, EVERYTHING) == {"ab", "b/one/two"}
    assert pins.of_store("other://") == []
    pins.remove(STORE, [KeyRange("b", subtree=True)])
    assert pins.of_store(STORE) == [KeyRange("a", subtree=True)]
    assert keys(index, EVERYTHING) == {"ab", "b/one", "b/one/two"}
    # A part of what is pinned as a whole stays pinned.
    pins.remove(STORE, [KeyRange("a/x", subtree=False)])
    assert "a/x" not in keys(index, EVERYTHING)
    pins.remove(STORE, [EVERYTHING])
    assert pins.of_store(STORE) == []
    assert len(keys(index, EVERYTHING)) == 6


def test_pinned_extents_are_never_taken(index: Opened) -> None:
    put(index.one, version("a", 1), range(1))
    found = residents(index)
    Pins(index.database).add(STORE, [KeyRange("a", subtree=False)])
    assert index.one.take(found) == []
    put(index.one, version("by-policy", 1), range(1), pinned=True)
    assert residents(index) == []


def test_ranges_of_keys(index: Opened) -> None:
    for key in ("a", "a/b", "a/b/c", "a0", "a.b", "b"):
        put(index.one, version(key, 1), range(1))
    assert keys(index, KeyRange("a", subtree=True)) == {"a", "a/b", "a/b/c"}
    assert keys(index, KeyRange("a/b", subtree=False)) == {"a/b"}
    assert len(keys(index, EVERYTHING)) == 6
    assert index.queries.extent_ids_of("other://", EVERYTHING) == []


def test_usage_adds_up_over_many_steps(index: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_USAGE_OBJECTS", 3)
    for number in range(10):
        put(index.one, version(f"k{number}", 2), range(2))
    Pins(index.database).add(STORE, [KeyRange("k1", subtree=False)])
    (usage,) = index.queries.usage("/d")
    assert (usage.directory, usage.store_id, usage.objects, usage.blocks) == ("/d", STORE, 10, 20)
    assert (usage.stored_bytes, usage.pinned_bytes) == (20 * BLOCK_BYTES, 2 * BLOCK_BYTES)
    assert index.queries.count_blocks(STORE) == 20


def test_objects_come_in_pages(index: Opened) -> None:
    for number in range(5):
        put(index.one, version(f"k{number}", 1), range(1))
    found, last = [], 0
    while page := index.queries.objects_after(STORE, last, 2):
        found += [wanted for _, wanted, _ in page]
        last = page[-1][0]
    assert found == [version(f"k{number}", 1) for number in range(5)]


def build_large(path: Path, blocks: int) -> None:
    """An index of `blocks` one-block objects, without asking our code for each."""
    directories.claim(str(path)).close()
    file = path / "index.sqlite"
    IndexDatabase(str(file)).close()
    count = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {blocks})"
    with closing(sqlite3.connect(file, isolation_level=None)) as index:
        index.execute("PRAGMA synchronous=OFF")
        index.execute("BEGIN")
        index.execute("INSERT INTO stores VALUES (1, ?)", (STORE,))
        index.execute(
            f"{count} INSERT INTO objects SELECT i, randomblob(16), 1, "
            "CAST(printf('dir%03d/k%07d', i / 1000, i) AS BLOB), 'e', 1048576, 0 FROM n"
        )
        index.execute(f"{count} INSERT INTO extents SELECT i, i, 0, 1048576, i, 0, 1, 0, 0 FROM n")
        index.execute(f"{count} INSERT INTO blocks SELECT i, 0, 1048576, 0, randomblob(64) FROM n")
        index.execute("COMMIT")


def steps_to_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """How many instructions SQLite's machine takes while a mount opens the directory."""
    steps = 0

    class Counting(sqlite3.Connection):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            self.set_progress_handler(self.count, 10)

        def count(self) -> int:
            nonlocal steps
            steps += 10
            return 0

    genuine = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **k: genuine(*a, factory=Counting, **k))
        started = time.perf_counter()
        tier = open_tier(path, capacity_bytes=1 << 50)
        took_s = time.perf_counter() - started
    store_of(tier).close()
    return steps, took_s


@pytest.mark.parametrize("blocks", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_the_start_reads_no_row_per_block(
    blocks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_large(tmp_path / "small", 100)
    build_large(tmp_path / "large", blocks)
    few, _ = steps_to_open(tmp_path / "small", monkeypatch)
    many, took_s = steps_to_open(tmp_path / "large", monkeypatch)
    print(f"opened an index of {blocks} blocks in {took_s * 1000:.1f} ms ({many} steps)")
    assert few > 100
    assert many <= few + 100
