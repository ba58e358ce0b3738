"""Requests for names beside listings, and for mtimes that only metadata has."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from cloudfs.vfs import tree as tree_module
from cloudfs_backends.api import ListPage
from cloudfs_backends.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StoreError,
    UnavailableError,
)
from tests.support.memory_store import Fail, MemoryStore
from tests.unit.cloudfs.vfs.trees import (
    TTL_S,
    Outcome,
    PlainStore,
    SlowAnswers,
    in_trio,
    mounted,
)


@in_trio
async def test_many_lookups_in_one_directory_are_answered_by_one_listing() -> None:
    async with mounted(*(f"d/{number}" for number in range(100))) as mount:
        for number in range(100):
            assert (await mount.lookup(f"d/{number}")).key == f"d/{number}"
            await trio.testing.wait_all_tasks_blocked()
        # One for `d`, and those before the listing was there.
        assert mount.store.count("head") == 1 + 8
        assert mount.store.count("list") == 1 + 8 + 1


@in_trio
async def test_a_directory_too_large_to_list_ahead_still_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_module, "_AHEAD_PAGES_MAX", 0)
    async with mounted(*(f"d/{number}" for number in range(30))) as mount:
        for number in range(30):
            assert (await mount.lookup(f"d/{number}")).key == f"d/{number}"
        assert mount.store.count("head") == 1 + 30


@in_trio
async def test_a_bucket_without_mtimes_costs_a_few_heads_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_module, "_LOOKUPS_BEFORE_LISTING", 1000)
    store = PlainStore()
    async with mounted(*(f"d{d}/{f}" for d in range(20) for f in range(5)), store=store) as mount:
        for number in range(20):
            await mount.listdir(f"d{number}")
        looked_up = 20
        assert store.count("head") - looked_up == 8
        inode = await mount.lookup("d3/1")
        assert mount.tree.has_final_attributes(inode)


@in_trio
async def test_a_bucket_with_mtimes_asks_for_each_listed_file() -> None:
    store = PlainStore("d/0", "d/1", "d/2")
    async with mounted("d/0", "d/1", "d/2", store=store) as mount:
        await mount.listdir("d")
        heads = store.count("head")
        inodes = [await mount.lookup(f"d/{number}") for number in range(3)]
        assert store.count("head") == heads
        assert [mount.tree.has_final_attributes(inode) for inode in inodes] == [False] * 3
        for inode in inodes:
            await mount.tree.refresh(inode)
            assert mount.tree.has_final_attributes(inode)
            assert not inode.is_stale
        # A later listing does not lose what the HEADs showed.
        mount.clock.now += TTL_S
        await mount.listdir("d")
        assert all(mount.tree.has_final_attributes(inode) for inode in inodes)


@in_trio
async def test_metadata_that_arrives_after_a_later_listing_is_not_lost() -> None:
    class Slow(SlowAnswers):
        async def list_page(
            self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
        ) -> ListPage:
            page = await super().list_page(prefix, delimiter=delimiter, token=token, limit=limit)
            objects = tuple(replace(info, has_metadata=False) for info in page.objects)
            return replace(page, objects=objects)

    store = Slow()
    async with mounted("f", store=store) as mount:
        head = Outcome()
        mount.nursery.start_soon(head.of, lambda: mount.lookup("f"))
        await store.looked.wait()
        mount.clock.now += 1
        root = mount.tree.inodes.root
        listing = await mount.tree.listing(root)
        listed = mount.tree.dentries.enter(root, listing.by_name[b"f"], listing.requested_at)
        listed.lookups += 1
        assert listed.info is not None
        assert not listed.info.has_metadata
        store.released.set()
        assert await head.result() is listed
        assert listed.info.has_metadata


@in_trio
async def test_a_looked_up_file_tells_of_mtimes_too() -> None:
    store = PlainStore("d/with")
    async with mounted("d/a", "d/with", store=store) as mount:
        await mount.listdir("d")
        listed = await mount.lookup("d/a")
        assert mount.tree.has_final_attributes(listed)
        mount.clock.now += TTL_S
        await mount.lookup("d/with")
        assert not mount.tree.has_final_attributes(listed)


@in_trio
async def test_listings_with_metadata_need_no_head() -> None:
    async with mounted("d/f") as mount:
        await mount.tree.listing(await mount.lookup("d"))
        assert [r.key for r in mount.store.requests if r.operation == "head"] == ["d"]


@pytest.mark.parametrize("error", [AccessDeniedError("403"), UnavailableError("503")], ids=repr)
@in_trio
async def test_a_failing_probe_does_not_fail_the_listing(error: StoreError) -> None:
    """The names are there; that one HEAD is refused is no reason to hide them all."""
    store = PlainStore()
    async with mounted("secret", "public", store=store) as mount:
        store.script("head", Fail(error))
        assert await mount.listdir() == [b"public", b"secret"]


@in_trio
async def test_a_file_deleted_before_its_probe_does_not_fail_the_listing() -> None:
    store = PlainStore()
    async with mounted("a", "b", store=store) as mount:
        store.script("head", Fail(ObjectNotFoundError("404")))
        assert await mount.listdir() == [b"a", b"b"]


@in_trio
async def test_the_pages_of_one_listing_are_asked_for_in_order() -> None:
    class Recording(MemoryStore):
        tokens: list[str | None]

        async def list_page(
            self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
        ) -> ListPage:
            self.tokens.append(token)
            return await super().list_page(prefix, delimiter=delimiter, token=token, limit=limit)

    store = Recording()
    store.tokens = []
    async with mounted(*(f"{number:05}" for number in range(2100)), store=store) as mount:
        await mount.listdir()
        assert store.tokens == [None, "00999", "01999"]
