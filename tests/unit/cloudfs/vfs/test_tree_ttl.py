"""Validity of the tree's names: TTLs, negative entries, answers that overtake each other."""

from __future__ import annotations

import math

import pytest

from cloudfs.vfs import tree as tree_module
from cloudfs.vfs.errors import NoSuchEntryError
from cloudfs.vfs.metadata import negative
from tests.support.memory_store import Stall
from tests.unit.cloudfs.vfs.trees import (
    NEGATIVE_S,
    TTL_S,
    Outcome,
    SlowAnswers,
    in_trio,
    kernel_name,
    mounted,
)


@in_trio
async def test_an_entry_is_valid_for_its_ttl_and_no_longer() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        asked = mount.requests()
        mount.clock.now += TTL_S - 1
        assert await mount.lookup("f") is inode
        assert mount.requests() == asked
        assert mount.tree.dentries.entry_valid_s(inode) == 1.0
        mount.clock.now += 1
        assert mount.tree.dentries.entry_valid_s(inode) == 0.0
        assert await mount.lookup("f") is inode
        assert mount.store.count("head") == 2
        assert mount.tree.dentries.entry_valid_s(inode) == TTL_S


@in_trio
async def test_a_ttl_of_zero_asks_every_time() -> None:
    async with mounted("f", metadata_ttl=0.0, negative_ttl=0.0) as mount:
        for count in range(1, 4):
            await mount.lookup("f")
            assert mount.store.count("head") == count
        for count in range(4, 7):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup("g")
            assert mount.store.count("head") == count


@in_trio
async def test_an_indefinite_ttl_never_asks_again() -> None:
    async with mounted("f", metadata_ttl=math.inf, negative_ttl=math.inf) as mount:
        await mount.lookup("f")
        await mount.listdir()
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("g")
        asked = mount.requests()
        mount.clock.now += 1e9
        await mount.lookup("f")
        await mount.listdir()
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("g")
        assert mount.requests() == asked


@in_trio
async def test_a_negative_entry_is_valid_for_the_negative_ttl() -> None:
    async with mounted() as mount:
        for _ in range(100):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup("new")
        assert (mount.store.count("head"), mount.store.count("list")) == (1, 1)
        mount.store.put("new", b"1")
        mount.clock.now += NEGATIVE_S - 0.1
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("new")
        mount.clock.now += 0.1
        assert (await mount.lookup("new")).key == "new"


@in_trio
async def test_negative_answers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negative, "_ENTRIES_MAX", 8)
    monkeypatch.setattr(tree_module, "_LOOKUPS_BEFORE_LISTING", 1000)
    async with mounted() as mount:
        for number in range(20):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup(f"missing-{number}")
        asked = mount.requests()
        for number in range(12, 20):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup(f"missing-{number}")
        assert mount.requests() == asked
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("missing-0")
        assert mount.requests() > asked


@in_trio
async def test_open_asks_again_only_after_the_ttl() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        await mount.tree.revalidate(inode)
        assert mount.store.count("head") == 1
        mount.store.put("f", b"new")
        mount.clock.now += TTL_S + 1
        await mount.tree.revalidate(inode)
        assert inode.is_stale
        assert mount.invalidated == [kernel_name(inode)]
        assert (await mount.lookup("f")).ino != inode.ino


@in_trio
async def test_a_listing_answers_lookups() -> None:
    async with mounted("d/a", "d/b/c") as mount:
        await mount.listdir("d")
        asked = mount.requests()
        assert not (await mount.lookup("d/a")).is_directory
        assert (await mount.lookup("d/b")).is_directory
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d/missing")
        assert mount.requests() == asked


@in_trio
async def test_a_listing_says_what_is_missing_for_the_negative_ttl_only() -> None:
    async with mounted("d/a") as mount:
        await mount.listdir("d")
        mount.store.put("d/new", b"1")
        mount.clock.now += NEGATIVE_S
        assert (await mount.lookup("d/new")).key == "d/new"
        assert await mount.listdir("d") == [b"a"]
        mount.clock.now += TTL_S
        assert await mount.listdir("d") == [b"a", b"new"]


@in_trio
async def test_a_listing_shows_what_changed_and_what_is_gone() -> None:
    async with mounted("d/changed", "d/deleted", "d/same") as mount:
        changed, deleted, same = [
            await mount.lookup(f"d/{name}") for name in ("changed", "deleted", "same")
        ]
        mount.store.put("d/changed", b"other")
        mount.store.delete("d/deleted")
        mount.clock.now += TTL_S
        assert await mount.listdir("d") == [b"changed", b"same"]
        assert (changed.is_stale, deleted.is_stale, same.is_stale) == (True, True, False)
        assert set(mount.invalidated) == {kernel_name(changed), kernel_name(deleted)}
        assert await mount.lookup("d/same") is same
        assert (await mount.lookup("d/changed")).info == await mount.store.head("d/changed")


@in_trio
async def test_a_later_lookup_beats_an_earlier_listing() -> None:
    async with mounted("f") as mount:
        await mount.listdir()
        old = (await mount.tree.listing(mount.tree.inodes.root)).by_name[b"f"]
        requested_at = mount.clock.now
        mount.clock.now += 10
        mount.store.put("f", b"new")
        inode = await mount.lookup("f")
        await mount.tree.refresh(inode)
        fresh = await mount.lookup("f")
        assert fresh is not inode
        # An open directory goes on showing the entry that it had.
        assert mount.tree.dentries.enter(mount.tree.inodes.root, old, requested_at) is fresh
        assert await mount.lookup("f") is fresh


@in_trio
async def test_an_open_directory_does_not_bring_back_what_is_known_to_be_gone() -> None:
    async with mounted("f", "g") as mount:
        root = mount.tree.inodes.root
        listing = await mount.tree.listing(root)
        inode = await mount.lookup("f")
        mount.store.delete("f")
        mount.clock.now += 10
        await mount.tree.refresh(inode)
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("f")
        mount.tree.dentries.enter(root, listing.by_name[b"f"], listing.requested_at)
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("f")


@in_trio
async def test_a_lookup_during_a_listing_is_not_undone_by_it() -> None:
    """The listing's first page is older than the file, its end is later than the lookup."""
    async with mounted(*(f"f{number:04}" for number in range(1500))) as mount:
        stall = Stall()
        pages = [Stall(), stall]
        pages[0].released.set()
        mount.store.script("list", *pages)
        listing = await mount.start(mount.listdir, stall)
        mount.store.put("f0000-new", b"1")
        mount.clock.now += 1
        inode = await mount.lookup("f0000-new")
        mount.clock.now += 1
        stall.released.set()
        await listing.result()
        assert not inode.is_stale
        assert await mount.lookup("f0000-new") is inode


@in_trio
async def test_an_answer_that_was_long_under_way_does_not_undo_a_later_one() -> None:
    """A HEAD sees the old version and arrives after a listing that saw the new one."""
    store = SlowAnswers()
    async with mounted("f", store=store) as mount:
        late = Outcome()
        mount.nursery.start_soon(late.of, lambda: mount.lookup("f"))
        await store.looked.wait()
        now = store.put("f", b"new")
        mount.clock.now += 1
        root = mount.tree.inodes.root
        listing = await mount.tree.listing(root)
        seen = mount.tree.dentries.enter(root, listing.by_name[b"f"], listing.requested_at)
        assert seen.info == now
        mount.clock.now += 1
        store.released.set()
        await late.result()
        assert not seen.is_stale
        assert (await mount.lookup("f")).info == now
