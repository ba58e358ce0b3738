"""TTLs of single paths in the tree."""

from __future__ import annotations

from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from tests.unit.cloudfs.vfs.trees import (
    in_trio,
    mounted,
)


@in_trio
async def test_a_path_without_ttl_is_asked_for_each_time() -> None:
    def ttl_of(key: str) -> float | None:
        return 0.0 if key.startswith("now/") else None

    async with mounted("now/f", "later/f", ttl_of=ttl_of) as mount:
        for _ in range(3):
            inode = await mount.lookup("now/f")
            await mount.lookup("later/f")
            assert mount.tree.dentries.entry_valid_s(inode) == 0.0
        asked = [request.key for request in mount.store.requests if request.operation == "head"]
        assert [asked.count(key) for key in ("now/f", "later/f")] == [3, 1]
        now, later = await mount.lookup("now"), await mount.lookup("later")
        before = mount.store.count("list")
        for _ in range(3):
            await mount.tree.listing(now)
            await mount.tree.listing(later)
        assert mount.store.count("list") - before == 4


@in_trio
async def test_a_listing_does_not_stretch_the_ttl_of_one_of_its_files() -> None:
    def ttl_of(key: str) -> float | None:
        return None if key in {"d/", "d/long"} else 1.0

    async with mounted("d/short", "d/unseen", "d/long", ttl_of=ttl_of) as mount:
        directory = await mount.lookup("d")
        await mount.tree.listing(directory)
        mount.store.requests.clear()
        for name in (b"short", b"long"):
            (await mount.tree.lookup(directory, name)).lookups += 1
        assert mount.requests() == 0
        mount.clock.now += 1
        for name in (b"short", b"long", b"unseen"):
            await mount.tree.lookup(directory, name)
        asked = [request.key for request in mount.store.requests if request.operation == "head"]
        assert asked == ["d/short", "d/unseen"]


@in_trio
async def test_a_file_newer_than_the_listing_stays_with_a_ttl_of_zero() -> None:
    """The listing shows it as missing, and is still valid for others."""
    async with mounted("d/a", ttl_of=lambda key: 0.0 if key == "d/new" else None) as mount:
        directory = await mount.lookup("d")
        await mount.tree.listing(directory)
        mount.clock.now += 1
        mount.store.put("d/new", b"1")
        info = await mount.store.head("d/new")
        entry = DirectoryEntry(b"new", InodeKind.FILE, info)
        mount.tree.dentries.enter(directory, entry, mount.clock.now).lookups += 1
        mount.clock.now += 1
        assert (await mount.lookup("d/new")).key == "d/new"


@in_trio
async def test_open_asks_again_after_the_paths_own_ttl() -> None:
    async with mounted("f", ttl_of=lambda _: 10.0) as mount:
        inode = await mount.lookup("f")
        mount.store.put("f", b"new")
        mount.clock.now += 9
        await mount.tree.revalidate(inode)
        assert not inode.is_stale
        mount.clock.now += 2
        await mount.tree.revalidate(inode)
        assert inode.is_stale
