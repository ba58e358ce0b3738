"""The base class of the S3, GCS and Azure clients: keys, and reads by one of two libraries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final, Generic, Protocol, TypeVar

from cloudfs_backends.api import ReadBuffer, Sink
from cloudfs_backends.common.http_errors import ErrorCodes, RequestContext, SessionDetails
from cloudfs_backends.common.introspection import BucketLocation
from cloudfs_backends.common.obstore_errors import IncompatibleResponseError
from cloudfs_backends.common.obstore_reads import RangeRead, obstore_can_name
from cloudfs_backends.common.route import ReadRoute
from cloudfs_backends.errors import ObjectNotFoundError, ThrottledError, UnavailableError
from cloudfs_backends.url import StoreUrl

KEY_BYTES_MAX: Final = 1024
"""The longest key of S3 and GCS, in bytes of UTF-8."""


class CloudSession(SessionDetails, Protocol):
    """The SDK's and obstore's clients of one bucket, built from one set of credentials."""

    def close(self) -> None:
        """Close idle connections; requests in flight keep theirs."""


S = TypeVar("S", bound=CloudSession)


class CloudClient(ABC, Generic[S]):
    """The common part of the cloud clients, each of which is a `StoreClient`.

    `ReadRoute` decides whether a read goes through obstore, which is cheap, or through the SDK,
    which reads what obstore cannot.
    """

    def __init__(self, url: StoreUrl, session: S, codes: ErrorCodes) -> None:
        self._url = url
        self._session = session
        self._codes = codes
        self._route = ReadRoute(str(url))

    @property
    def url(self) -> str:
        return str(self._url)

    @property
    def endpoint(self) -> str | None:
        return self._session.endpoint

    def get_range(self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink) -> None:
        read = RangeRead(key, start, stop, etag)
        if not self._route.uses_obstore or not obstore_can_name(self._url.prefix + key):
            _deliver(self.read_sdk(read), read, sink)
            return
        try:
            _deliver(self.read_obstore(read), read, sink)
        except IncompatibleResponseError as error:
            _deliver(self.read_sdk(read), read, sink)
            self._route.note_incompatible(str(error))
        except ThrottledError:
            self._route.note_throttled()
            raise

    @abstractmethod
    def read_obstore(self, read: RangeRead) -> Generator[ReadBuffer, None, None]:
        """Yield the bytes through obstore. `IncompatibleResponseError` comes before the first."""

    @abstractmethod
    def read_sdk(self, read: RangeRead) -> Generator[ReadBuffer, None, None]:
        """Yield the bytes through the SDK. Errors carry the pause that Retry-After asks for."""

    def locate(self) -> BucketLocation:
        region = self.region()
        slow = self._route.incompatibility
        return BucketLocation(
            endpoint=self._session.endpoint,
            region=region,
            byte_path=f"SDK: {slow}" if slow else "obstore",
        )

    @abstractmethod
    def region(self) -> str | None:
        """Ask for the bucket's region; None when the store does not say."""

    def close(self) -> None:
        self._session.close()

    def _context(self, operation: str, key: str) -> RequestContext:
        return RequestContext(operation, key, self._session, self._codes)


def is_key(text: str) -> bool:
    """Return whether an object can have this name."""
    try:
        return len(text.encode()) <= KEY_BYTES_MAX
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False


def resolve_key(
    prefix: str, context: RequestContext, is_valid: Callable[[str], bool] = is_key
) -> str:
    """Return the full key; raises `ObjectNotFoundError` for a name that cannot be a key."""
    full_key = prefix + context.key
    if not full_key or not is_valid(full_key):
        raise ObjectNotFoundError(
            "no object can have this name", operation=context.operation, key=context.key
        )
    return full_key


def _deliver(chunks: Generator[ReadBuffer, None, None], read: RangeRead, sink: Sink) -> None:
    """Hand exactly the bytes of the read to the sink, or raise."""
    missing = read.stop - read.start
    with closing(chunks):
        for chunk in chunks:
            missing -= len(chunk)
            if missing < 0:
                raise UnavailableError("body longer than asked", operation="get", key=read.key)
            sink(chunk)
    if missing:
        raise UnavailableError("truncated body", operation="get", key=read.key)
