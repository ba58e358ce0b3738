"""Listings of the tree: whole, and what they do to inodes that the kernel holds."""

from __future__ import annotations

import pytest

from cloudfs.vfs.errors import NoSuchEntryError, NotADirectoryEntryError
from tests.unit.cloudfs.vfs.trees import (
    TTL_S,
    in_trio,
    kernel_name,
    mounted,
)


@in_trio
async def test_a_directory_that_vanished() -> None:
    async with mounted("d/f", "other") as mount:
        directory = await mount.lookup("d")
        await mount.listdir("d")
        mount.store.delete("d/f")
        mount.clock.now += TTL_S
        with pytest.raises(NoSuchEntryError):
            await mount.tree.listing(directory)
        assert directory.is_stale
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d")


@in_trio
async def test_an_empty_root_is_a_directory() -> None:
    async with mounted() as mount:
        assert await mount.listdir() == []
        mount.store.put("f", b"1")
        mount.clock.now += TTL_S
        assert await mount.listdir() == [b"f"]


@in_trio
async def test_a_listing_of_many_pages_is_whole() -> None:
    async with mounted(*(f"d/{number:05}" for number in range(2500))) as mount:
        names = await mount.listdir("d")
        assert names == [b"%05d" % number for number in range(2500)]
        assert mount.store.count("list") == 1 + 3


@in_trio
async def test_listing_a_file_is_refused() -> None:
    async with mounted("f") as mount:
        with pytest.raises(NotADirectoryEntryError):
            await mount.tree.listing(await mount.lookup("f"))


@in_trio
async def test_a_file_becomes_a_directory_and_back() -> None:
    async with mounted("x", metadata_ttl=0.0, negative_ttl=0.0) as mount:
        file = await mount.lookup("x")
        mount.store.put("x/inside", b"1")
        mount.store.delete("x")
        directory = await mount.lookup("x")
        assert directory.is_directory
        assert file.is_stale
        inside = await mount.lookup("x/inside")
        mount.store.delete("x/inside")
        mount.store.put("x", b"again")
        again = await mount.lookup("x")
        assert not again.is_directory
        assert len({file.ino, directory.ino, inside.ino, again.ino}) == 4


@in_trio
async def test_a_store_that_says_changed_makes_the_next_lookup_ask() -> None:
    async with mounted("d/f") as mount:
        await mount.listdir("d")
        inode = await mount.lookup("d/f")
        now = mount.store.put("d/f", b"new")
        mount.tree.dentries.mark_changed(inode)
        mount.tree.dentries.mark_changed(inode)
        assert mount.invalidated == [kernel_name(inode)]
        assert mount.tree.dentries.entry_valid_s(inode) == 0.0
        assert (await mount.lookup("d/f")).info == now


@in_trio
async def test_a_name_that_the_kernel_does_not_reference_is_not_invalidated_there() -> None:
    async with mounted("f") as mount:
        inode = await mount.tree.lookup(mount.tree.inodes.root, b"f")
        mount.tree.dentries.mark_changed(inode)
        assert (inode.is_stale, mount.invalidated) == (True, [])


@in_trio
async def test_what_the_kernel_forgets_is_dropped() -> None:
    async with mounted(*(f"d/e/{number}" for number in range(50))) as mount:
        held = [await mount.lookup(f"d/e/{number}") for number in range(50)]
        for inode in held:
            mount.tree.inodes.forget(inode.ino, inode.lookups)
        for path in ("d/e", "d"):
            directory = await mount.lookup(path)
            mount.tree.inodes.forget(directory.ino, directory.lookups)
        outer = await mount.lookup("d")
        mount.tree.inodes.forget(outer.ino, outer.lookups)
        assert list(mount.tree.inodes) == [mount.tree.inodes.root]
        assert (await mount.lookup("d/e/7")).key == "d/e/7"


@in_trio
async def test_a_change_leaves_no_inode_without_a_reference() -> None:
    """Changes found by a listing or by open enter no inode that the kernel would never forget."""
    async with mounted("listed", "opened") as mount:
        listed, opened = await mount.lookup("listed"), await mount.lookup("opened")
        mount.store.put("listed", b"new")
        mount.store.put("opened", b"new")
        mount.clock.now += TTL_S + 1
        await mount.tree.revalidate(opened)
        await mount.listdir()
        assert (listed.is_stale, opened.is_stale) == (True, True)
        for inode in (listed, opened):
            mount.tree.inodes.forget(inode.ino, inode.lookups)
        assert list(mount.tree.inodes) == [mount.tree.inodes.root]
