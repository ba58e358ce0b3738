"""A tree over a catalog: what a remount asks the store, and what it must not bring back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.vfs import tree as tree_module
from cloudfs.vfs.errors import NoSuchEntryError
from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs.vfs.metadata.ttl import TtlPolicy
from cloudfs.vfs.tree import Tree
from cloudfs_cache.metadata.database import Catalog
from tests.contract.in_trio import in_trio
from tests.support.memory_store import MemoryStore, Stall
from tests.unit.cloudfs.vfs.catalogs import STORE, Clocks, persistent_metadata
from tests.unit.cloudfs.vfs.trees import NEGATIVE_S, TTL_S, Clock, Mount, Outcome, PlainStore


@asynccontextmanager
async def remounted(
    directory: Path, store: MemoryStore, clocks: Clocks, *, ttl_s: float = TTL_S
) -> AsyncIterator[Mount]:
    """A mount over the catalog of earlier ones, which it writes to until its end."""
    store.requests.clear()
    async with persistent_metadata(directory, clocks) as persistent, trio.open_nursery() as nursery:
        policy = TtlPolicy(ttl_s, NEGATIVE_S)
        tree = Tree(
            store,
            policy,
            nursery,
            on_invalidated=lambda _parent_ino, _name: None,
            persistent=persistent,
            clock=clocks.monotonic,
        )
        try:
            yield Mount(store, tree, Clock(), nursery)
        finally:
            nursery.cancel_scope.cancel()


def store_of(*keys: str) -> MemoryStore:
    store = MemoryStore()
    for key in keys:
        store.put(key, key.encode("utf-8", "surrogateescape"))
    return store


async def find(mount: Mount) -> list[str]:
    """The keys of everything below the root, as `find` would look at it."""
    found, waiting = [], [mount.tree.inodes.root]
    while waiting:
        directory = waiting.pop()
        listing = await mount.tree.listing(directory)
        for entry in listing.entries:
            inode = mount.tree.dentries.enter(directory, entry, listing.requested_at)
            inode.lookups += 1
            if not mount.tree.has_final_attributes(inode):
                await mount.tree.refresh(inode)
                inode = await mount.tree.lookup(directory, entry.name)
            found.append(inode.key)
            if inode.is_directory:
                waiting.append(inode)
    return sorted(found)


@in_trio
async def test_a_remount_within_the_ttl_asks_the_store_nothing(tmp_path: Path) -> None:
    store = store_of("a", "d/b", "d/e/c", "d/caf\udce9", "g/")
    clocks = Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        first = await find(mount)
        assert mount.requests() == 4
    clocks.pass_s(TTL_S - 1)
    async with remounted(tmp_path, store, clocks) as mount:
        assert await find(mount) == first
        inode = await mount.lookup("d/e/c")
        assert inode.info == await MemoryStore.head(store, "d/e/c")
        assert mount.tree.dentries.entry_valid_s(inode) == pytest.approx(1.0, abs=1e-3)
        # The one HEAD is the test's own.
        assert mount.requests() == 1


@in_trio
async def test_after_the_ttl_the_store_is_asked(tmp_path: Path) -> None:
    store, clocks = store_of("d/a"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
    store.put("d/b", b"new")
    clocks.pass_s(TTL_S)
    async with remounted(tmp_path, store, clocks) as mount:
        assert await find(mount) == ["d/", "d/a", "d/b"]
        assert mount.store.count("list") == 2


@in_trio
async def test_lookups_are_answered_by_the_parents_listing_asked_for_once(tmp_path: Path) -> None:
    names = [f"d/{number}" for number in range(50)]
    store, clocks = store_of(*names, "other/x"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await mount.listdir()
        await mount.listdir("d")
    async with remounted(tmp_path, store, clocks) as mount:
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(mount.lookup, name)
        assert mount.requests() == 0
        assert mount.tree.persistent.statistics().hits == 2
        # A directory that the catalog does not have is asked for once, whatever is looked up.
        for name in ("other/x", "other/x", "other/y", "other/z"):
            outcome = Outcome()
            await outcome.of(lambda name=name: mount.lookup(name))
        assert mount.tree.persistent.statistics().misses == 1
        assert mount.requests() == 2 * 3


@in_trio
async def test_a_negative_entry_is_valid_for_the_negative_ttl_only(tmp_path: Path) -> None:
    store, clocks = store_of("d/a"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
    store.put("d/b", b"new")
    clocks.pass_s(NEGATIVE_S - 1)
    async with remounted(tmp_path, store, clocks) as mount:
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d/b")
        assert mount.requests() == 0
        clocks.pass_s(1)
        assert (await mount.lookup("d/b")).key == "d/b"


@in_trio
async def test_a_changed_object_does_not_come_back(tmp_path: Path) -> None:
    store, clocks = store_of("d/a", "d/b"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
        inode = await mount.lookup("d/a")
        now = store.put("d/a", b"changed")
        clocks.pass_s(1)
        mount.tree.dentries.mark_changed(inode)
    async with remounted(tmp_path, store, clocks) as mount:
        assert (await mount.lookup("d/a")).info == now
        assert (mount.store.count("head"), mount.store.count("list")) == (1, 1)


@in_trio
async def test_a_changed_object_does_not_come_back_in_the_same_mount(tmp_path: Path) -> None:
    """The kernel forgets the directory, so the catalog is asked again."""
    store, clocks = store_of("d/a"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
        inode = await mount.lookup("d/a")
        now = store.put("d/a", b"changed")
        clocks.pass_s(1)
        mount.tree.dentries.mark_changed(inode)
        for held in (inode, mount.tree.inodes.get(inode.parent.ino if inode.parent else 0)):
            mount.tree.inodes.forget(held.ino, held.lookups)
        assert len(mount.tree.inodes) == 1
        assert (await mount.lookup("d/a")).info == now


@in_trio
async def test_a_listing_that_was_under_way_before_a_change_is_not_stored(tmp_path: Path) -> None:
    store, clocks = store_of(*(f"f{number:04}" for number in range(1100))), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        passed, stall = Stall(), Stall()
        passed.released.set()
        inode = await mount.lookup("f0000")
        store.script("list", passed, stall)
        listing = await mount.start(mount.listdir, stall)
        clocks.pass_s(1)
        now = store.put("f0000", b"changed")
        mount.tree.dentries.mark_changed(inode)
        stall.released.set()
        await listing.result()
        assert mount.tree.inodes.root.listing is None
    async with remounted(tmp_path, store, clocks) as mount:
        assert (await mount.lookup("f0000")).info == now


@in_trio
async def test_a_directory_that_vanished_does_not_come_back(tmp_path: Path) -> None:
    store, clocks = store_of("d/e/old", "x"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
        store.delete("d/e/old")
        clocks.pass_s(1)
        await mount.tree.refresh(await mount.lookup("d"))
    store.put("d/e/new", b"1")
    clocks.pass_s(1)
    async with remounted(tmp_path, store, clocks) as mount:
        assert await find(mount) == ["d/", "d/e/", "d/e/new", "x"]


@in_trio
async def test_what_another_mount_stored_later_is_taken(tmp_path: Path) -> None:
    store, clocks = store_of("d/a"), Clocks()
    async with remounted(tmp_path, store, clocks) as first:
        await find(first)
        clocks.pass_s(TTL_S)
        store.put("d/b", b"new")
        async with remounted(tmp_path, store, clocks) as second:
            await find(second)
        store.requests.clear()
        assert await find(first) == ["d/", "d/a", "d/b"]
        assert first.requests() == 0


@in_trio
async def test_a_listing_does_not_undo_what_a_question_saw_later(tmp_path: Path) -> None:
    store, clocks = store_of("a", "b"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
    clocks.pass_s(10)
    now = store.put("a", b"changed")
    async with remounted(tmp_path, store, clocks) as mount:
        inode = await mount.lookup("a")
        assert inode.info != now
        await mount.tree.refresh(inode)
        assert inode.is_stale
        assert (await mount.lookup("a")).info == now
    async with remounted(tmp_path, store, clocks) as mount:
        assert (await mount.lookup("a")).info == now


# --- mtimes in metadata


@in_trio
async def test_metadata_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_module, "_LOOKUPS_BEFORE_LISTING", 1000)
    keys = [f"d/{number}" for number in range(5)]
    store, clocks = PlainStore("d/0", "d/3"), Clocks()
    for key in keys:
        store.put(key, b"1")
    async with remounted(tmp_path, store, clocks) as mount:
        first = await find(mount)
        assert store.count("head") >= len(keys)
        infos = [(await mount.lookup(key)).info for key in keys]
        assert [info is not None and info.metadata_mtime for info in infos] == [
            True, False, False, True, False,
        ]  # fmt: skip
    async with remounted(tmp_path, store, clocks) as mount:
        assert await find(mount) == first
        assert [(await mount.lookup(key)).info for key in keys] == infos
        assert mount.requests() == 0
    clocks.pass_s(TTL_S)
    async with remounted(tmp_path, store, clocks) as mount:
        assert await find(mount) == first
        assert store.count("head") >= len(keys)


@in_trio
async def test_metadata_of_an_older_version_is_not_shown(tmp_path: Path) -> None:
    store, clocks = PlainStore("d/a"), Clocks()
    store.put("d/a", b"old")
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
    clocks.pass_s(1)
    store.put("d/a", b"newer")
    async with remounted(tmp_path, store, clocks) as mount:
        mount.tree.dentries.invalidate("d", subtree=False)
        mount.tree.dentries.invalidate("", subtree=False)
        # The listing is new; the attributes are still in the catalog.
        await mount.listdir("d")
        inode = await mount.lookup("d/a")
        await mount.tree.refresh(inode)
        again = await mount.lookup("d/a")
        assert again.info is not None
        assert (again.info.size, again.info.has_metadata) == (5, True)
        assert store.count("head") >= 1


# --- invalidation


@in_trio
async def test_what_was_invalidated_is_asked_for_after_a_remount_too(tmp_path: Path) -> None:
    store, clocks = store_of("d/a", "d/e/b", "k/c"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
        clocks.pass_s(1)
        mount.tree.dentries.invalidate("d", subtree=True)
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
        assert sorted(r.key for r in store.requests) == ["", "d/", "d/e/"]


@in_trio
async def test_an_invalidated_catalog_is_not_used_before_that_is_written(tmp_path: Path) -> None:
    store, clocks = store_of("d/a"), Clocks()
    async with remounted(tmp_path, store, clocks) as mount:
        await find(mount)
    now = store.put("d/a", b"changed")
    clocks.pass_s(1)
    async with persistent_metadata(tmp_path, clocks) as persistent, trio.open_nursery() as nursery:
        # Nothing writes for this one: what it forgets stays in the catalog.
        mute = PersistentMetadata(
            lambda: Catalog(str(tmp_path)), STORE, clock=clocks.monotonic, wall_clock=clocks.time
        )
        policy = TtlPolicy(TTL_S, NEGATIVE_S)
        tree = Tree(
            store,
            policy,
            nursery,
            on_invalidated=lambda _parent_ino, _name: None,
            persistent=mute,
            clock=clocks.monotonic,
        )
        tree.dentries.invalidate("", subtree=True)
        assert await persistent.listing("d/", TTL_S) is not None
        directory = await tree.lookup(tree.inodes.root, b"d")
        assert (await tree.lookup(directory, b"a")).info == now
        await mute._catalog.aclose()
