"""The catalog: what comes back is what was put, or nothing; nothing on disk is ever executed."""

from __future__ import annotations

import fcntl
import os
import pickle
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs_cache.metadata.database import Catalog, CatalogError, CatalogRecord

MIB = 1 << 20
KEY = b"a key \xff\x00"


@contextmanager
def opened(directory: Path, **kwargs: int) -> Iterator[Catalog]:
    catalog = Catalog(str(directory), **kwargs)
    try:
        yield catalog
    finally:
        catalog.close()


def database(directory: Path) -> Path:
    return directory / "catalog" / "cache.db"


def put(catalog: Catalog, key: bytes, *parts: object, ttl_s: float | None = None) -> None:
    catalog.put(CatalogRecord.pack(key, parts), ttl_s=ttl_s)


def get(catalog: Catalog, key: bytes) -> list[Any] | None:
    record = catalog.get(key)
    return None if record is None else record.unpack()


# --- records


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(st.characters()),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    ),
    st.binary(),
)
def test_what_was_packed_comes_back(parts: list[object], key: bytes) -> None:
    assert CatalogRecord.pack(key, parts).unpack() == parts


def test_names_that_are_not_utf8_survive() -> None:
    names = ["caf\udce9", "\udcff\udc80", "plain", "é", "\U0001f600"]
    assert CatalogRecord.pack(KEY, [names]).unpack() == [names]


def test_a_value_of_another_key_is_nothing() -> None:
    record = CatalogRecord.pack(KEY, [1, 2])
    assert CatalogRecord(b"other", record.packed).unpack() is None


@given(st.binary(max_size=200))
def test_any_other_bytes_are_nothing(data: bytes) -> None:
    assert CatalogRecord(KEY, data).unpack() is None


def test_every_single_wrong_byte_is_noticed() -> None:
    packed = CatalogRecord.pack(KEY, [["x" * 50, 1], ["y", 2]]).packed
    for position in range(len(packed)):
        wrong = bytearray(packed)
        wrong[position] ^= 0x40
        assert CatalogRecord(KEY, bytes(wrong)).unpack() is None
        assert CatalogRecord(KEY, packed[:position]).unpack() is None


# --- the database


def test_values_outlive_the_mount(tmp_path: Path) -> None:
    with opened(tmp_path) as catalog:
        put(catalog, KEY, {"a": [1, None, 2.5]}, "second")
        assert get(catalog, KEY) == [{"a": [1, None, 2.5]}, "second"]
        put(catalog, KEY, "newer")
    with opened(tmp_path) as catalog:
        assert get(catalog, KEY) == ["newer"]
        catalog.remove(KEY)
        catalog.remove(b"never there")
        assert get(catalog, KEY) is None


def test_a_value_ends_with_its_time(tmp_path: Path) -> None:
    with opened(tmp_path) as catalog:
        put(catalog, b"old", 1, ttl_s=-1.0)
        put(catalog, b"young", 2, ttl_s=3600.0)
        assert (get(catalog, b"old"), get(catalog, b"young")) == (None, [2])


def test_removing_what_begins_with_a_prefix(tmp_path: Path) -> None:
    inside = [b"p/", b"p/a", b"p/a/b", b"p/\xff\xff"]
    outside = [b"", b"p", b"o/a", b"p.", b"p0", b"q/"]
    with opened(tmp_path) as catalog:
        for key in inside + outside:
            put(catalog, key, 1)
        assert [catalog.remove_below(b"p/", limit=3) for _ in range(3)] == [3, 1, 0]
        assert [get(catalog, key) for key in inside] == [None] * 4
        assert [get(catalog, key) for key in outside] == [[1]] * 6


def test_everything_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path) as catalog:
            put(catalog, KEY, "x" * 100_000)
            catalog.remove_below(b"nothing", limit=1)
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in [tmp_path / "catalog", *(tmp_path / "catalog").iterdir()]
            }
    finally:
        os.umask(before)
    assert {"cache.db", "cache.db-wal", "cache.db-shm", "lock"} < set(modes)
    assert modes.pop("catalog") == 0o700
    assert set(modes.values()) == {0o600}


def test_the_size_is_bounded(tmp_path: Path) -> None:
    rng = random.Random(1)
    with opened(tmp_path, size_limit_bytes=2 * MIB) as catalog:
        for number in range(300):
            catalog.put(CatalogRecord(b"%d" % number, rng.randbytes(40_000)), ttl_s=None)
        assert catalog.get(b"299") is not None
        assert catalog.get(b"0") is None
    assert database(tmp_path).stat().st_size < 3 * MIB


def test_what_is_too_large_is_not_stored_and_leaves_nothing_older(tmp_path: Path) -> None:
    with opened(tmp_path, size_limit_bytes=2 * MIB) as catalog:
        catalog.put(CatalogRecord(KEY, b"small"), ttl_s=None)
        catalog.put(CatalogRecord(KEY, bytes(MIB)), ttl_s=None)
        assert catalog.get(KEY) is None


def test_the_disk_is_never_filled(tmp_path: Path) -> None:
    with opened(tmp_path, min_free_bytes=1 << 60) as catalog:
        catalog.put(CatalogRecord(KEY, b"value"), ttl_s=None)
        assert catalog.get(KEY) is None


# --- shared


def test_a_writer_elsewhere_holds_up_writes_only_and_not_for_long(tmp_path: Path) -> None:
    with opened(tmp_path) as catalog:
        put(catalog, KEY, 1)
        with closing(sqlite3.connect(database(tmp_path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert get(catalog, KEY) == [1]
            with pytest.raises(CatalogError, match="busy"):
                put(catalog, KEY, 2)
            other.execute("ROLLBACK")
        put(catalog, KEY, 3)
        assert get(catalog, KEY) == [3]


_WRITER = """
import sys
from cloudfs_cache.metadata.database import Catalog, CatalogRecord
directory, name = sys.argv[1:]
catalog = Catalog(directory)
for number in range(100):
    key = f"{name}-{number}".encode()
    catalog.put(CatalogRecord.pack(key, [number]), ttl_s=None)
catalog.close()
"""


def test_processes_share_a_catalog(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name]) for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with opened(tmp_path) as catalog:
        found = [get(catalog, f"{name}-{n}".encode()) for name in "abc" for n in range(100)]
    assert found == [[n] for _ in "abc" for n in range(100)]


# --- planted and damaged


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_planted_pickle_is_not_executed(tmp_path: Path) -> None:
    marker, victim = tmp_path / "executed", tmp_path / "victim"
    victim.write_text("not ours")
    evil = pickle.dumps(Malicious(marker))
    with opened(tmp_path) as catalog:
        for key in (b"value", b"file", b"foreign"):
            put(catalog, key, 1)
    (tmp_path / "catalog" / "evil.val").write_bytes(evil)
    with closing(sqlite3.connect(database(tmp_path))) as planted, planted:
        planted.execute("UPDATE Cache SET mode = 4, value = ? WHERE key = ?", (evil, b"value"))
        planted.execute(
            "UPDATE Cache SET mode = 4, value = NULL, filename = 'evil.val' WHERE key = ?",
            (b"file",),
        )
        planted.execute(
            "UPDATE Cache SET mode = 2, value = NULL, filename = '../victim' WHERE key = ?",
            (b"foreign",),
        )
        planted.execute(
            "INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 4, ?)", (evil, evil)
        )
    with opened(tmp_path) as catalog:
        for key in (b"value", b"file", b"foreign"):
            assert get(catalog, key) is None
            put(catalog, key, 2)
            assert get(catalog, key) == [2]
        assert get(catalog, evil) is None
        while catalog.remove_below(b"\x00", limit=100):
            pass
        catalog.remove_below(evil[:1], limit=100)
    assert not marker.exists()
    assert victim.read_text() == "not ours"
    pickle.loads(evil)
    assert marker.exists()


def test_a_planted_setting_is_a_new_catalog(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as catalog:
        put(catalog, KEY, 1)
    with closing(sqlite3.connect(database(tmp_path))) as planted, planted:
        planted.execute("INSERT INTO Settings VALUES ('disk_surprise', 1)")
    with opened(tmp_path) as catalog:
        assert get(catalog, KEY) is None
        put(catalog, KEY, 2)
        assert get(catalog, KEY) == [2]
    assert len(caplog.records) == 1


def test_a_file_that_is_no_database_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "catalog").mkdir()
    database(tmp_path).write_bytes(b"garbage " * 1000)
    with opened(tmp_path) as catalog:
        put(catalog, KEY, 1)
        assert get(catalog, KEY) == [1]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(tmp_path) in caplog.text


def test_what_another_mount_uses_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    garbage = b"garbage " * 1000
    database(tmp_path).write_bytes(garbage)
    with (tmp_path / "catalog" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(CatalogError, match="in use by another mount"):
            Catalog(str(tmp_path))
    assert database(tmp_path).read_bytes() == garbage


def test_damage_that_shows_late_is_mended_by_the_next_mount(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [b"%d" % number for number in range(200)]
    with opened(tmp_path) as catalog:
        for key in keys:
            value = random.Random(key).randbytes(2000).hex()
            catalog.put(CatalogRecord.pack(key, [value]), ttl_s=None)
    size = database(tmp_path).stat().st_size
    with database(tmp_path).open("r+b") as file:
        file.seek(size // 4)
        file.write(random.Random(2).randbytes(size // 2))
    failed = 0
    with opened(tmp_path) as catalog:
        for key in keys:
            try:
                found = get(catalog, key)
            except CatalogError:
                failed += 1
            else:
                assert found in (None, [random.Random(key).randbytes(2000).hex()])
    assert failed
    with opened(tmp_path) as catalog:
        assert [get(catalog, key) for key in keys] == [None] * 200
        put(catalog, KEY, 1)
        assert get(catalog, KEY) == [1]
    with opened(tmp_path) as catalog:
        assert get(catalog, KEY) == [1]
    assert len(caplog.records) == 1


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "catalog").write_text("a file")
    with pytest.raises(CatalogError, match="catalog"):
        Catalog(str(tmp_path))


def test_a_path_that_diskcache_would_rewrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELSEWHERE", "elsewhere")
    with pytest.raises(CatalogError, match=r"\$"):
        Catalog(str(tmp_path / "$ELSEWHERE"))
    assert list(tmp_path.iterdir()) == []
