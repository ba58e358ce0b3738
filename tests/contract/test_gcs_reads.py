"""Reads of an object of GCS through obstore and the SDK: their requests and responses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import (
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    ThrottledError,
)
from tests.contract.gcs_world import GcsStores
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.gcs import fake_google
from tests.support.google import GoogleBucket
from tests.support.proxy import ProxiedRequest, Proxy, Respond, is_get_object, script

pytestmark = pytest.mark.usefixtures("_google")

WAYS = ["obstore", "SDK"]
Connect = Callable[..., StoreInspector]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, google_bucket: GoogleBucket) -> str:
    chosen: str = request.param
    google_bucket.has_xml = chosen == "obstore"
    return chosen


@pytest.fixture
def connect(google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores) -> Connect:
    def connected(**options: str) -> StoreInspector:
        return gcs_stores(google_bucket.url, google.endpoint_url, **options)  # type: ignore[arg-type]

    return connected


def _last(google: Proxy, way: str) -> ProxiedRequest:
    """The last read, which went the way it should."""
    request = [request for request in google.requests if is_get_object(request)][-1]
    assert request.headers["user-agent"].startswith("object_store") is (way == "obstore")
    return request


class TestWhatIsAsked:
    @in_trio
    async def test_by_obstore(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect
    ) -> None:
        generation = google_bucket.put("dir/é %2F.h5", DATA)
        assert await read(connect(), "dir/é %2F.h5", 5, 10, generation) == DATA[5:10]
        request = _last(google, "obstore")
        url = urlsplit(request.target)
        assert parse_qs(url.query) == {"generation": [generation]}
        assert request.headers["range"] == "bytes=5-9"
        assert "authorization" not in request.headers

    @in_trio
    async def test_by_the_sdk(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect
    ) -> None:
        generation = google_bucket.put("a//%2F", DATA)
        assert await read(connect(), "a//%2F", 5, 10, generation) == DATA[5:10]
        request = _last(google, "SDK")
        url = urlsplit(request.target)
        assert url.path == "/download/storage/v1/b/bucket-1/o/a%2F%2F%252F"
        assert parse_qs(url.query) == {"alt": ["media"], "ifGenerationMatch": [generation]}
        assert request.headers["range"] == "bytes=5-9"
        assert "authorization" not in request.headers

    @in_trio
    async def test_without_a_version(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect, way: str
    ) -> None:
        google_bucket.put("key", DATA)
        assert await read(connect(), "key", 0, 10, None) == DATA[:10]
        assert "eneration" not in _last(google, way).target

    @in_trio
    async def test_packed_objects_come_as_they_are_stored(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect, way: str
    ) -> None:
        """Google would unpack them for a client that does not accept gzip, and send all of it."""
        generation = google_bucket.put("key", DATA, packed=True)
        stored = google_bucket.stored("key")
        assert (await connect().head("key")).size == len(stored)
        assert await read(connect(), "key", 2, len(stored), generation) == stored[2:]
        assert _last(google, way).headers["accept-encoding"] == "gzip"

    @in_trio
    async def test_project_that_pays_is_named_everywhere(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect, way: str
    ) -> None:
        google_bucket.payer = "lab"
        generation = google_bucket.put("key", DATA)
        store = connect(user_project="lab")
        await store.probe()
        assert (await store.head("key")).etag == generation
        assert await read(store, "key", 0, 10, generation) == DATA[:10]
        assert (await store.locate()).region is not None
        assert _last(google, way).headers["x-goog-user-project"] == "lab"

    @in_trio
    async def test_project_that_pays_is_missing(
        self, google_bucket: GoogleBucket, connect: Connect
    ) -> None:
        google_bucket.payer = "lab"
        google_bucket.put("key", DATA)
        store = connect()
        for request in (store.probe, lambda: read(store, "key", 0, 10, None)):
            with pytest.raises(InvalidRequestError) as caught:
                await request()
            assert "--user-project" in caught.value.advice

    @in_trio
    async def test_netrc_is_left_alone(
        self,
        google_bucket: GoogleBucket,
        google: Proxy,
        connect: Connect,
        way: str,
        tmp_path: Path,
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login me password secret\n")
        google_bucket.put("key", DATA)
        with fake_google(NETRC=str(netrc)):
            store = connect()
            await store.probe()
            await read(store, "key", 0, 10, None)
        assert _last(google, way)
        assert all("authorization" not in request.headers for request in google.requests)


class TestWhatIsAnswered:
    @in_trio
    async def test_version_that_was_overwritten(
        self, google_bucket: GoogleBucket, connect: Connect, way: str
    ) -> None:
        old = google_bucket.put("key", DATA)
        new = google_bucket.put("key", DATA[::-1])
        with pytest.raises(ObjectChangedError) as caught:
            await read(connect(), "key", 0, 10, old)
        assert caught.value.operation == "get"
        if way == "obstore":  # which only said that it is not there
            assert str(caught.value) == f"the object is now generation {new}, not {old}"

    @in_trio
    async def test_version_that_was_deleted(
        self, google_bucket: GoogleBucket, connect: Connect, way: str
    ) -> None:
        old = google_bucket.put("key", DATA)
        google_bucket.delete("key")
        with pytest.raises(ObjectNotFoundError) as caught:
            await read(connect(), "key", 0, 10, old)
        assert (caught.value.operation, caught.value.http_code) == ("get", 404)

    @in_trio
    async def test_version_that_obstore_does_not_find_though_it_is_there(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect
    ) -> None:
        """As with an emulator whose XML interface is elsewhere."""
        generation = google_bucket.put("key", DATA)
        google.plan = lambda request: (
            Respond(404) if request.target.startswith("/bucket") else google_bucket(request)
        )
        store = connect()
        assert await read(store, "key", 0, 10, generation) == DATA[:10]
        assert (await store.locate()).byte_path.startswith("SDK: ")

    @in_trio
    async def test_pause_that_is_asked_for_is_seen_by_the_second_read(
        self, google_bucket: GoogleBucket, google: Proxy, connect: Connect
    ) -> None:
        generation = google_bucket.put("key", DATA)
        error_response = Respond(429, b"", {"Retry-After": "7"})
        google.plan = script(
            error_response, error_response, google_bucket, google_bucket, when=is_get_object
        )
        store = connect()
        pauses = []
        for _ in range(2):
            with pytest.raises(ThrottledError) as caught:
                await read(store, "key", 0, 10, generation)
            pauses.append(caught.value.retry_after_s)
        assert pauses == [None, 7.0]
        assert await read(store, "key", 0, 10, generation) == DATA[:10]
        assert _last(google, "SDK")
