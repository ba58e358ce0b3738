"""GCS through real HTTP: the contract on the emulator and on a bucket that responds as Google does,
keys that only GCS has, metadata and folders.

The emulator's bodies come through the SDK: without Last-Modified obstore does not take them.
"""

from __future__ import annotations

import json
import os
from typing import ClassVar, Final
from urllib.parse import urlsplit

import pytest

from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import InvalidRequestError, ObjectNotFoundError, UnavailableError
from tests.contract.gcs_world import GcsStores, GcsWorld
from tests.contract.in_trio import in_trio
from tests.contract.suite import DATA, ThreadedStoreContract, all_pages, keys, prefixes, read
from tests.support.gcs import GcsBucket, GcsServer
from tests.support.google import GoogleBucket
from tests.support.proxy import Proxy, Respond, always

pytestmark = pytest.mark.usefixtures("_google")

ONE_PAGE: Final = "the emulator sends every listing as one page"
NO_CONDITIONS: Final = (
    "the emulator ignores ifGenerationMatch, and does not say which generation it sends"
)
DOTS: Final = "the emulator breaks the connection when a name has a segment '..'"


@pytest.fixture
def google_store(
    google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores
) -> StoreInspector:
    return gcs_stores(google_bucket.url, google.endpoint_url)


class _GcsContract(ThreadedStoreContract):
    @in_trio
    async def test_marker_of_the_prefix_has_no_name(self, world: GcsWorld) -> None:
        world.put("", b"")
        world.put("key", b"")
        assert keys(await all_pages(world.store, "", limit=10)) == ["key"]


class TestOnTheEmulator(_GcsContract):
    fills_slowly = True
    gaps: ClassVar = {
        "test_hundreds_of_names_over_many_pages": ONE_PAGE,
        "test_more_names_than_fit_a_page_by_default": ONE_PAGE,
        "test_delimited_listing_over_many_pages": ONE_PAGE,
        "test_overwritten_object_is_not_read_as_the_old_version": NO_CONDITIONS,
        "test_version_of_another_object_is_not_read": NO_CONDITIONS,
        "test_same_bytes_written_again": NO_CONDITIONS,
        "test_what_is_not_there_is_not_found[../d/key]": DOTS,
        "test_what_is_not_there_is_not_found[..]": DOTS,
        "test_what_is_not_there_is_not_found[d/../d/key]": DOTS,
    }

    @pytest.fixture
    def world(self, gcs_bucket: GcsBucket, gcs_stores: GcsStores) -> GcsWorld:
        gcs_bucket.put("another/key", b"not in the prefix")
        return GcsWorld(gcs_bucket, gcs_bucket.endpoint_url, gcs_stores)


class TestAsGoogleAnswers(_GcsContract):
    """Bytes come through obstore."""

    @pytest.fixture
    def world(self, google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores) -> GcsWorld:
        google_bucket.put("another/key", b"not in the prefix")
        return GcsWorld(google_bucket, google.endpoint_url, gcs_stores)


class TestWithoutTheXmlInterface(_GcsContract):
    """Bytes come through the SDK, on the same conditions."""

    @pytest.fixture
    def world(self, google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores) -> GcsWorld:
        google_bucket.has_xml = False
        return GcsWorld(google_bucket, google.endpoint_url, gcs_stores)


class TestKeysOfGcs:
    @in_trio
    async def test_keys_that_are_no_paths(
        self, google_bucket: GoogleBucket, google_store: StoreInspector
    ) -> None:
        names = ["/lead", "a//b", "a/", "./a", "a/../b", "a/.", "//", "k" * 1024, "é" * 512, "a\tb"]
        for name in names:
            google_bucket.put(name, name.encode())
        assert keys(await all_pages(google_store, "", limit=3)) == sorted(names, key=os.fsencode)
        for name in names:
            info = await google_store.head(name)
            assert await read(google_store, name, 0, info.size, info.etag) == name.encode()

    @pytest.mark.parametrize("name", [".", "..", "a\nb", "a\rb"])
    @in_trio
    async def test_names_that_google_forbids_are_not_asked_for(
        self, google_store: StoreInspector, google: Proxy, name: str
    ) -> None:
        """The two first would be another path in a URL."""
        with pytest.raises(ObjectNotFoundError):
            await google_store.head(name)
        with pytest.raises(ObjectNotFoundError):
            await read(google_store, name, 0, 1, None)
        assert google.requests == []

    @in_trio
    async def test_bucket_with_a_dash_on_the_emulator(
        self, gcs_stores: GcsStores, gcs_server: GcsServer
    ) -> None:
        """obstore sends %2D, which the emulator does not know: it is read through the SDK."""
        bucket = gcs_server.bucket("dashed-bucket")
        bucket.put("key", DATA)
        store = gcs_stores(bucket.url, bucket.endpoint_url)
        assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert (await store.locate()).byte_path == "SDK: it lacks the XML interface"


class TestMetadata:
    @pytest.mark.parametrize(
        ("metadata", "mtime_ns"),
        [
            ({"mtime": "2023-11-14T22:13:20.123456789Z"}, 1_700_000_000_123_456_789),
            ({"gcsfuse_mtime": "2023-11-14T22:13:20.000000001Z"}, 1_700_000_000_000_000_001),
            ({"goog-reserved-file-mtime": "1700000000"}, 1_700_000_000_000_000_000),
        ],
    )
    @in_trio
    async def test_mtime_in_listing_and_head(
        self, gcs_stores: GcsStores, gcs_bucket: GcsBucket, metadata: dict[str, str], mtime_ns: int
    ) -> None:
        gcs_bucket.put("key", b"1", metadata)
        store = gcs_stores(gcs_bucket.url, gcs_bucket.endpoint_url)
        info = await store.head("key")
        assert (info.mtime_ns, info.metadata_mtime) == (mtime_ns, True)
        assert (await store.list_page("")).objects == (info,)

    @in_trio
    async def test_without_metadata_it_is_the_second_of_the_last_change(
        self, google_bucket: GoogleBucket, google_store: StoreInspector
    ) -> None:
        google_bucket.put("key", b"1", {"mtime": "yesterday"})
        info = await google_store.head("key")
        assert (info.mtime_ns, info.metadata_mtime) == (1_700_000_000_000_000_000, False)
        assert (await google_store.list_page("")).objects == (info,)

    @in_trio
    async def test_generation_is_the_version(
        self, gcs_stores: GcsStores, gcs_bucket: GcsBucket
    ) -> None:
        generation = gcs_bucket.put("key", b"1")
        store = gcs_stores(gcs_bucket.url, gcs_bucket.endpoint_url)
        assert (await store.head("key")).etag == generation

    @in_trio
    async def test_only_what_is_needed_is_listed(
        self, google_bucket: GoogleBucket, google_store: StoreInspector, google: Proxy
    ) -> None:
        google_bucket.put("key", b"1")
        await google_store.list_page("")
        (request,) = google.requests
        assert "fields=nextPageToken%2Cprefixes%2Citems%28" in request.target

    @pytest.mark.parametrize(
        "resource",
        [
            {},
            {"generation": "1", "size": "1"},
            {"generation": "one", "size": "1", "updated": "2023-11-14T22:13:20Z"},
            {"generation": "1", "size": "1", "updated": "yesterday"},
        ],
    )
    @in_trio
    async def test_server_that_does_not_tell_what_is_needed(
        self, google_store: StoreInspector, google: Proxy, resource: dict[str, str]
    ) -> None:
        google.plan = always(Respond(200, json.dumps({"name": "key", **resource}).encode()))
        with pytest.raises(InvalidRequestError):
            await google_store.head("key")
        listing = {"items": [{"name": "key", **resource}]}
        google.plan = always(Respond(200, json.dumps(listing).encode()))
        with pytest.raises(InvalidRequestError):
            await google_store.list_page("")


class TestFolders:
    @in_trio
    async def test_of_a_hierarchical_namespace(
        self, google_bucket: GoogleBucket, google_store: StoreInspector, google: Proxy
    ) -> None:
        google_bucket.folders = {"a/", "a/empty/", "z/"}
        google_bucket.put("a/key", b"1")
        await google_store.probe()
        assert google_store.capabilities.atomic_rename
        assert prefixes(await all_pages(google_store, "", delimiter="/", limit=1)) == ["a/", "z/"]
        (page,) = await all_pages(google_store, "a/", delimiter="/", limit=10)
        assert (keys([page]), prefixes([page])) == (["a/key"], ["a/empty/"])
        assert keys(await all_pages(google_store, "", limit=10)) == ["a/key"]
        assert "includeFoldersAsPrefixes" not in google.requests[-1].target

    @in_trio
    async def test_are_asked_about_below_the_prefix(
        self, google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores
    ) -> None:
        """Who may list only there may ask for no more."""
        await gcs_stores(f"{google_bucket.url}/a/b", google.endpoint_url).probe()
        assert urlsplit(google.requests[-1].target).query == "prefix=a%2Fb%2F"

    @pytest.mark.parametrize("location", [("US", "multi-region"), None])
    @in_trio
    async def test_of_a_flat_bucket_are_not_asked_for(
        self,
        google_bucket: GoogleBucket,
        google_store: StoreInspector,
        google: Proxy,
        location: tuple[str, str] | None,
    ) -> None:
        google_bucket.location = location
        await google_store.probe()
        assert not google_store.capabilities.atomic_rename
        await google_store.list_page("", delimiter="/")
        assert "includeFoldersAsPrefixes" not in google.requests[-1].target

    @in_trio
    async def test_that_may_be_there_are_asked_about_again(
        self, google_bucket: GoogleBucket, google_store: StoreInspector, google: Proxy
    ) -> None:
        google_bucket.folders = {"a/"}
        google.plan = lambda request: (
            Respond(503) if "storageLayout" in request.target else google_bucket(request)
        )
        with pytest.raises(UnavailableError):
            await google_store.probe()
        google.plan = google_bucket
        await google_store.probe()
        assert google_store.capabilities.atomic_rename
