"""Features of S3 beside plain objects: requester pays, encryption, and the bucket's region."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import BucketLocation, StoreInspector
from cloudfs_backends.errors import AccessDeniedError, InvalidRequestError
from cloudfs_backends.registry import open_inspector
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.proxy import ProxiedRequest, Proxy, Respond, always, is_list
from tests.support.stores import Bucket, S3Server

pytestmark = pytest.mark.usefixtures("_aws")

KEYS = ("key", "a//b")
"""One that obstore can name, and one that only the SDK can."""

CUSTOMER_KEY = b"k" * 32
_ENCRYPTION = "x-amz-server-side-encryption-customer"


def _store(bucket: Bucket, endpoint_url: str, **options: object) -> StoreInspector:
    settings = StoreOptions(endpoint_url=endpoint_url, **options)  # type: ignore[arg-type]
    return open_inspector(bucket.url, settings)


async def _use(store: StoreInspector) -> None:
    """Make every kind of request."""
    await store.probe()
    assert len((await store.list_page("")).objects) == len(KEYS)
    for key in KEYS:
        info = await store.head(key)
        assert await read(store, key, 5, 300_000, info.etag) == DATA[5:300_000]


def _is_bucket_head(request: ProxiedRequest) -> bool:
    return request.method == "HEAD" and request.target.count("/") == 1


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    for key in KEYS:
        bucket.put(key, DATA)
    return bucket


class TestRequesterPays:
    @in_trio
    async def test_every_request_says_who_pays(self, filled: Bucket, wire: Proxy) -> None:
        store = _store(filled, wire.endpoint_url, requester_pays=True)
        await _use(store)
        assert len(wire.requests) == 6
        assert {r.headers.get("x-amz-request-payer") for r in wire.requests} == {"requester"}
        await store.aclose()

    @in_trio
    async def test_no_payment_without_the_option(self, filled: Bucket, wire: Proxy) -> None:
        store = _store(filled, wire.endpoint_url)
        await _use(store)
        assert not any("x-amz-request-payer" in r.headers for r in wire.requests)
        await store.aclose()

    @in_trio
    async def test_an_error_names_the_option(self, filled: Bucket, wire: Proxy) -> None:
        store = _store(filled, wire.endpoint_url)
        await store.probe()
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        wire.plan = always(Respond(403, body))
        for key in KEYS:
            for request in (lambda k=key: read(store, k, 0, 9, None), lambda k=key: store.head(k)):
                with pytest.raises(AccessDeniedError) as caught:
                    await request()
                assert "--requester-pays" in caught.value.advice
        await store.aclose()


class TestCustomerKey:
    @pytest.fixture
    def key_file(self, tmp_path: Path) -> Path:
        path = tmp_path / "key"
        path.write_bytes(CUSTOMER_KEY)
        return path

    @in_trio
    async def test_goes_with_every_request_for_an_object(
        self, filled: Bucket, wire: Proxy, key_file: Path
    ) -> None:
        """moto does not encrypt, so the requests are checked."""
        store = _store(filled, wire.endpoint_url, sse_customer_key=key_file)
        await _use(store)
        expected = {
            f"{_ENCRYPTION}-algorithm": "AES256",
            f"{_ENCRYPTION}-key": base64.b64encode(CUSTOMER_KEY).decode(),
            f"{_ENCRYPTION}-key-md5": base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode(),
        }
        for request in wire.requests:
            sent = {n: text for n, text in request.headers.items() if n.startswith(_ENCRYPTION)}
            assert sent == ({} if is_list(request) else expected)
        await store.aclose()

    @in_trio
    async def test_is_not_sent_where_others_listen(self, bucket: Bucket, key_file: Path) -> None:
        store = _store(bucket, "http://192.0.2.1:9", sse_customer_key=key_file)
        for request in (store.probe, store.probe, lambda: read(store, "key", 0, 1, None)):
            with pytest.raises(InvalidRequestError, match="in the clear") as caught:
                await request()
            assert "https://" in caught.value.advice
        await store.aclose()

    def test_is_read_before_anything_is_asked(self, bucket: Bucket, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequestError, match="--sse-customer-key"):
            _store(bucket, "http://127.0.0.1:9", sse_customer_key=tmp_path / "none")

    @in_trio
    async def test_a_missing_one_is_what_the_advice_names(
        self, filled: Bucket, wire: Proxy
    ) -> None:
        store = _store(filled, wire.endpoint_url)
        await store.probe()
        body = (
            b"<Error><Code>InvalidRequest</Code><Message>The object was stored using a form of"
            b" Server Side Encryption.</Message></Error>"
        )
        wire.plan = always(Respond(400, body))
        for key in KEYS:
            for request in (lambda k=key: read(store, k, 0, 9, None), lambda k=key: store.head(k)):
                with pytest.raises(InvalidRequestError) as caught:
                    await request()
                assert "--sse-customer-key" in caught.value.advice
        await store.aclose()


class TestManagedKey:
    @in_trio
    async def test_reads_need_nothing(self, bucket: Bucket, server: S3Server) -> None:
        for key in KEYS:
            bucket.client.put_object(
                Bucket=bucket.name, Key=key, Body=DATA, ServerSideEncryption="aws:kms"
            )
        store = _store(bucket, server.endpoint_url)
        await _use(store)
        await store.aclose()

    @pytest.mark.parametrize("key", KEYS)
    @in_trio
    async def test_a_key_that_is_turned_off(self, filled: Bucket, wire: Proxy, key: str) -> None:
        store = _store(filled, wire.endpoint_url)
        await store.probe()
        body = b"<Error><Code>KMS.DisabledException</Code><Message>key is off</Message></Error>"
        wire.plan = always(Respond(400, body))
        with pytest.raises(AccessDeniedError, match="key is off") as caught:
            await read(store, key, 0, 9, None)
        assert "enable" in caught.value.advice
        await store.aclose()


class TestPlace:
    @in_trio
    async def test_region_as_the_store_says(self, server: S3Server) -> None:
        server.client.create_bucket(
            Bucket="bucket-elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"}
        )
        store = _store(Bucket("bucket-elsewhere", server.client), server.endpoint_url)
        assert await store.locate() == BucketLocation(server.endpoint_url, "eu-west-3", "obstore")
        await store.aclose()

    @in_trio
    async def test_a_store_that_does_not_say(self, filled: Bucket, wire: Proxy) -> None:
        wire.plan = always(Respond(405), when=_is_bucket_head)
        store = _store(filled, wire.endpoint_url)
        assert (await store.locate()).region is None
        await store.aclose()
