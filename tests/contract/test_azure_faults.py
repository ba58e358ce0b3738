"""Azure over a faulty wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pytest

from cloudfs_backends.api import ObjectStore, StoreOptions
from cloudfs_backends.registry import open_store
from cloudfs_backends.wrappers.retry import RetryPolicy
from tests.contract.azure_responses import REQUEST_ID, error_response
from tests.contract.fault_suite import (
    FaultsThatPass,
    FaultsThatStay,
    StoresThatBreakTheRules,
)
from tests.contract.faults import (
    READ_TIMEOUT_S,
    Connect,
    ErrorCase,
    FaultContract,
)
from tests.contract.world import DATA
from tests.support.azure import ACCOUNT, AzureBucket
from tests.support.proxy import ProxiedRequest, Proxy, Respond

pytestmark = pytest.mark.usefixtures("_azure")


class _Azure:
    """See `faults.Cloud`."""

    codes: Final = {
        ErrorCase.SLOW_DOWN: (503, "ServerBusy"),
        ErrorCase.BROKEN: (500, "InternalError"),
        ErrorCase.MISLEADING: (503, "BlobNotFound"),
        ErrorCase.DENIED: (403, "AuthorizationPermissionMismatch"),
        ErrorCase.WRONG_KEY: (403, "AuthenticationFailed"),
        ErrorCase.EXPIRED: (401, "InvalidAuthenticationInfo"),
        ErrorCase.MISSING: (404, "BlobNotFound"),
        ErrorCase.CHANGED: (412, "ConditionNotMet"),
        ErrorCase.PAST_END: (416, "InvalidRange"),
        ErrorCase.NOT_ALLOWED: (405, "UnsupportedHttpVerb"),
        ErrorCase.NOT_IMPLEMENTED: (501, "NotImplemented"),
    }
    version = '"0x8DC0123"'
    other_version = '"0x8DC0456"'
    spellings = ('"0x8DC0123"', "0x8DC0123")

    def is_head(self, request: ProxiedRequest) -> bool:
        return request.method == "HEAD"

    def is_list(self, request: ProxiedRequest) -> bool:
        return request.method == "GET" and "comp=list" in request.target

    def error_response(self, request: ProxiedRequest, status: int, code: str) -> Respond:
        return error_response(status, code)

    def request_id(self, key: str) -> str | None:
        return REQUEST_ID

    def version_headers(self, version: str) -> Mapping[str, str]:
        return {"ETag": version}


class _AzureFaults(FaultContract):
    cloud: ClassVar = _Azure()

    @pytest.fixture
    def bucket(self, azure_bucket: AzureBucket) -> AzureBucket:
        return azure_bucket

    @pytest.fixture
    def wire(self, azure_wire: Proxy) -> Proxy:
        return azure_wire

    @pytest.fixture
    def connect(self, bucket: AzureBucket, wire: Proxy) -> Connect:
        bucket.put("key", DATA)
        options = StoreOptions(
            endpoint_url=f"{wire.endpoint_url}/{ACCOUNT}", read_timeout_s=READ_TIMEOUT_S
        )

        def connected(policy: RetryPolicy) -> ObjectStore:
            return open_store(bucket.url, options, policy)

        return connected


class TestFaultsThatPass(_AzureFaults, FaultsThatPass):
    pass


class TestFaultsThatStay(_AzureFaults, FaultsThatStay):
    pass


class TestStoresThatBreakTheRules(_AzureFaults, StoresThatBreakTheRules):
    pass
