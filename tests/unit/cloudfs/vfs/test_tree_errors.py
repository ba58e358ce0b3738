"""Errors of the store in the tree: never a missing name, never a short listing."""

from __future__ import annotations

import pytest

from cloudfs.vfs.errors import NoSuchEntryError
from cloudfs_backends.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tests.support.memory_store import Fail, Stall
from tests.unit.cloudfs.vfs.trees import (
    TTL_S,
    in_trio,
    mounted,
)


@pytest.mark.parametrize("operation", ["head", "list"])
@pytest.mark.parametrize(
    "error", [UnavailableError("503"), ThrottledError("slow"), AccessDeniedError("403")], ids=repr
)
@pytest.mark.parametrize("path", ["f", "missing"])
@in_trio
async def test_an_error_is_never_a_missing_name(
    path: str, error: StoreError, operation: str
) -> None:
    async with mounted("f") as mount:
        mount.store.script(operation, Fail(error))
        with pytest.raises(type(error)):
            await mount.lookup(path)
        # Nothing came of it.
        if path == "f":
            assert (await mount.lookup("f")).key == "f"
        else:
            mount.store.put("missing", b"1")
            assert (await mount.lookup("missing")).key == "missing"


@in_trio
async def test_an_error_in_the_middle_of_a_listing_shows_no_part_of_it() -> None:
    async with mounted(*(f"{number:05}" for number in range(1200))) as mount:
        passed = Stall()
        passed.released.set()
        mount.store.script("list", passed, Fail(UnavailableError("503")))
        with pytest.raises(UnavailableError):
            await mount.listdir()
        assert len(await mount.listdir()) == 1200


@in_trio
async def test_an_error_does_not_supersede_what_is_known() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        mount.clock.now += TTL_S + 1
        mount.store.script("head", Fail(UnavailableError("503")))
        with pytest.raises(UnavailableError):
            await mount.tree.revalidate(inode)
        mount.store.script("list", Fail(UnavailableError("503")))
        with pytest.raises(UnavailableError):
            await mount.listdir()
        assert not inode.is_stale
        assert await mount.lookup("f") is inode


@in_trio
async def test_a_deleted_file_is_gone_at_the_next_question() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        mount.store.delete("f")
        mount.clock.now += TTL_S + 1
        await mount.tree.revalidate(inode)
        assert inode.is_stale
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("f")


@in_trio
async def test_not_found_from_head_is_a_missing_file_not_an_error() -> None:
    async with mounted("d/f") as mount:
        mount.store.script("head", Fail(ObjectNotFoundError("404")))
        assert (await mount.lookup("d")).is_directory
