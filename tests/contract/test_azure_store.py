"""Azure on Azurite: the contract, names that only Azure has, metadata, folders, encryption."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import ClassVar

import pytest
import trio
from azure.storage.blob import ContentSettings

from cloudfs_backends.api import ListPage, StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.common.obstore_reads import CHUNK_BYTES
from cloudfs_backends.errors import BucketNotFoundError, ObjectNotFoundError, UnavailableError
from cloudfs_backends.registry import open_inspector
from tests.contract.in_trio import in_trio
from tests.contract.suite import StoreContract, ThreadedStoreContract
from tests.contract.world import DATA, World, all_pages, keys, prefixes, read
from tests.support.azure import ACCOUNT, AzureBucket, AzureServer
from tests.support.proxy import ProxiedRequest, Proxy, Stall, always, is_get_object

pytestmark = pytest.mark.usefixtures("_azure")

_BACKSLASH = "Azure takes a backslash in a name for a slash: no blob can have one"


class _World:
    """A store on a prefix of the container."""

    prefix = "some/prefix/"

    def __init__(self, bucket: AzureBucket, server: AzureServer) -> None:
        self._bucket = bucket
        self.store = _store(bucket, server.endpoint_url, prefix=self.prefix)

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        self._bucket.put(self.prefix + key, data, metadata)

    def put_folder(self, key: str) -> None:
        self._bucket.put_folder(self.prefix + key)

    def delete(self, key: str) -> None:
        self._bucket.delete(self.prefix + key)


def _store(
    bucket: AzureBucket, endpoint_url: str, *, prefix: str = "", **options: object
) -> StoreInspector:
    settings = StoreOptions(endpoint_url=endpoint_url, **options)  # type: ignore[arg-type]
    return open_inspector(f"{bucket.url}/{prefix}", settings)


@pytest.fixture
def world(azure_bucket: AzureBucket, azure_server: AzureServer) -> Iterator[_World]:
    azure_bucket.put("another/key", b"not in the prefix")
    made = _World(azure_bucket, azure_server)
    yield made
    trio.run(made.store.aclose)


class TestAzureStore(ThreadedStoreContract):
    fills_slowly = True
    gaps: ClassVar = {
        "test_recursive_listing_is_in_the_order_of_the_keys_bytes": (
            "Azurite orders names by UTF-16, as JavaScript does"
        ),
        "test_odd_names_are_kept_byte_for_byte": _BACKSLASH,
        "test_deleted_object_is_not_found": (
            "Azurite answers If-Match for a blob that is gone with 412, where Azure answers 404"
        ),
    }

    @in_trio
    async def test_marker_of_the_prefix_has_no_name(self, world: _World) -> None:
        world.put("", b"")
        world.put("key", b"")
        assert keys(await all_pages(world.store, "", limit=10)) == ["key"]


class TestAllOtherOddNames:
    """What the gaps of the contract would leave untested."""

    odd_names: ClassVar = [name for name in StoreContract.odd_names if "\\" not in name]
    test_odd_names = StoreContract.test_odd_names_are_kept_byte_for_byte

    @in_trio
    async def test_order_of_names_below_the_surrogates(self, world: World) -> None:
        names = ["a-b", "a/1", "a/b/2", "a/c", "a.b", "ab", "B", "é", "z/y/x", "\uffee"]
        for key in names:
            world.put(key, b"1")
        assert keys(await all_pages(world.store, "", limit=2)) == sorted(names, key=os.fsencode)

    @in_trio
    async def test_deleted_object_is_not_found_without_a_version(self, world: World) -> None:
        world.put("data", DATA)
        world.delete("data")
        with pytest.raises(ObjectNotFoundError):
            await read(world.store, "data", 0, 1, None)


class TestNamesOfAzure:
    @in_trio
    async def test_keys_that_are_no_paths(
        self, azure_bucket: AzureBucket, azure_server: AzureServer
    ) -> None:
        names = ["/lead", "a//b", "a/", "//", "a\nb", "a.", "b./c", "k" * 1024, "é" * 1024]
        for name in names:
            azure_bucket.put(name, name.encode())
        store = _store(azure_bucket, azure_server.endpoint_url)
        assert keys(await all_pages(store, "", limit=3)) == sorted(names, key=os.fsencode)
        for name in names:
            info = await store.head(name)
            assert await read(store, name, 0, info.size, info.etag) == name.encode()
        await store.aclose()

    @pytest.mark.parametrize(
        "key", [".", "..", "a/..", "./a", "a/../b", "a/./b", "a\\b", "é" * 1025]
    )
    @in_trio
    async def test_what_would_name_another_blob_is_not_asked_for(
        self, azure_bucket: AzureBucket, azure_wire: Proxy, key: str
    ) -> None:
        azure_bucket.put_all({"a": b"1", "b": b"1", "a/b": b"1"})
        store = _store(azure_bucket, f"{azure_wire.endpoint_url}/{ACCOUNT}")
        with pytest.raises(ObjectNotFoundError):
            await store.head(key)
        with pytest.raises(ObjectNotFoundError):
            await read(store, key, 0, 1, None)
        assert azure_wire.requests == []
        await store.aclose()

    @in_trio
    async def test_prefix_of_names_with_a_dot_in_front(self, world: World) -> None:
        for key in (".hidden", "..more", "a/.b"):
            world.put(key, b"")
        assert keys(await all_pages(world.store, ".", limit=10)) == ["..more", ".hidden"]
        assert keys(await all_pages(world.store, "a/.", limit=10)) == ["a/.b"]


class TestFolders:
    """The stubs that blobfuse and Hadoop write, and that a hierarchical namespace shows."""

    @in_trio
    async def test_stub_is_no_file(self, world: _World) -> None:
        world.put_folder("folder")
        with pytest.raises(ObjectNotFoundError):
            await world.store.head("folder")

    @in_trio
    async def test_delimited_listing_shows_folders_once(self, world: _World) -> None:
        for folder in ("empty", "full", "full/inner"):
            world.put_folder(folder)
        for key in ("full/file", "full.txt", "full-1", "plain/file"):
            world.put(key, b"1")
        pages = await all_pages(world.store, "", delimiter="/", limit=100)
        assert prefixes(pages) == ["empty/", "full/", "plain/"]
        assert keys(pages) == ["full-1", "full.txt"]
        inner = await all_pages(world.store, "full/", delimiter="/", limit=100)
        assert (prefixes(inner), keys(inner)) == (["full/inner/"], ["full/file"])

    @in_trio
    async def test_recursive_listing_has_markers(self, world: _World) -> None:
        world.put_folder("folder")
        world.put_folder("folder/inner")
        world.put("folder/file", b"1")
        pages = await all_pages(world.store, "", limit=100)
        assert keys(pages) == ["folder/", "folder/file", "folder/inner/"]
        below = await world.store.list_page("folder/", limit=1)
        assert keys([below]) == ["folder/file"]

    @pytest.mark.parametrize("delimiter", ["", "/"])
    @in_trio
    async def test_empty_folder_is_there(self, world: _World, delimiter: str) -> None:
        world.put_folder("empty")
        page = await world.store.list_page("empty/", delimiter=delimiter)
        (marker,) = page.objects
        assert (marker.key, marker.size) == ("empty/", 0)
        assert page == ListPage((marker,), (), None)

    @in_trio
    async def test_empty_file_is_no_folder(self, world: _World) -> None:
        world.put("file", b"")
        world.put("lie", b"1", {"hdi_isfolder": "true"})
        for prefix in ("file/", "lie/", "none/"):
            assert await world.store.list_page(prefix) == ListPage((), (), None)
        assert (await world.store.head("lie")).size == 1

    @in_trio
    async def test_folder_of_the_url_has_no_marker(self, world: _World) -> None:
        world.put_folder("folder")
        world.put_folder("")
        assert keys(await all_pages(world.store, "", limit=10)) == ["folder/"]

    @pytest.mark.parametrize(("key", "below"), [("file", []), ("empty", ["empty/"]), ("none", [])])
    @in_trio
    async def test_key_that_is_asked_for_beside_is_not_asked_for_twice(
        self, azure_bucket: AzureBucket, azure_wire: Proxy, key: str, below: list[str]
    ) -> None:
        """As the core does it: the key, and what is below it, at once."""
        azure_bucket.put("file", b"1")
        azure_bucket.put_folder("empty")
        store = _store(azure_bucket, f"{azure_wire.endpoint_url}/{ACCOUNT}")
        azure_wire.plan = always(Stall(), when=_is_list)
        pages: list[ListPage] = []

        async def list_below() -> None:
            pages.append(await store.list_page(f"{key}/", limit=1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(list_below)
            await trio.to_thread.run_sync(azure_wire.wait_requests, 1, _is_list)
            with suppress(ObjectNotFoundError):
                await store.head(key)
            azure_wire.release()
        assert keys(pages) == below
        assert len(azure_wire.requests) == 2
        await store.aclose()

    @in_trio
    async def test_listing_alone_asks_for_the_folder(
        self, azure_bucket: AzureBucket, azure_wire: Proxy
    ) -> None:
        azure_bucket.put_folder("empty")
        store = _store(azure_bucket, f"{azure_wire.endpoint_url}/{ACCOUNT}")
        assert keys([await store.list_page("empty/", limit=1)]) == ["empty/"]
        assert [request.method for request in azure_wire.requests] == ["GET", "HEAD"]
        await store.aclose()


def _is_list(request: ProxiedRequest) -> bool:
    return "comp=list" in request.target


class TestMetadata:
    @pytest.mark.parametrize(
        ("metadata", "mtime_ns"),
        [
            ({"mtime": "1700000000.123456789"}, 1_700_000_000_123_456_789),
            ({"Mtime": "1700000000"}, 1_700_000_000_000_000_000),
            ({"gcsfuse_mtime": "2023-11-14T22:13:20.000000001Z"}, 1_700_000_000_000_000_001),
        ],
    )
    @in_trio
    async def test_mtime(self, world: World, metadata: dict[str, str], mtime_ns: int) -> None:
        world.put("key", b"1", metadata)
        info = await world.store.head("key")
        (listed,) = (await world.store.list_page("")).objects
        assert (info.mtime_ns, info.metadata_mtime, info.has_metadata) == (mtime_ns, True, True)
        assert listed == info

    @in_trio
    async def test_malformed_mtime_is_last_modified(self, world: World) -> None:
        world.put("key", b"1", {"mtime": "yesterday"})
        info = await world.store.head("key")
        (listed,) = (await world.store.list_page("")).objects
        assert not info.metadata_mtime
        assert listed == info
        assert info.mtime_ns > 1_700_000_000_000_000_000


class TestBytes:
    @in_trio
    async def test_encoded_bytes_stay_as_they_are_stored(
        self, azure_bucket: AzureBucket, azure_wire: Proxy
    ) -> None:
        encoded = ContentSettings(content_encoding="gzip")
        for key in ("key", "a//b"):
            azure_bucket.put(key, DATA, content_settings=encoded)
        store = _store(azure_bucket, f"{azure_wire.endpoint_url}/{ACCOUNT}")
        for key in ("key", "a//b"):
            etag = (await store.head(key)).etag
            assert await read(store, key, 7, 300_000, etag) == DATA[7:300_000]
        assert azure_wire.count(is_get_object) == 2
        await store.aclose()

    @in_trio
    async def test_sdk_hands_on_a_large_range_as_it_comes(
        self, azure_bucket: AzureBucket, azure_wire: Proxy
    ) -> None:
        """Left to itself it would take 32 MiB at a time."""
        size = 33 * 2**20
        azure_bucket.put("a//b", bytes(size))
        store = _store(azure_bucket, f"{azure_wire.endpoint_url}/{ACCOUNT}")
        pieces: list[int] = []
        await store.get_range("a//b", 0, size, etag=None, sink=lambda b: pieces.append(len(b)))
        assert sum(pieces) == size
        assert max(pieces) <= CHUNK_BYTES
        assert azure_wire.count(is_get_object) == 1
        await store.aclose()

    @in_trio
    async def test_append_and_page_blobs(self, world: _World, azure_bucket: AzureBucket) -> None:
        azure_bucket.put("some/prefix/append", DATA[:1000], blob_type="AppendBlob")
        azure_bucket.put("some/prefix/pages", DATA[:1024], blob_type="PageBlob")
        for key, size in (("append", 1000), ("pages", 1024)):
            info = await world.store.head(key)
            assert info.size == size
            assert await read(world.store, key, 3, size, info.etag) == DATA[3:size]

    @in_trio
    async def test_encryption_scope_needs_nothing_of_the_reader(
        self, world: _World, azure_bucket: AzureBucket
    ) -> None:
        """Azurite takes the scope of a write, and does no more with it."""
        azure_bucket.put("some/prefix/key", DATA, encryption_scope="a-scope")
        info = await world.store.head("key")
        assert await read(world.store, "key", 0, 100, info.etag) == DATA[:100]


class TestContainer:
    @in_trio
    async def test_missing_container(self, azure_server: AzureServer) -> None:
        options = StoreOptions(endpoint_url=azure_server.endpoint_url)
        store = open_inspector("az://no-such-container", options)
        for request in (store.probe, lambda: store.head("key")):
            with pytest.raises(BucketNotFoundError) as caught:
                await request()
            assert caught.value.http_code == 404
            assert "account" in caught.value.advice
            assert "\n" not in caught.value.describe()
        await store.aclose()

    @in_trio
    async def test_connection_refused(self, azure_bucket: AzureBucket) -> None:
        store = _store(azure_bucket, f"http://127.0.0.1:9/{ACCOUNT}")
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
            await store.probe()
        await store.aclose()

    @in_trio
    async def test_capabilities(self, world: World) -> None:
        await world.store.probe()
        able = world.store.capabilities
        assert (able.metadata_in_list, able.conditional_put, able.append) == (True, True, True)
        assert not able.atomic_rename
        assert able.copy_bytes_max == 5_242_880_000

    @in_trio
    async def test_identity_is_of_the_account_and_the_endpoint(
        self, world: _World, azure_bucket: AzureBucket, azure_server: AzureServer
    ) -> None:
        endpoint = azure_server.endpoint_url
        assert world.store.identity == f"{azure_bucket.url}/some/prefix at {endpoint}"
        assert world.store.url == f"{azure_bucket.url}/some/prefix/"
        place = await world.store.locate()
        assert (place.endpoint, place.region, place.byte_path) == (endpoint, None, "obstore")
