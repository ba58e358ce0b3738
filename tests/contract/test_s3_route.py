"""The route of S3's reads: obstore, or the SDK after a throttled read or an incompatible response.

The bytes of every response are made here from the request, so that only its form is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import InvalidRequestError, ThrottledError
from cloudfs_backends.registry import open_inspector
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.proxy import (
    Action,
    Pass,
    ProxiedRequest,
    Proxy,
    Respond,
    always,
    is_get_object,
    script,
)
from tests.support.stores import Bucket

pytestmark = pytest.mark.usefixtures("_aws")

ETAG = '"0123"'
DATE = {"Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>slower</Message></Error>"


@pytest.fixture
def store(bucket: Bucket, wire: Proxy) -> StoreInspector:
    """Bare: nothing is asked again."""
    bucket.put("key", DATA)
    return open_inspector(bucket.url, StoreOptions(endpoint_url=wire.endpoint_url))


def _ways(wire: Proxy) -> list[str]:
    """By whom the reads so far were sent."""
    return [
        "obstore" if request.headers["user-agent"].startswith("object_store") else "SDK"
        for request in wire.requests
        if is_get_object(request)
    ]


def _request_token(request: ProxiedRequest) -> tuple[int, int]:
    first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1


def _ranged(request: ProxiedRequest) -> dict[str, str]:
    start, stop = _request_token(request)
    return {"ETag": ETAG, "Content-Range": f"bytes {start}-{stop - 1}/{len(DATA)}"}


def _without_date(request: ProxiedRequest) -> Respond:
    start, stop = _request_token(request)
    return Respond(206, DATA[start:stop], _ranged(request))


def _without_etag(request: ProxiedRequest) -> Respond:
    start, stop = _request_token(request)
    headers = {**_ranged(request), **DATE}
    del headers["ETag"]
    return Respond(206, DATA[start:stop], headers)


def _with_status_200(request: ProxiedRequest) -> Respond:
    start, stop = _request_token(request)
    return Respond(200, DATA[start:stop], {**_ranged(request), **DATE})


def _answering(answer: Callable[[ProxiedRequest], Action]) -> Callable[[ProxiedRequest], Action]:
    return lambda request: answer(request) if is_get_object(request) else Pass()


class TestThrottled:
    @in_trio
    async def test_the_sdk_reads_next_and_is_told_how_long_to_wait(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        await store.probe()
        asked = Respond(503, SLOW_DOWN, {"Retry-After": "7"})
        wire.plan = script(asked, asked, when=is_get_object)
        with pytest.raises(ThrottledError) as first:
            await read(store, "key", 0, 10, None)
        with pytest.raises(ThrottledError) as second:
            await read(store, "key", 0, 10, None)
        assert (first.value.retry_after_s, second.value.retry_after_s) == (None, 7.0)
        assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert _ways(wire) == ["obstore", "SDK", "SDK"]
        await store.aclose()

    @in_trio
    async def test_that_says_nothing_about_the_server(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        await store.probe()
        wire.plan = script(Respond(503, SLOW_DOWN), when=is_get_object)
        with pytest.raises(ThrottledError):
            await read(store, "key", 0, 10, None)
        assert (await store.locate()).byte_path == "obstore"
        await store.aclose()


class TestIncompatibleResponses:
    @in_trio
    async def test_the_sdk_reads_what_obstore_cannot(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        """As rclone's S3 server responds, for one."""
        await store.probe()
        assert (await store.locate()).byte_path == "obstore"
        wire.plan = _answering(_with_status_200)
        assert await read(store, "key", 10, 300_000, ETAG) == DATA[10:300_000]
        assert await read(store, "key", 5, 20, ETAG) == DATA[5:20]
        assert _ways(wire) == ["obstore", "SDK", "SDK"]
        assert (await store.locate()).byte_path == "SDK: it answers a range with status 200"
        await store.aclose()

    @pytest.mark.parametrize("answer", [_without_date, _without_etag])
    @in_trio
    async def test_what_is_not_needed_may_be_missing(
        self, store: StoreInspector, wire: Proxy, answer: Callable[[ProxiedRequest], Action]
    ) -> None:
        await store.probe()
        wire.plan = _answering(answer)
        assert await read(store, "key", 10, 300_000, ETAG) == DATA[10:300_000]
        await store.aclose()

    @in_trio
    async def test_a_server_without_ranges_hands_no_byte_on(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        await store.probe()
        wire.plan = always(Respond(200, DATA, {"ETag": ETAG, **DATE}), when=is_get_object)
        for start, stop in ((10, 20), (0, len(DATA) - 1)):
            received = bytearray()
            with pytest.raises(InvalidRequestError, match="the store ignores ranged reads"):
                await store.get_range("key", start, stop, etag=ETAG, sink=received.extend)
            assert not received
        # The SDK could not read it either: nothing was learnt about the way.
        assert _ways(wire) == ["obstore", "SDK"] * 2
        await store.aclose()

    @in_trio
    async def test_an_error_response_is_not_requested_twice(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        await store.probe()
        wire.plan = always(Respond(412), when=is_get_object)
        with pytest.raises(Exception, match="412"):
            await read(store, "key", 0, 10, ETAG)
        assert _ways(wire) == ["obstore"]
        await store.aclose()
