"""S3 over a faulty wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from cloudfs_backends.api import ObjectStore, StoreOptions
from cloudfs_backends.errors import CredentialsError
from cloudfs_backends.registry import open_store
from cloudfs_backends.wrappers.retry import RetryPolicy
from tests.contract.fault_suite import (
    FaultsThatPass,
    FaultsThatStay,
    StoresThatBreakTheRules,
)
from tests.contract.faults import (
    MESSAGE,
    READ_TIMEOUT_S,
    REQUEST_ID,
    Connect,
    ErrorCase,
    FaultContract,
    settled,
)
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.proxy import (
    ProxiedRequest,
    Proxy,
    Respond,
    always,
    is_get_object,
    is_list,
    script,
)
from tests.support.stores import Bucket

pytestmark = pytest.mark.usefixtures("_aws")


class _S3:
    """See `faults.Cloud`."""

    codes: Final = {
        ErrorCase.SLOW_DOWN: (503, "SlowDown"),
        ErrorCase.BROKEN: (500, "InternalError"),
        ErrorCase.MISLEADING: (503, "NoSuchKey"),
        ErrorCase.DENIED: (403, "AccessDenied"),
        ErrorCase.WRONG_KEY: (403, "InvalidAccessKeyId"),
        ErrorCase.EXPIRED: (400, "ExpiredToken"),
        ErrorCase.MISSING: (404, "NoSuchKey"),
        ErrorCase.CHANGED: (412, "PreconditionFailed"),
        ErrorCase.PAST_END: (416, "InvalidRange"),
        ErrorCase.NOT_ALLOWED: (405, "MethodNotAllowed"),
        ErrorCase.NOT_IMPLEMENTED: (501, "NotImplemented"),
    }
    version = '"0123"'
    other_version = '"other"'
    spellings = ('"0123"', "0123", 'W/"0123"')

    def is_head(self, request: ProxiedRequest) -> bool:
        return request.method == "HEAD"

    def is_list(self, request: ProxiedRequest) -> bool:
        return is_list(request)

    def error_response(self, _: ProxiedRequest, status: int, code: str) -> Respond:
        body = (
            f"<Error><Code>{code}</Code><Message>{MESSAGE}</Message>"
            f"<RequestId>{REQUEST_ID}</RequestId></Error>"
        )
        # botocore takes the id from the header, obstore shows the body only
        return Respond(status, body.encode(), {"x-amz-request-id": REQUEST_ID})

    def request_id(self, _: str) -> str | None:
        return REQUEST_ID

    def version_headers(self, version: str) -> Mapping[str, str]:
        return {"ETag": version}


class _S3Faults(FaultContract):
    cloud = _S3()

    @pytest.fixture
    def connect(self, bucket: Bucket, wire: Proxy) -> Connect:
        bucket.put("key", DATA)
        options = StoreOptions(endpoint_url=wire.endpoint_url, read_timeout_s=READ_TIMEOUT_S)

        def connected(policy: RetryPolicy) -> ObjectStore:
            return open_store(bucket.url, options, policy)

        return connected


class TestFaultsThatPass(_S3Faults, FaultsThatPass):
    @in_trio
    async def test_code_decides_before_the_status(self, store: ObjectStore, wire: Proxy) -> None:
        etag = await settled(store, wire)

        def fault(request: ProxiedRequest) -> Respond:
            return self.cloud.error_response(request, 400, "RequestTimeout")

        wire.plan = script(fault, fault, when=is_get_object)
        assert await read(store, "key", 10, 300_000, etag) == DATA[10:300_000]
        wire.plan = script(fault, fault, when=is_list)
        assert [info.key for info in (await store.list_page("")).objects] == ["key"]
        assert wire.count(is_get_object) == wire.count(is_list) == 3


class TestFaultsThatStay(_S3Faults, FaultsThatStay):
    @in_trio
    async def test_expired_token_says_what_to_run(self, store: ObjectStore, wire: Proxy) -> None:
        await store.probe()
        wire.plan = always(self.fault("EXPIRED"))
        for request in (lambda: read(store, "key", 0, 9, None), lambda: store.list_page("")):
            with pytest.raises(CredentialsError) as caught:
                await request()
            assert "aws sso login --profile" in caught.value.advice


class TestStoresThatBreakTheRules(_S3Faults, StoresThatBreakTheRules):
    pass
