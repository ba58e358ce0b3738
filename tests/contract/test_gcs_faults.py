"""GCS over a faulty wire: the emulator, and a bucket that responds as Google does.

The emulator sends neither Last-Modified nor generations with the bytes, so every body comes through
the SDK there, and only error responses on both routes. Of the other bucket obstore reads bodies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final
from urllib.parse import urlsplit

import pytest

from cloudfs_backends.api import ObjectStore, StoreOptions
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
    Bucket,
    Connect,
    ErrorCase,
    FaultContract,
    settled,
)
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA
from tests.support.gcs import GcsServer
from tests.support.google import GoogleBucket
from tests.support.proxy import ProxiedRequest, Proxy, Respond, Truncate, proxy, script

pytestmark = pytest.mark.usefixtures("_google")

_REASONS: Final = {
    "TooManyRequests": "rateLimitExceeded",
    "InternalError": "backendError",
    "NoSuchKey": "notFound",
    "AccessDenied": "forbidden",
    "AuthenticationRequired": "authError",
    "ExpiredToken": "authError",
    "PreconditionFailed": "conditionNotMet",
    "InvalidRange": "requestedRangeNotSatisfiable",
    "MethodNotAllowed": "methodNotAllowed",
    "NotImplemented": "notImplemented",
}
"""What the JSON interface says where the XML interface has a code."""


class _Gcs:
    """See `faults.Cloud`."""

    codes: Final = {
        ErrorCase.SLOW_DOWN: (429, "TooManyRequests"),
        ErrorCase.BROKEN: (500, "InternalError"),
        ErrorCase.MISLEADING: (503, "NoSuchKey"),
        ErrorCase.DENIED: (403, "AccessDenied"),
        ErrorCase.WRONG_KEY: (401, "AuthenticationRequired"),
        ErrorCase.EXPIRED: (401, "ExpiredToken"),
        ErrorCase.MISSING: (404, "NoSuchKey"),
        ErrorCase.CHANGED: (412, "PreconditionFailed"),
        ErrorCase.PAST_END: (416, "InvalidRange"),
        ErrorCase.NOT_ALLOWED: (405, "MethodNotAllowed"),
        ErrorCase.NOT_IMPLEMENTED: (501, "NotImplemented"),
    }
    version = "123"
    other_version = "456"
    spellings = ("123",)

    def is_head(self, request: ProxiedRequest) -> bool:
        path = urlsplit(request.target).path
        return path.startswith("/storage/v1/b/") and "/o/" in path

    def is_list(self, request: ProxiedRequest) -> bool:
        return urlsplit(request.target).path.endswith("/o")

    def error_response(self, request: ProxiedRequest, status: int, code: str) -> Respond:
        headers = {"x-guploader-uploadid": REQUEST_ID}
        if request.target.startswith("/storage/"):
            error = {"code": status, "message": MESSAGE, "errors": [{"reason": _REASONS[code]}]}
            return Respond(status, json.dumps({"error": error}).encode(), headers)
        if request.target.startswith("/download/"):  # a plain text, without a code
            return Respond(status, MESSAGE.encode(), headers)
        body = f"<Error><Code>{code}</Code><Message>{MESSAGE}</Message></Error>"
        return Respond(status, body.encode(), headers)

    def request_id(self, key: str) -> str | None:
        return REQUEST_ID if key == FaultContract.slow_key else None  # obstore shows no headers

    def version_headers(self, version: str) -> Mapping[str, str]:
        return {"x-goog-generation": version, "ETag": f'"etag-of-{version}"'}


class _GcsFaults(FaultContract):
    cloud = _Gcs()

    @pytest.fixture
    def connect(self, bucket_url: str, bucket: Bucket, wire: Proxy) -> Connect:
        bucket.put("key", DATA)
        options = StoreOptions(
            endpoint_url=wire.endpoint_url, read_timeout_s=READ_TIMEOUT_S, no_sign_request=True
        )

        def connected(policy: RetryPolicy) -> ObjectStore:
            return open_store(bucket_url, options, policy)

        return connected


class _OnTheEmulator(_GcsFaults):
    @pytest.fixture
    def bucket(self, gcs_bucket: Bucket) -> Bucket:
        return gcs_bucket

    @pytest.fixture
    def bucket_url(self, gcs_bucket: Bucket) -> str:
        return gcs_bucket.url

    @pytest.fixture
    def wire(self, gcs_server: GcsServer) -> Iterator[Proxy]:
        with proxy(gcs_server.port) as running:
            yield running


class TestFaultsThatPass(_OnTheEmulator, FaultsThatPass):
    @in_trio
    async def test_metadata_that_breaks_off(self, store: ObjectStore, wire: Proxy) -> None:
        """What is known of an object comes as a body here."""
        await settled(store, wire)
        wire.plan = script(Truncate(10), Truncate(100), when=self.cloud.is_head)
        assert (await store.head("key")).size == len(DATA)
        assert store.statistics().operations["head"].retries == 2


class TestFaultsThatStay(_OnTheEmulator, FaultsThatStay):
    pass


class TestStoresThatBreakTheRules(_OnTheEmulator, StoresThatBreakTheRules):
    gaps: ClassVar = {
        "test_version_is_asked_for_again_after_a_break": (
            "the emulator ignores ifGenerationMatch and does not say which generation it sends"
        )
    }


class _AsGoogleAnswers(_GcsFaults):
    @pytest.fixture
    def bucket(self, google_bucket: GoogleBucket) -> Bucket:
        return google_bucket

    @pytest.fixture
    def bucket_url(self, google_bucket: GoogleBucket) -> str:
        return google_bucket.url

    @pytest.fixture
    def wire(self, google: Proxy) -> Iterator[Proxy]:
        with proxy(google.port) as running:
            yield running


class TestObstoreAndFaultsThatPass(_AsGoogleAnswers, FaultsThatPass):
    pass


class TestObstoreAndStoresThatBreakTheRules(_AsGoogleAnswers, StoresThatBreakTheRules):
    pass
