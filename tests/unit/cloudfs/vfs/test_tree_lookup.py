"""Lookups in the tree: what a name is, and how requests are shared."""

from __future__ import annotations

import pytest
import trio

from cloudfs.vfs.errors import NoSuchEntryError, NotADirectoryEntryError
from cloudfs.vfs.inode import Inode
from cloudfs_backends.errors import (
    UnavailableError,
)
from tests.support.memory_store import Fail, Stall
from tests.unit.cloudfs.vfs.trees import (
    TTL_S,
    Outcome,
    in_trio,
    mounted,
)


@in_trio
async def test_a_file_and_a_directory() -> None:
    async with mounted("f", "d/inside") as mount:
        file, directory = await mount.lookup("f"), await mount.lookup("d")
        assert (file.key, file.is_directory) == ("f", False)
        assert file.info == await mount.store.head("f")
        assert (directory.key, directory.is_directory) == ("d/", True)
        assert (await mount.lookup("d/inside")).key == "d/inside"


@in_trio
async def test_a_marker_alone_is_a_directory() -> None:
    async with mounted("empty/") as mount:
        assert (await mount.lookup("empty")).is_directory
        assert await mount.listdir("empty") == []


def test_a_directory_wins_over_a_file_of_its_name(caplog: pytest.LogCaptureFixture) -> None:
    @in_trio
    async def look() -> None:
        async with mounted("both", "both/inside") as mount:
            assert (await mount.lookup("both")).is_directory
            assert await mount.listdir() == [b"both"]
            assert await mount.listdir("both") == [b"inside"]
            mount.clock.now += 2 * TTL_S
            await mount.lookup("both")
            assert mount.tree.hidden.count == 1

    look()
    assert len(caplog.records) == 1


@in_trio
async def test_a_missing_name() -> None:
    async with mounted("d/f") as mount:
        for path in ("nothing", "d/nothing", "d/f2", "d/f/x"):
            with pytest.raises((NoSuchEntryError, NotADirectoryEntryError)):
                await mount.lookup(path)
        with pytest.raises(NotADirectoryEntryError):
            await mount.lookup("d/f/x")


@in_trio
async def test_impossible_names_are_missing_without_a_request() -> None:
    async with mounted("a//b", "a/./b", "a/" + "x" * 256) as mount:
        root = mount.tree.inodes.root
        for name in (b"", b".", b"..", b"x" * 256):
            with pytest.raises(NoSuchEntryError):
                await mount.tree.lookup(root, name)
        assert mount.requests() == 0


@in_trio
async def test_names_that_are_not_utf8_survive() -> None:
    async with mounted("caf\udce9") as mount:
        inode = await mount.tree.lookup(mount.tree.inodes.root, b"caf\xe9")
        assert inode.key == "caf\udce9"


@in_trio
async def test_lookups_of_one_name_share_one_request() -> None:
    async with mounted("f") as mount:
        stall = Stall()
        mount.store.script("head", stall)
        first = await mount.start(lambda: mount.lookup("f"), stall)
        others = [Outcome() for _ in range(20)]
        for other in others:
            mount.nursery.start_soon(other.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        stall.released.set()
        inode = await first.result()
        assert [await other.result() for other in others] == [inode] * 20
        assert (mount.store.count("head"), mount.store.count("list")) == (1, 1)
        assert mount.tree.inodes.get(2).lookups == 21


@in_trio
async def test_listings_of_one_directory_share_one_request() -> None:
    async with mounted("a", "b") as mount:
        stall = Stall()
        mount.store.script("list", stall)
        first = await mount.start(mount.listdir, stall)
        second = Outcome()
        mount.nursery.start_soon(second.of, mount.listdir)
        await trio.testing.wait_all_tasks_blocked()
        stall.released.set()
        assert await first.result() == await second.result() == [b"a", b"b"]
        assert mount.store.count("list") == 1


@in_trio
async def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    async with mounted("f") as mount:
        stall = Stall()
        mount.store.script("head", stall)
        gone = trio.CancelScope()

        async def impatient() -> None:
            with gone:
                await mount.lookup("f")

        await mount.start(impatient, stall)
        patient = Outcome()
        mount.nursery.start_soon(patient.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        gone.cancel()
        await trio.testing.wait_all_tasks_blocked()
        stall.released.set()
        assert isinstance(await patient.result(), Inode)
        assert mount.store.count("head") == 1


@in_trio
async def test_an_error_goes_to_every_caller_and_is_not_cached() -> None:
    async with mounted("f") as mount:
        first_stall = Stall()
        mount.store.script("head", first_stall)
        mount.store.script("list", Fail(UnavailableError("503")))
        first = await mount.start(lambda: mount.lookup("f"), first_stall)
        second = Outcome()
        mount.nursery.start_soon(second.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        first_stall.released.set()
        for outcome in (first, second):
            with pytest.raises(UnavailableError):
                await outcome.result()
        assert (await mount.lookup("f")).key == "f"
