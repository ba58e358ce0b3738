"""Parts of the fault suite: a cloud's error responses, faults, and a store that has settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import ClassVar, Protocol, TypeAlias

import pytest

from cloudfs_backends.api import ObjectStore, OperationStatistics
from cloudfs_backends.wrappers.retry import RetryPolicy
from tests.contract.world import read
from tests.support.proxy import ProxiedRequest, Proxy, Reset, Respond, Stall, Step, Truncate

POLICY = RetryPolicy(max_attempts=4, base_s=0.001, cap_s=0.01)
READ_TIMEOUT_S = 0.5
MESSAGE = "made by the test"
REQUEST_ID = "request-7"

Connect: TypeAlias = Callable[[RetryPolicy], ObjectStore]
"""Opens the store behind the faulty wire, with `READ_TIMEOUT_S`."""


class ErrorCase(Enum):
    """What a store may answer instead of what it was asked for."""

    SLOW_DOWN = auto()
    BROKEN = auto()
    MISLEADING = auto()
    """A server's failure whose code speaks of the object."""
    DENIED = auto()
    WRONG_KEY = auto()
    EXPIRED = auto()
    MISSING = auto()
    CHANGED = auto()
    PAST_END = auto()
    NOT_ALLOWED = auto()
    NOT_IMPLEMENTED = auto()


class Cloud(Protocol):
    """How one cloud speaks."""

    codes: Mapping[ErrorCase, tuple[int, str]]
    """Status and error code of each."""

    version: str
    """A content identity, as reads name it."""

    other_version: str

    spellings: tuple[str, ...]
    """Spellings of `version` in responses."""

    def is_head(self, request: ProxiedRequest) -> bool:
        """Return whether this is a HEAD."""

    def is_list(self, request: ProxiedRequest) -> bool:
        """Return whether this is a LIST."""

    def error_response(self, request: ProxiedRequest, status: int, code: str) -> Respond:
        """Return an error response with `MESSAGE`, and `REQUEST_ID` where the cloud has one."""

    def request_id(self, key: str) -> str | None:
        """Return the request id that the error of a failed read of `key` should have."""

    def version_headers(self, version: str) -> Mapping[str, str]:
        """Return the headers that name the version of a response's bytes."""


class Bucket(Protocol):
    """The bucket behind the store, changed as another client would."""

    def put(self, key: str, data: bytes) -> object: ...


FAULTS: Mapping[str, Step] = {
    "403": Respond(403),
    "401": Respond(401),
    "429": Respond(429),
    "429-at-once": Respond(429, b"", {"Retry-After": "0"}),
    "503": Respond(503),
    "reset": Reset(),
    "stall": Stall(),
    "truncated": Truncate(10),
    "truncated-late": Truncate(600_000),
    "reset-late": Reset(600_000),
    "stall-late": Stall(600_000),
}
PASSING = ["SLOW_DOWN", "MISLEADING", "BROKEN", "503", "429-at-once", "reset", "stall"]
LATE = ["truncated-late", "reset-late", "stall-late"]


async def settled(store: ObjectStore, wire: Proxy) -> str:
    """Let the store ask what it asks once: where the bucket is, and who reads best. Returns the
    content identity of `key`."""
    await store.probe()
    etag = (await store.head("key")).etag
    await read(store, "key", 0, 1, etag)
    wire.requests.clear()
    return etag


def since(store: ObjectStore, before: OperationStatistics) -> tuple[int, int, int, int]:
    """Return how many gets, errors, retries and bytes have been added."""
    now = store.statistics().operations["get"]
    return (
        now.requests - before.requests,
        now.errors - before.errors,
        now.retries - before.retries,
        now.received_bytes - before.received_bytes,
    )


class FaultContract:
    """Subclasses give the fixtures `bucket` (which has `key`), `wire` and `connect`."""

    cloud: ClassVar[Cloud]

    slow_key: ClassVar[str] = "a//b"
    """One that obstore cannot name: the SDK reads it."""

    @pytest.fixture
    def store(self, connect: Connect) -> ObjectStore:
        return connect(POLICY)

    def fault(self, name: str) -> Step:
        if name in FAULTS:
            return FAULTS[name]
        status, code = self.cloud.codes[ErrorCase[name]]
        return lambda request: self.cloud.error_response(request, status, code)

    def partial(self, data: bytes, start: int, total: int, version: str) -> Respond:
        headers = {
            "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
            "Content-Range": f"bytes {start}-{start + len(data) - 1}/{total}",
            **self.cloud.version_headers(version),
        }
        return Respond(206, data, headers)
