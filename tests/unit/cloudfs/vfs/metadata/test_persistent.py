"""The persistent cache between mounts: dated, in order, and never a lookup that waits."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from cloudfs.vfs.metadata import persistent as module
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs.vfs.metadata.listing import DirectoryListing
from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs_backends.api import ObjectInfo
from cloudfs_cache.metadata.database import Catalog, CatalogRecord
from tests.contract.in_trio import in_trio
from tests.unit.cloudfs.vfs.catalogs import Clocks, Gate, persistent_metadata

TTL_S = 60.0
INFO = ObjectInfo("d/f", 7, '"etag"', 1_600_000_000_123_456_789, True, True)


def listing(directory: str, *names: bytes, at: float) -> DirectoryListing:
    """A directory of files, with one directory at the end."""
    infos = {
        name: ObjectInfo(directory + name.decode("utf-8", "surrogateescape"), n, f"e{n}", n * 10**9)
        for n, name in enumerate(names)
    }
    files = [DirectoryEntry(name, InodeKind.FILE, info) for name, info in infos.items()]
    entries = (*files, DirectoryEntry(b"sub", InodeKind.DIRECTORY))
    return DirectoryListing(entries, {entry.name: entry for entry in entries}, at)


async def settled(persistent: PersistentMetadata) -> None:
    """Wait until everything noted is written."""
    await persistent._written.wait()


@in_trio
async def test_a_listing_outlives_the_mount(tmp_path: Path) -> None:
    clocks = Clocks()
    noted = listing("d/", b"a", b"caf\xe9", "dö".encode(), at=clocks.now)
    async with persistent_metadata(tmp_path, clocks) as persistent:
        persistent.store_listing("d/", noted, TTL_S)
    clocks.pass_s(10)
    clocks.now = 5.0  # another boot
    async with persistent_metadata(tmp_path, clocks) as persistent:
        found = await persistent.listing("d/", TTL_S)
        assert found is not None
        assert (found.entries, found.by_name) == (noted.entries, noted.by_name)
        assert found.requested_at == pytest.approx(5.0 - 10, abs=1e-3)
        assert await persistent.listing("", TTL_S) is None
        assert await persistent.listing("d/sub/", TTL_S) is None
        statistics = persistent.statistics()
        assert (statistics.state, statistics.hits, statistics.misses) == ("ok", 1, 2)


@in_trio
async def test_a_large_listing_comes_back_whole(tmp_path: Path) -> None:
    clocks = Clocks()
    noted = listing("", *(b"name-%05d" % number for number in range(9_000)), at=clocks.now)
    async with persistent_metadata(tmp_path, clocks) as persistent:
        persistent.store_listing("", noted, TTL_S)
    async with persistent_metadata(tmp_path, clocks) as persistent:
        found = await persistent.listing("", TTL_S)
        assert found is not None
        assert found.entries == noted.entries


@in_trio
async def test_attributes_outlive_the_mount(tmp_path: Path) -> None:
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        assert not persistent.metadata_mtimes
        persistent.store_attributes(INFO, clocks.now - 3, TTL_S)
        persistent.store_metadata_mtimes()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        found = await persistent.attributes("d/f", TTL_S)
        assert found is not None
        assert found == (INFO, pytest.approx(clocks.now - 3, abs=1e-3))
        assert persistent.metadata_mtimes
        assert await persistent.attributes("d/g", TTL_S) is None


@pytest.mark.parametrize(
    ("later_s", "ttl_s", "valid"),
    [
        (0.0, TTL_S, True),
        (TTL_S - 1, TTL_S, True),
        (TTL_S + 1, TTL_S, False),
        (10.0, 5.0, False),
        (1e9, math.inf, True),
        (-10.0, TTL_S, False),  # the clock was set back
        (-10.0, math.inf, False),
        (0.0, 0.0, False),
    ],
)
@in_trio
async def test_metadata_is_valid_by_its_age(
    tmp_path: Path, later_s: float, ttl_s: float, valid: bool
) -> None:
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        persistent.store_listing("", listing("", b"a", at=clocks.now), math.inf)
        persistent.store_attributes(INFO, clocks.now, math.inf)
    clocks.wall += later_s
    async with persistent_metadata(tmp_path, clocks) as persistent:
        assert (await persistent.listing("", ttl_s) is not None) is valid
        assert (await persistent.attributes("d/f", ttl_s) is not None) is valid


@in_trio
async def test_an_answer_is_as_old_as_its_question(tmp_path: Path) -> None:
    """A listing that took 50 of its 60 seconds is valid for 10 more."""
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        persistent.store_listing("", listing("", b"a", at=clocks.now - 50), TTL_S)
    clocks.pass_s(9)
    async with persistent_metadata(tmp_path, clocks) as persistent:
        assert await persistent.listing("", TTL_S) is not None
        clocks.pass_s(2)
        assert await persistent.listing("", TTL_S) is None


@in_trio
async def test_stores_do_not_see_each_other(tmp_path: Path) -> None:
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks, identity="s3://b\nhttp://one") as persistent:
        persistent.store_listing("", listing("", b"a", at=clocks.now), TTL_S)
        persistent.store_metadata_mtimes()
    async with persistent_metadata(tmp_path, clocks, identity="s3://b\nhttp://two") as persistent:
        assert await persistent.listing("", TTL_S) is None
        assert not persistent.metadata_mtimes
        persistent.remove_subtree("")
    async with persistent_metadata(tmp_path, clocks, identity="s3://b\nhttp://one") as persistent:
        assert await persistent.listing("", TTL_S) is not None


@in_trio
async def test_what_is_removed_stays_removed(tmp_path: Path) -> None:
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        for directory in ("", "d/", "d/e/", "dd/"):
            persistent.store_listing(directory, listing(directory, b"a", at=clocks.now), TTL_S)
        persistent.store_attributes(INFO, clocks.now, TTL_S)
        persistent.remove_subtree("d/")
        persistent.remove_listing("")
        persistent.store_listing("d/e/", listing("d/e/", b"new", at=clocks.now), TTL_S)
    async with persistent_metadata(tmp_path, clocks) as persistent:
        there = [await persistent.listing(d, TTL_S) is not None for d in ("", "d/", "d/e/", "dd/")]
        assert there == [False, False, True, True]
        assert await persistent.attributes("d/f", TTL_S) is None


@in_trio
async def test_too_much_to_write_is_dropped_but_no_removal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PENDING_MAX", 4)
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        for name in ("a/", "b/", "c/"):
            persistent.store_listing(name, listing(name, b"f", at=clocks.now), TTL_S)
        await settled(persistent)
        # Without a checkpoint in between nothing is written.
        for number in range(6):
            directory = f"n{number}/"
            persistent.store_listing(directory, listing(directory, b"f", at=clocks.now), TTL_S)
        assert persistent.statistics().dropped == 2
        for number in range(20):
            persistent.remove_listing(f"m{number}/")
        await settled(persistent)
        # More removals than are kept: everything goes.
        assert await persistent.listing("a/", TTL_S) is None
        assert await persistent.listing("n0/", TTL_S) is None
        assert persistent.statistics().dropped == 6


# --- a catalog that is slow, broken or absent


@in_trio
async def test_a_stalled_disk_holds_up_one_lookup_for_the_limit_and_no_other(
    tmp_path: Path,
) -> None:
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        persistent.store_listing("", listing("", b"a", at=clocks.now), TTL_S)
    gate = Gate(tmp_path)
    async with persistent_metadata(gate, clocks, limit_s=0.1) as persistent:
        assert await persistent.listing("", TTL_S) is None
        assert persistent.statistics().state == "late"
        assert gate.entered.is_set()
        with trio.fail_after(5):
            for _ in range(1000):
                assert await persistent.listing("", TTL_S) is None
        assert persistent.statistics().errors == 1
        persistent.remove_listing("")
        gate.open.set()
        # The removal was noted while nothing could be written: it is not lost.
        await settled(persistent)
        assert persistent.statistics().state == "ok"
    async with persistent_metadata(tmp_path, clocks) as persistent:
        assert await persistent.listing("", TTL_S) is None


@in_trio
async def test_a_mount_ends_while_the_disk_is_stalled(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with trio.fail_after(20):
        async with persistent_metadata(gate, Clocks(), limit_s=0.05) as persistent:
            assert await persistent.listing("", TTL_S) is None
            persistent.remove_listing("")
    gate.open.set()


def test_a_catalog_that_cannot_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "catalog").write_text("a file")

    @in_trio
    async def look() -> None:
        clocks = Clocks()
        async with persistent_metadata(tmp_path, clocks) as persistent:
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(persistent.listing, "", TTL_S)
            persistent.store_listing("", listing("", b"a", at=clocks.now), TTL_S)
            persistent.remove_subtree("")
            assert await persistent.listing("", TTL_S) is None
            assert persistent.statistics().state == "off"

    look()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(tmp_path / "catalog") in record.getMessage()


def test_a_catalog_that_fails_is_left_alone_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @in_trio
    async def look() -> None:
        clocks = Clocks()
        async with persistent_metadata(tmp_path, clocks) as persistent:
            persistent.store_listing("", listing("", b"a", at=clocks.now), TTL_S)
            await settled(persistent)
            with closing(sqlite3.connect(tmp_path / "catalog" / "cache.db")) as other:
                other.execute("ALTER TABLE Cache RENAME TO Gone")
                for _ in range(10):
                    assert await persistent.listing("", TTL_S) is None
                statistics = persistent.statistics()
                assert (statistics.state, statistics.errors) == ("failing", 3)
                other.execute("ALTER TABLE Gone RENAME TO Cache")
            clocks.pass_s(31)
            assert await persistent.listing("", TTL_S) is not None
            assert persistent.statistics().state == "ok"

    look()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@in_trio
async def test_without_a_catalog_nothing_is_kept() -> None:
    clocks = Clocks()
    async with persistent_metadata(None, clocks) as persistent:
        persistent.store_listing("", listing("", b"a", at=clocks.now), TTL_S)
        persistent.store_attributes(INFO, clocks.now, TTL_S)
        persistent.remove_subtree("")
        assert await persistent.listing("", TTL_S) is None
        assert await persistent.attributes("d/f", TTL_S) is None
        assert persistent.statistics().state == "off"


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [[]],
        [["yesterday"]],
        [{"at": 1}],
        [None, [["a"], [1], ["e"], [1], [0]]],
        [[1.7e9], [["a"], [1], ["e"], [1]]],
        [[1.7e9], [["a", "b"], [1], ["e"], [1], [0]]],
        [[1.7e9], [[".."], [1], ["e"], [1], [0]]],
        [[1.7e9], [["a/b"], [1], ["e"], [1], [0]]],
        [[1.7e9], [["a"], [-1], ["e"], [1], [0]]],
        [[1.7e9], [["a"], [1], [5], [1], [0]]],
        [[1.7e9], [[5], [1], ["e"], [1], [0]]],
        [[1.7e9], 5],
        [[1.7e9, 1, "e", 1]],
        [[1.7e9, 1, "e", "x", 0]],
    ],
)
@in_trio
async def test_values_of_another_shape_are_misses(tmp_path: Path, parts: list[object]) -> None:
    clocks = Clocks()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        keys = persistent._key(b"L", "d/"), persistent._key(b"A", "d/f")
    catalog = Catalog(str(tmp_path))
    for key in keys:
        catalog.put(CatalogRecord.pack(key, parts), ttl_s=None)
    catalog.close()
    async with persistent_metadata(tmp_path, clocks) as persistent:
        assert await persistent.listing("d/", math.inf) is None
        assert await persistent.attributes("d/f", math.inf) is None
        assert persistent.statistics().errors == 0
