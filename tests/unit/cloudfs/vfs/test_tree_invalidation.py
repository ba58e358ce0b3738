"""Invalidations of the tree: names that are asked for again, here and in the kernel."""

from __future__ import annotations

import math

import pytest
import trio

from cloudfs.vfs.errors import NoSuchEntryError
from cloudfs.vfs.inode import Inode
from tests.support.memory_store import Stall
from tests.unit.cloudfs.vfs.trees import (
    Outcome,
    SlowAnswers,
    in_trio,
    kernel_name,
    mounted,
)


@in_trio
async def test_an_invalidated_file_is_asked_for_and_keeps_its_inode() -> None:
    async with mounted("d/f", "d/g", metadata_ttl=math.inf) as mount:
        await mount.listdir("d")
        same, other = await mount.lookup("d/f"), await mount.lookup("d/g")
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d/f", subtree=False)
        assert (
            mount.tree.dentries.entry_valid_s(same),
            mount.tree.dentries.entry_valid_s(other),
        ) == (0.0, math.inf)
        before = mount.requests()
        assert await mount.lookup("d/f") is same
        assert mount.requests() == before + 2
        assert await mount.lookup("d/f") is same
        assert await mount.lookup("d/g") is other
        assert mount.requests() == before + 2
        assert mount.invalidated == [kernel_name(same)]


@in_trio
async def test_an_invalidated_file_that_changed_is_seen() -> None:
    async with mounted("d/f", metadata_ttl=math.inf) as mount:
        await mount.listdir("d")
        inode = await mount.lookup("d/f")
        now = mount.store.put("d/f", b"new")
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d/f", subtree=False)
        await mount.tree.revalidate(inode)
        assert inode.is_stale
        assert (await mount.lookup("d/f")).info == now
        assert await mount.listdir("d") == [b"f"]


@in_trio
async def test_an_invalidated_tree_is_asked_for_again_and_nothing_beside_it() -> None:
    keys = ("d/f", "d/e/g", "dd/h", "k")
    async with mounted(*keys, metadata_ttl=math.inf, negative_ttl=math.inf) as mount:
        for path in ("d", "d/e", "dd", ""):
            await mount.listdir(path)
        held = [await mount.lookup(key) for key in keys]
        for path in ("d/new", "d/e/new", "dd/new"):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup(path)
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d", subtree=True)
        for path in ("d/new", "d/e/new", "dd/new"):
            mount.store.put(path, b"1")
        mount.store.requests.clear()
        assert [await mount.lookup(key) for key in keys] == held
        assert await mount.listdir("d") == [b"e", b"f", b"new"]
        assert await mount.listdir("d/e") == [b"g", b"new"]
        assert (await mount.lookup("d/new")).key == "d/new"
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("dd/new")
        asked = {request.key for request in mount.store.requests}
        assert not any(key.startswith(("dd", "k")) for key in asked)


@in_trio
async def test_all_names_that_the_kernel_may_have_cached_are_invalidated_there() -> None:
    async with mounted("d/e/f", "g", negative_ttl=math.inf) as mount:
        await mount.lookup("g")
        inode = await mount.lookup("d/e/f")
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("missing")
        await mount.listdir()
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("unlisted")
        inode.opens += 1
        mount.tree.dentries.invalidate("", subtree=True)
        root, parent = mount.tree.inodes.root, inode.parent
        assert parent is not None
        assert parent.parent is not None
        # What is in use comes first: it does not go when its directory does.
        assert mount.invalidated[0] == (parent.ino, b"f")
        assert set(mount.invalidated[1:3]) == {(root.ino, b"missing"), (root.ino, b"unlisted")}
        assert set(mount.invalidated[3:]) == {
            (root.ino, b"d"), (root.ino, b"g"), (parent.parent.ino, b"e"),
        }  # fmt: skip
        mount.invalidated.clear()
        mount.tree.dentries.invalidate("new", subtree=True)
        assert mount.invalidated == [(root.ino, b"new")]
        mount.invalidated.clear()
        # What is above it may be in the negative cache.
        mount.tree.dentries.invalidate("unknown/above/below", subtree=True)
        assert mount.invalidated == [(root.ino, b"unknown")]


@in_trio
async def test_an_invalidated_file_in_a_directory_that_was_missing() -> None:
    async with mounted(negative_ttl=math.inf) as mount:
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d")
        mount.store.put("d/e/f", b"1")
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d/e/f", subtree=False)
        assert (await mount.lookup("d/e/f")).key == "d/e/f"


@in_trio
async def test_a_response_to_an_earlier_request_is_not_valid_after_an_invalidation() -> None:
    store = SlowAnswers()
    async with mounted("f", store=store, metadata_ttl=math.inf) as mount:
        early = Outcome()
        mount.nursery.start_soon(early.of, lambda: mount.lookup("f"))
        await store.looked.wait()
        mount.clock.now += 1
        mount.tree.dentries.invalidate("f", subtree=False)
        now = store.put("f", b"new")
        late = Outcome()
        mount.nursery.start_soon(late.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        store.released.set()
        await early.result()
        found = await late.result()
        assert isinstance(found, Inode)
        assert found.info == now
        assert (await mount.lookup("f")).info == now


@in_trio
async def test_a_listing_under_way_is_not_kept_after_an_invalidation() -> None:
    async with mounted("d/f", metadata_ttl=math.inf) as mount:
        directory = await mount.lookup("d")
        stall = Stall()
        mount.store.script("list", stall)
        early = await mount.start(lambda: mount.tree.listing(directory), stall)
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d", subtree=True)
        stall.released.set()
        await early.result()
        before = mount.store.count("list")
        await mount.tree.listing(directory)
        assert mount.store.count("list") == before + 1


@in_trio
async def test_a_version_found_by_a_question_is_not_undone_by_the_listing() -> None:
    """Nobody holds the new inode yet, and the old listing is still within its TTL."""
    async with mounted("d/f") as mount:
        await mount.listdir("d")
        inode = await mount.lookup("d/f")
        mount.clock.now += 10
        now = mount.store.put("d/f", b"new")
        await mount.tree.refresh(inode)
        assert inode.is_stale
        assert (await mount.lookup("d/f")).info == now
