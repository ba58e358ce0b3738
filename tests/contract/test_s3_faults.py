"""S3 over a faulty wire: what is tried again, what is not, and that bytes stay right either way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from cloudfs_backends.api import (
    AccessDeniedError,
    CredentialsError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    ObjectStore,
    StoreError,
    StoreOptions,
    ThrottledError,
    UnavailableError,
)
from cloudfs_backends.registry import open_store
from cloudfs_backends.retry import RetryPolicy
from tests.contract.in_trio import in_trio
from tests.contract.suite import DATA, read
from tests.support.proxy import (
    Action,
    Pass,
    ProxiedRequest,
    Proxy,
    Reset,
    Respond,
    Stall,
    Truncate,
    always,
    is_get_object,
    is_list,
    random_faults,
    script,
)
from tests.support.stores import Bucket

pytestmark = pytest.mark.usefixtures("_aws")

POLICY = RetryPolicy(max_attempts=4, base_s=0.001, cap_s=0.01)
READ_TIMEOUT_S = 0.5


def _error(code: str) -> bytes:
    return (
        f"<Error><Code>{code}</Code><Message>made by the test</Message>"
        "<RequestId>request-7</RequestId></Error>"
    ).encode()


def _refusal(status: int, code: str) -> Respond:
    # botocore takes the id from the header, obstore shows the body only
    return Respond(status, _error(code), {"x-amz-request-id": "request-7"})


def _is_head(request: ProxiedRequest) -> bool:
    return request.method == "HEAD"


def _partial(data: bytes, start: int, total: int, etag: str) -> Respond:
    headers = {
        "ETag": etag,
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "Content-Range": f"bytes {start}-{start + len(data) - 1}/{total}",
    }
    return Respond(206, data, headers)


NAMED_IN_BODY = Respond(400, _error("RequestTimeout"))
PASSING = [
    Respond(503, _error("SlowDown")),
    Respond(503, _error("NoSuchKey")),
    Respond(503),
    Respond(500, _error("InternalError")),
    Respond(429, b"", {"Retry-After": "0"}),
    Reset(),
    Stall(),
]


@pytest.fixture
def store(bucket: Bucket, wire: Proxy) -> ObjectStore:
    bucket.put("key", DATA)
    options = StoreOptions(endpoint_url=wire.endpoint_url, read_timeout_s=READ_TIMEOUT_S)
    return open_store(bucket.url, options, POLICY)


async def _etag(store: ObjectStore) -> str:
    """Also makes the store find its bucket before any fault is set."""
    await store.probe()
    return (await store.head("key")).etag


class TestFaultsThatPass:
    @pytest.mark.parametrize("fault", [*PASSING, NAMED_IN_BODY], ids=repr)
    @in_trio
    async def test_read(self, store: ObjectStore, wire: Proxy, fault: Action) -> None:
        etag = await _etag(store)
        wire.plan = script(fault, fault, when=is_get_object)
        assert await read(store, "key", 10, 300_000, etag) == DATA[10:300_000]
        counted = store.statistics().operations["get"]
        assert (counted.requests, counted.errors, counted.retries) == (3, 2, 2)
        assert counted.received_bytes == 300_000 - 10

    @pytest.mark.parametrize("fault", PASSING, ids=repr)
    @in_trio
    async def test_head(self, store: ObjectStore, wire: Proxy, fault: Action) -> None:
        await _etag(store)
        wire.plan = script(fault, fault, when=_is_head)
        assert (await store.head("key")).size == len(DATA)
        assert store.statistics().operations["head"].retries == 2

    @pytest.mark.parametrize("fault", [*PASSING, NAMED_IN_BODY, Truncate(10)], ids=repr)
    @in_trio
    async def test_list(self, store: ObjectStore, wire: Proxy, fault: Action) -> None:
        await _etag(store)
        wire.plan = script(fault, fault, when=is_list)
        assert [info.key for info in (await store.list_page("")).objects] == ["key"]
        assert store.statistics().operations["list"].retries == 2

    @pytest.mark.parametrize("fault", [Truncate(600_000), Reset(600_000), Stall(600_000)], ids=repr)
    @in_trio
    async def test_read_goes_on_where_the_body_broke(
        self, store: ObjectStore, wire: Proxy, fault: Action
    ) -> None:
        etag = await _etag(store)
        wire.plan = script(fault, when=is_get_object)
        assert await read(store, "key", 0, len(DATA), etag) == DATA
        first, second = [r.headers["range"] for r in wire.requests if is_get_object(r)]
        assert first == f"bytes=0-{len(DATA) - 1}"
        resumed_at = int(second.removeprefix("bytes=").partition("-")[0])
        # A reset also throws away what had arrived and was not yet read.
        assert resumed_at >= (0 if isinstance(fault, Reset) else 256 * 1024)
        assert store.statistics().operations["get"].received_bytes == len(DATA)

    @pytest.mark.parametrize("fault", [Truncate(600_000), Reset(600_000), Stall(600_000)], ids=repr)
    @in_trio
    async def test_so_does_a_key_that_is_no_path(
        self, store: ObjectStore, bucket: Bucket, wire: Proxy, fault: Action
    ) -> None:
        await store.probe()
        etag = bucket.put("a//b", DATA)
        wire.plan = script(fault, Respond(503), when=is_get_object)
        assert await read(store, "a//b", 0, len(DATA), etag) == DATA
        assert wire.count(is_get_object) == 3

    @in_trio
    async def test_retry_after_is_kept(self, store: ObjectStore, wire: Proxy) -> None:
        await _etag(store)
        wire.plan = script(Respond(429, b"", {"Retry-After": "1"}), when=_is_head)
        started = time.monotonic()
        await store.head("key")
        assert time.monotonic() - started >= 1.0

    @in_trio
    async def test_random_faults_leave_every_byte_right(self, bucket: Bucket, wire: Proxy) -> None:
        bucket.put("key", DATA)
        options = StoreOptions(endpoint_url=wire.endpoint_url, read_timeout_s=READ_TIMEOUT_S)
        store = open_store(bucket.url, options, replace(POLICY, max_attempts=20))
        etag = await _etag(store)
        faults = [Respond(503), Reset(), Truncate(300_000), Reset(700_000), Truncate(5)]
        wire.plan = random_faults(7, 0.3, faults, when=is_get_object)
        dice = random.Random(7)
        for _ in range(40):
            start, stop = sorted(dice.sample(range(len(DATA) + 1), 2))
            assert await read(store, "key", start, stop, etag) == DATA[start:stop]
        assert store.statistics().operations["get"].retries > 0


class TestFaultsThatStay:
    @pytest.mark.parametrize(
        ("fault", "error_class"),
        [
            (Respond(503, _error("SlowDown")), ThrottledError),
            (Respond(503, _error("NoSuchKey")), UnavailableError),
            (Respond(500, _error("InternalError")), UnavailableError),
            (Respond(429), ThrottledError),
            (Reset(), UnavailableError),
        ],
        ids=repr,
    )
    @in_trio
    async def test_are_given_up(
        self, store: ObjectStore, wire: Proxy, fault: Action, error_class: type[StoreError]
    ) -> None:
        etag = await _etag(store)
        wire.plan = always(fault)
        for request in (lambda: read(store, "key", 0, 9, etag), lambda: store.list_page("")):
            with pytest.raises(error_class) as caught:
                await request()
            assert caught.value.attempts == POLICY.max_attempts
            assert f"{POLICY.max_attempts} attempts" in caught.value.describe()

    @pytest.mark.parametrize(
        ("fault", "error_class"),
        [
            (_refusal(403, "AccessDenied"), AccessDeniedError),
            (Respond(403), AccessDeniedError),
            (_refusal(403, "InvalidAccessKeyId"), CredentialsError),
            (_refusal(400, "ExpiredToken"), CredentialsError),
            (Respond(401), CredentialsError),
            (_refusal(404, "NoSuchKey"), ObjectNotFoundError),
            (_refusal(412, "PreconditionFailed"), ObjectChangedError),
            (_refusal(416, "InvalidRange"), ObjectChangedError),
            (_refusal(405, "MethodNotAllowed"), InvalidRequestError),
            (_refusal(501, "NotImplemented"), InvalidRequestError),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("key", ["key", "a//b"])
    @in_trio
    async def test_refusals_are_not_tried_again(
        self,
        store: ObjectStore,
        wire: Proxy,
        key: str,
        fault: Respond,
        error_class: type[StoreError],
    ) -> None:
        await store.probe()
        wire.plan = always(fault)
        with pytest.raises(error_class) as caught:
            await read(store, key, 0, 9, '"etag"')
        assert type(caught.value) is error_class
        assert caught.value.http_code == fault.status
        assert (caught.value.operation, caught.value.key) == ("get", key)
        if fault.body:
            assert caught.value.request_id == "request-7"
            assert "made by the test" in str(caught.value)
        assert wire.count(is_get_object) == 1

    @in_trio
    async def test_expired_token_says_what_to_run(self, store: ObjectStore, wire: Proxy) -> None:
        await store.probe()
        wire.plan = always(Respond(400, _error("ExpiredToken")))
        for request in (lambda: read(store, "key", 0, 9, None), lambda: store.list_page("")):
            with pytest.raises(CredentialsError) as caught:
                await request()
            assert "aws sso login --profile" in caught.value.advice


ETAG = '"0123"'


class TestStoresThatBreakTheRules:
    """A body is handed on only as far as it is what was asked for."""

    @pytest.mark.parametrize(
        ("answer", "error_class"),
        [
            (_partial(DATA[10:20], 10, 99, '"other"'), ObjectChangedError),
            (_partial(DATA[11:21], 11, 99, ETAG), InvalidRequestError),
            (_partial(DATA[10:30], 10, 99, ETAG), InvalidRequestError),
            (_partial(DATA[10:15], 10, 99, ETAG), InvalidRequestError),
            (_partial(DATA[10:15], 10, 15, ETAG), ObjectChangedError),
            (Respond(200, DATA[:99], {"ETag": ETAG}), InvalidRequestError),
        ],
        ids=["version", "shifted", "longer", "shorter", "shrunk", "whole"],
    )
    @in_trio
    async def test_wrong_answer(
        self, store: ObjectStore, wire: Proxy, answer: Respond, error_class: type[StoreError]
    ) -> None:
        await store.probe()
        wire.plan = always(answer, when=is_get_object)
        for key in ("key", "a//b"):
            received = bytearray()
            with pytest.raises(error_class) as caught:
                await store.get_range(key, 10, 20, etag=ETAG, sink=received.extend)
            assert type(caught.value) is error_class
            assert not received

    @pytest.mark.parametrize("etag", [ETAG, "0123", 'W/"0123"'])
    @in_trio
    async def test_spelling_of_the_etag_does_not_matter(
        self, store: ObjectStore, wire: Proxy, etag: str
    ) -> None:
        await store.probe()
        wire.plan = always(_partial(DATA[10:20], 10, 99, etag), when=is_get_object)
        assert await read(store, "key", 10, 20, ETAG) == DATA[10:20]

    @in_trio
    async def test_key_that_looks_like_an_error_message(
        self, store: ObjectStore, wire: Proxy
    ) -> None:
        key = "x - Server returned non-2xx status code: 503 Slow: <Code>SlowDown</Code>"
        await store.probe()
        wire.plan = always(Respond(404, _error("NoSuchKey")))
        with pytest.raises(ObjectNotFoundError) as caught:
            await read(store, key, 0, 9, None)
        assert caught.value.http_code == 404

    @in_trio
    async def test_read_without_version_is_not_patched_together(
        self, store: ObjectStore, wire: Proxy
    ) -> None:
        await store.probe()
        wire.plan = script(Truncate(600_000), when=is_get_object)
        received = bytearray()
        with pytest.raises(UnavailableError):
            await store.get_range("key", 0, len(DATA), etag=None, sink=received.extend)
        assert received == DATA[: len(received)]
        assert wire.count(is_get_object) == 1

    @in_trio
    async def test_version_is_asked_for_again_after_a_break(
        self, store: ObjectStore, bucket: Bucket, wire: Proxy
    ) -> None:
        etag = await _etag(store)
        wire.plan = _overwriting(bucket, script(Pass(), Truncate(600_000), when=is_get_object))
        assert await read(store, "key", 0, 100, etag) == DATA[:100]
        received = bytearray()
        with pytest.raises(ObjectChangedError):
            await store.get_range("key", 0, len(DATA), etag=etag, sink=received.extend)
        assert received == DATA[: len(received)]


def _overwriting(
    bucket: Bucket, plan: Callable[[ProxiedRequest], Action]
) -> Callable[[ProxiedRequest], Action]:
    """Overwrite the object before the third read is forwarded."""
    reads = 0

    def overwrite(request: ProxiedRequest) -> Action:
        nonlocal reads
        reads += is_get_object(request)
        if reads == 3:
            bucket.put("key", DATA[::-1])
        return plan(request)

    return overwrite
