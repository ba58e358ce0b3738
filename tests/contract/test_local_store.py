"""`file://`: the contract, and peculiarities of folders: links, empty folders, special files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from cloudfs_backends.api import ReadBuffer, StoreOptions
from cloudfs_backends.common.mtime import metadata_mtime_ns
from cloudfs_backends.errors import BucketNotFoundError, ObjectChangedError, ObjectNotFoundError
from cloudfs_backends.registry import open_inspector
from tests.contract.in_trio import in_trio
from tests.contract.suite import DATA, ThreadedStoreContract, all_pages, keys, prefixes, read


class _World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = open_inspector(f"file://{root}", StoreOptions())

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        mtime_ns = metadata_mtime_ns(metadata or {})
        if mtime_ns is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))

    def delete(self, key: str) -> None:
        (self.root / key).unlink()


@pytest.fixture
def world(tmp_path: Path) -> _World:
    root = tmp_path / "root"
    root.mkdir()
    return _World(root)


async def _listed(world: _World, prefix: str = "") -> list[str]:
    return keys(await all_pages(world.store, prefix, limit=2))


class TestLocalStore(ThreadedStoreContract):
    odd_names: ClassVar = [*ThreadedStoreContract.odd_names, "a\nb", "\x01", "\udcff\udc80", "\x7f"]

    @in_trio
    async def test_odd_names_are_kept_byte_for_byte(self, world: _World) -> None:
        for name in self.odd_names:
            world.put(name, os.fsencode(name))
        assert await _listed(world) == sorted(self.odd_names, key=os.fsencode)
        for name in self.odd_names:
            info = await world.store.head(name)
            content = await read(world.store, name, 0, info.size, info.etag)
            assert content == os.fsencode(name)


class TestHugeFiles:
    @in_trio
    async def test_places_beyond_four_gibibytes(self, world: _World) -> None:
        size, mark = 5 * 2**30 + 3, b"beyond 32 bits"
        path = world.root / "sparse"
        with path.open("wb") as file:
            file.truncate(size)
            for place in (2**32 - 7, size - len(mark)):
                file.seek(place)
                file.write(mark)
        info = await world.store.head("sparse")
        assert info.size == size
        for place in (2**32 - 7, size - len(mark)):
            content = await read(world.store, "sparse", place - 9, place + len(mark), info.etag)
            assert content == bytes(9) + mark
        with pytest.raises(ObjectChangedError):
            await read(world.store, "sparse", size - 1, size + 1, info.etag)


class TestFolders:
    @in_trio
    async def test_missing_root_is_a_missing_bucket(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for name in ("none", "file"):
            store = open_inspector(f"file://{tmp_path}/{name}", StoreOptions())
            with pytest.raises(BucketNotFoundError):
                await store.probe()
            with pytest.raises(BucketNotFoundError):
                await store.head("key")

    @in_trio
    async def test_empty_folders_are_markers(self, world: _World) -> None:
        (world.root / "empty").mkdir()
        (world.root / "full" / "inner").mkdir(parents=True)
        world.put("full/x", b"")
        assert await _listed(world) == ["empty/", "full/inner/", "full/x"]
        assert await _listed(world, "empty/") == ["empty/"]
        page = await world.store.list_page("", delimiter="/")
        assert page.prefixes == ("empty/", "full/")
        page = await world.store.list_page("empty/", delimiter="/")
        assert [(info.key, info.size) for info in page.objects] == [("empty/", 0)]
        assert (await world.store.head("empty/")).size == 0
        with pytest.raises(ObjectNotFoundError):
            await world.store.head("full/")

    @in_trio
    async def test_listing_goes_on_without_its_cursor(self, world: _World) -> None:
        names = ["a/b/1", "a/b/2", "a/c", "d/e", "f"]
        for name in names:
            world.put(name, b"")
        for position in range(1, len(names)):
            fresh = open_inspector(world.store.url, StoreOptions())
            page = await fresh.list_page("", token=names[position - 1], limit=1)
            assert [info.key for info in page.objects] == [names[position]]
        page = await world.store.list_page("a/b/", token="a/b/2")
        assert page.objects == ()


class TestLinks:
    @in_trio
    async def test_links_inside_are_followed(self, world: _World) -> None:
        world.put("real/data", DATA)
        (world.root / "file").symlink_to("real/data")
        (world.root / "folder").symlink_to("real")
        assert await _listed(world) == ["file", "folder/data", "real/data"]
        for key in ("file", "folder/data"):
            info = await world.store.head(key)
            assert await read(world.store, key, 5, 25, info.etag) == DATA[5:25]

    @in_trio
    async def test_links_to_the_outside_are_hidden(self, world: _World, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        (world.root / "file").symlink_to(outside / "secret")
        (world.root / "folder").symlink_to(outside)
        (world.root / "gone").symlink_to("nowhere")
        (world.root / "self").symlink_to("self")
        world.put("seen", b"")
        assert await _listed(world) == ["seen"]
        page = await world.store.list_page("", delimiter="/")
        assert page.prefixes == ()
        assert (await world.store.list_page("folder/")).objects == ()
        for key in ("file", "folder/secret", "../outside/secret", "gone", "self", "folder/"):
            with pytest.raises(ObjectNotFoundError):
                await world.store.head(key)
            with pytest.raises(ObjectNotFoundError):
                await read(world.store, key, 0, 1, None)

    @in_trio
    async def test_loops_end(self, world: _World) -> None:
        world.put("a/x", b"")
        world.put("b/y", b"")
        (world.root / "a" / "up").symlink_to("..")
        (world.root / "a" / "to_b").symlink_to("../b")
        (world.root / "b" / "to_a").symlink_to("../a")
        assert await _listed(world) == ["a/to_b/y", "a/x", "b/to_a/x", "b/y"]
        pages = await all_pages(world.store, "a/to_b/", delimiter="/", limit=5)
        assert (keys(pages), prefixes(pages)) == (["a/to_b/y"], [])

    @in_trio
    async def test_special_files_are_hidden(self, world: _World) -> None:
        os.mkfifo(world.root / "pipe")
        world.put("seen", b"")
        assert await _listed(world) == ["seen"]
        with pytest.raises(ObjectNotFoundError):
            await world.store.head("pipe")
        with pytest.raises(ObjectNotFoundError):
            await read(world.store, "pipe", 0, 1, None)


class TestVersions:
    @in_trio
    async def test_rewrite_of_same_size_and_mtime_is_another_version(self, world: _World) -> None:
        world.put("data", DATA)
        before = (world.root / "data").stat()
        old = await world.store.head("data")
        world.put("data", DATA[::-1])
        os.utime(world.root / "data", ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(ObjectChangedError):
            await read(world.store, "data", 0, 1, old.etag)

    @in_trio
    async def test_no_byte_of_a_new_version_is_handed_on(self, world: _World) -> None:
        world.put("data", DATA)
        received = bytearray()

        def sink(chunk: ReadBuffer) -> None:
            received.extend(chunk)
            world.put("data", bytes(len(DATA)))

        with pytest.raises(ObjectChangedError):
            await world.store.get_range("data", 0, len(DATA), etag=None, sink=sink)
        assert 0 < len(received) < len(DATA)
        assert received == DATA[: len(received)]
