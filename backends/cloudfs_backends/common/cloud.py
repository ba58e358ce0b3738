"""A cloud's bucket as an `ObjectStore`: what S3, GCS and Azure have in common.

Everything that blocks runs in worker threads. What is asked of which cloud, and how, is the
business of its `CloudClient`; whether a request is made again is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

from cloudfs_backends.api import (
    Capabilities,
    ListPage,
    ObjectInfo,
    ObjectNotFoundError,
    ReadBuffer,
    Sink,
    StoreStatistics,
    ThrottledError,
    UnavailableError,
)
from cloudfs_backends.common.executor import WorkerThreads
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.introspection import Identity, Place
from cloudfs_backends.common.obstore_errors import UnfitAnswerError
from cloudfs_backends.common.obstore_reads import RangeRead
from cloudfs_backends.common.route import ReadRoute

KEY_BYTES_MAX = 1024
"""The longest key of S3 and GCS, in bytes of UTF-8."""


class CloudClient(Protocol):
    """The blocking half of a cloud store, called from several worker threads at once.

    Keys are relative to the URL's prefix. Each method raises `StoreError` only. Nothing is retried
    here. Opening one makes no request.
    """

    @property
    def url(self) -> str:
        """See `ObjectStore.url`."""

    @property
    def identity(self) -> str:
        """See `ObjectStore.identity`."""

    @property
    def endpoint(self) -> str | None:
        """See `StoreInspector.endpoint`."""

    @property
    def capabilities(self) -> Capabilities:
        """See `ObjectStore.capabilities`."""

    def probe(self) -> None:
        """See `ObjectStore.probe`."""

    def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""

    def list_page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> ListPage:
        """See `ObjectStore.list_page`."""

    def is_speakable(self, key: str) -> bool:
        """Whether obstore can name this key."""

    def fast_chunks(self, read: RangeRead) -> Generator[ReadBuffer, None, None]:
        """Yield the bytes through obstore; `UnfitAnswerError` before the first when it cannot."""

    def sdk_chunks(self, read: RangeRead) -> Generator[ReadBuffer, None, None]:
        """Yield the bytes through the SDK. Errors carry what Retry-After asks for."""

    def identify(self) -> Identity:
        """See `StoreInspector.identify`."""

    def region(self) -> str | None:
        """Ask for the bucket's region; None when the store does not say."""

    def close(self) -> None:
        """Release connections; requests under way keep theirs."""


class CloudStore:
    """One bucket and prefix of a cloud; see `ObjectStore` and `StoreInspector`."""

    def __init__(self, client: CloudClient, max_downloads: int) -> None:
        self._client = client
        self._threads = WorkerThreads(max_downloads)
        self._route = ReadRoute(client.url)

    @property
    def url(self) -> str:
        """See `ObjectStore.url`."""
        return self._client.url

    @property
    def identity(self) -> str:
        """See `ObjectStore.identity`."""
        return self._client.identity

    @property
    def endpoint(self) -> str | None:
        """See `StoreInspector.endpoint`."""
        return self._client.endpoint

    @property
    def capabilities(self) -> Capabilities:
        """See `ObjectStore.capabilities`."""
        return self._client.capabilities

    async def probe(self) -> None:
        """See `ObjectStore.probe`."""
        await self._threads.run_metadata(self._client.probe)

    async def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return await self._threads.run_metadata(lambda: self._client.head(key))

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """See `ObjectStore.list_page`. A cloud may give fewer entries than `limit`."""
        return await self._threads.run_metadata(
            lambda: self._client.list_page(prefix, delimiter, token, limit)
        )

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        """See `ObjectStore.get_range`."""
        if not 0 <= start < stop:
            raise ValueError(f"not a range: [{start}, {stop})")
        read = RangeRead(key, start, stop, etag)
        await self._threads.run_data(lambda: self._read(read, sink))

    async def identify(self) -> Identity:
        """See `StoreInspector.identify`."""
        return await self._threads.run_metadata(self._client.identify)

    async def locate(self) -> Place:
        """See `StoreInspector.locate`."""
        region = await self._threads.run_metadata(self._client.region)
        slow = self._route.why_slow
        return Place(
            endpoint=self._client.endpoint or "",
            region=region,
            byte_path=f"SDK: {slow}" if slow else "obstore",
        )

    def statistics(self) -> StoreStatistics:
        """The threads; requests are counted by `MeteredStore`."""
        return StoreStatistics({}, None, threads=self._threads.statistics())

    async def aclose(self) -> None:
        """See `ObjectStore.aclose`."""
        await self._threads.run_metadata(self._client.close)

    def _read(self, read: RangeRead, sink: Sink) -> None:
        if not self._route.is_fast or not self._client.is_speakable(read.key):
            _hand_over(self._client.sdk_chunks(read), read, sink)
            return
        try:
            _hand_over(self._client.fast_chunks(read), read, sink)
        except UnfitAnswerError as unfit:
            _hand_over(self._client.sdk_chunks(read), read, sink)
            self._route.note_unfit(str(unfit))
        except ThrottledError:
            self._route.note_throttled()
            raise


def is_key(text: str) -> bool:
    """Whether an object can have this name."""
    try:
        return len(text.encode()) <= KEY_BYTES_MAX
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False


def key_within(prefix: str, context: RequestContext, can_be: Callable[[str], bool] = is_key) -> str:
    """Return the full key; a name that cannot be a key is not found."""
    full_key = prefix + context.key
    if not full_key or not can_be(full_key):
        raise ObjectNotFoundError(
            "no object can have this name", operation=context.operation, key=context.key
        )
    return full_key


def _hand_over(chunks: Generator[ReadBuffer, None, None], read: RangeRead, sink: Sink) -> None:
    """Give the sink exactly the bytes of the read, or raise."""
    missing = read.stop - read.start
    with closing(chunks):
        for chunk in chunks:
            missing -= len(chunk)
            if missing < 0:
                raise UnavailableError("body longer than asked", operation="get", key=read.key)
            sink(chunk)
    if missing:
        raise UnavailableError("truncated body", operation="get", key=read.key)
