"""The contract of object stores: the suite that each backend's tests subclass."""

from __future__ import annotations

import os
import threading
from typing import ClassVar

import pytest
import trio

from cloudfs_backends.api import ListPage, ReadBuffer
from cloudfs_backends.errors import ObjectChangedError, ObjectNotFoundError
from tests.contract.in_trio import in_trio
from tests.contract.large_suite import LargeContract
from tests.contract.world import DATA, World, all_pages, keys, prefixes, read


class StoreContract(LargeContract):
    """Subclasses give the fixture `world`: an empty store, with no retries around it."""

    same_bytes_same_version: ClassVar[bool] = False
    """The content identity depends on the bytes alone: rewriting them changes nothing."""

    odd_names: ClassVar[list[str]] = [
        "a%20b", "a%2Fb", "%", "a#b?c", "sp ace", "pl+us", "~tilde", "é/ü", "日本.h5", "😀",
        "q'u\"o", "b\\s", "a&b=c;d", "[x]{y}", "...", ".hidden", "e\u0301", "w" * 255,
        "long/" + "/".join(["d" * 50] * 18) + "/" + "x" * 50,
    ]  # fmt: skip

    @in_trio
    async def test_probe_accepts_an_empty_store(self, world: World) -> None:
        await world.store.probe()
        assert await world.store.list_page("") == ListPage((), (), None)

    @in_trio
    async def test_delimited_listing_over_many_pages(self, world: World) -> None:
        files = [f"f{number:02}" for number in range(9)]
        folders = [f"d{number}/" for number in range(5)]
        for key in files + [folder + name for folder in folders for name in ("x", "y", "z/w")]:
            world.put(key, b"1")
        pages = await all_pages(world.store, "", delimiter="/", limit=3)
        assert len(pages) == 5
        assert all(len(page.objects) + len(page.prefixes) <= 3 for page in pages)
        assert keys(pages) == files
        assert prefixes(pages) == folders
        inner = await all_pages(world.store, "d3/", delimiter="/", limit=2)
        assert (keys(inner), prefixes(inner)) == (["d3/x", "d3/y"], ["d3/z/"])

    @in_trio
    async def test_recursive_listing_is_in_the_order_of_the_keys_bytes(self, world: World) -> None:
        names = [
            "a-b",
            "a/1",
            "a/b/2",
            "a/c",
            "a.b",
            "ab",
            "B",
            "é",
            "z/y/x",
            "\U00010000",
            "\uffee",
        ]
        for key in names:
            world.put(key, key.encode())
        pages = await all_pages(world.store, "", limit=2)
        assert keys(pages) == sorted(names, key=os.fsencode)
        assert prefixes(pages) == []

    @in_trio
    async def test_prefix_need_not_end_at_a_slash(self, world: World) -> None:
        for key in ("train/a", "train/b/c", "trial", "test/d"):
            world.put(key, b"")
        assert keys(await all_pages(world.store, "tr", limit=10)) == [
            "train/a", "train/b/c", "trial",
        ]  # fmt: skip
        pages = await all_pages(world.store, "tr", delimiter="/", limit=10)
        assert (keys(pages), prefixes(pages)) == (["trial"], ["train/"])
        assert keys(await all_pages(world.store, "train/b/", limit=10)) == ["train/b/c"]

    @in_trio
    async def test_prefix_of_nothing_is_an_empty_page(self, world: World) -> None:
        world.put("a/b", b"")
        world.put("file", b"")
        for prefix in ("none", "none/", "a/none/", "file/", "../", "./", "/"):
            for delimiter in ("", "/"):
                page = await world.store.list_page(prefix, delimiter=delimiter)
                assert page == ListPage((), (), None), prefix

    @in_trio
    async def test_odd_names_are_kept_byte_for_byte(self, world: World) -> None:
        for name in self.odd_names:
            world.put(name, name.encode())
        pages = await all_pages(world.store, "", limit=1000)
        assert keys(pages) == sorted(self.odd_names, key=os.fsencode)
        for info in pages[0].objects:
            assert info.size == len(info.key.encode())
            assert (await world.store.head(info.key)).etag == info.etag
            content = await read(world.store, info.key, 0, info.size, info.etag)
            assert content == info.key.encode()

    @in_trio
    async def test_head_and_listing_agree(self, world: World) -> None:
        world.put("d/key", DATA)
        (listed,) = (await world.store.list_page("")).objects
        info = await world.store.head("d/key")
        assert (info.key, info.size, info.etag) == (listed.key, listed.size, listed.etag)
        assert info.size == len(DATA)
        assert info.has_metadata
        assert listed.has_metadata == world.store.capabilities.metadata_in_list
        assert abs(info.mtime_ns - listed.mtime_ns) < 1_000_000_000

    @in_trio
    async def test_mtime_of_a_copying_tool(self, world: World) -> None:
        world.put("key", b"1", {"mtime": "1600000000.25"})
        info = await world.store.head("key")
        assert info.mtime_ns == 1_600_000_000_250_000_000
        (listed,) = (await world.store.list_page("")).objects
        if world.store.capabilities.metadata_in_list:
            assert listed == info
        else:
            assert not listed.metadata_mtime
            assert listed.mtime_ns > info.mtime_ns

    @in_trio
    async def test_empty_object(self, world: World) -> None:
        world.put("empty", b"")
        assert (await world.store.head("empty")).size == 0
        (listed,) = (await world.store.list_page("")).objects
        assert listed.size == 0

    @in_trio
    async def test_ranges(self, world: World) -> None:
        world.put("data", DATA)
        etag = (await world.store.head("data")).etag
        size = len(DATA)
        for start, stop in (
            (0, 1), (0, size), (1, 70_000), (262_143, 262_145), (size - 1, size)
        ):  # fmt: skip
            assert await read(world.store, "data", start, stop, etag) == DATA[start:stop]
            assert await read(world.store, "data", start, stop, None) == DATA[start:stop]

    @in_trio
    async def test_overwritten_object_is_not_read_as_the_old_version(self, world: World) -> None:
        world.put("data", DATA)
        old = await world.store.head("data")
        world.put("data", DATA[::-1])
        with pytest.raises(ObjectChangedError):
            await read(world.store, "data", 0, 100, old.etag)
        new = await world.store.head("data")
        assert new.etag != old.etag
        assert await read(world.store, "data", 0, 100, new.etag) == DATA[::-1][:100]

    @in_trio
    async def test_version_of_another_object_is_not_read(self, world: World) -> None:
        world.put("data", DATA)
        world.put("other", DATA[::-1])
        other = await world.store.head("other")
        with pytest.raises(ObjectChangedError):
            await read(world.store, "data", 0, 100, other.etag)

    @in_trio
    async def test_same_bytes_written_again(self, world: World) -> None:
        world.put("data", DATA)
        old = await world.store.head("data")
        world.put("data", DATA)
        assert ((await world.store.head("data")).etag == old.etag) == self.same_bytes_same_version
        if self.same_bytes_same_version:
            assert await read(world.store, "data", 0, 100, old.etag) == DATA[:100]
        else:
            with pytest.raises(ObjectChangedError):
                await read(world.store, "data", 0, 100, old.etag)

    @in_trio
    async def test_range_past_the_end_means_that_it_shrank(self, world: World) -> None:
        world.put("short", b"0123456789")
        for start, stop in ((5, 20), (10, 11), (50, 60)):
            with pytest.raises(ObjectChangedError):
                await read(world.store, "short", start, stop, None)

    @pytest.mark.parametrize(
        "key", ["none", "d", "d/", "d/key/", "d/key/x", "/d/key", "d//key", "../d/key", ".", "..",
                "", "d/../d/key", "d/./key", "a\nb", "\udcff", "y" * 2000],
    )  # fmt: skip
    @in_trio
    async def test_what_is_not_there_is_not_found(self, world: World, key: str) -> None:
        world.put("d/key", DATA)
        with pytest.raises(ObjectNotFoundError):
            await world.store.head(key)
        with pytest.raises(ObjectNotFoundError):
            await read(world.store, key, 0, 1, None)

    @in_trio
    async def test_deleted_object_is_not_found(self, world: World) -> None:
        world.put("data", DATA)
        etag = (await world.store.head("data")).etag
        world.delete("data")
        with pytest.raises(ObjectNotFoundError):
            await read(world.store, "data", 0, 1, etag)

    @in_trio
    async def test_error_names_operation_and_key(self, world: World) -> None:
        with pytest.raises(ObjectNotFoundError) as caught:
            await world.store.head("none")
        assert (caught.value.operation, caught.value.key) == ("head", "none")
        assert "'none'" in caught.value.describe()
        assert "\n" not in caught.value.describe()

    @in_trio
    async def test_what_a_sink_raises_passes_unchanged(self, world: World) -> None:
        world.put("data", DATA)
        error = FileNotFoundError("the sink's own")
        calls = 0

        def sink(_: ReadBuffer) -> None:
            nonlocal calls
            calls += 1
            raise error

        with pytest.raises(FileNotFoundError) as caught:
            await world.store.get_range("data", 0, len(DATA), etag=None, sink=sink)
        assert caught.value is error
        assert calls == 1
        assert await read(world.store, "data", 0, 10, None) == DATA[:10]


class ThreadedStoreContract(StoreContract):
    """What also holds for the stores that block in worker threads."""

    @in_trio
    async def test_cancelled_read_is_abandoned_at_once(self, world: World) -> None:
        world.put("data", DATA)
        reached, released, ended = threading.Event(), threading.Event(), threading.Event()

        def sink(_: ReadBuffer) -> None:
            reached.set()
            released.wait()
            ended.set()
            raise RuntimeError("cancelled")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: world.store.get_range("data", 0, len(DATA), etag=None, sink=sink)
            )
            await trio.to_thread.run_sync(reached.wait)
            nursery.cancel_scope.cancel()
        assert not ended.is_set()
        released.set()
        await trio.to_thread.run_sync(ended.wait)
        assert await read(world.store, "data", 0, len(DATA), None) == DATA
