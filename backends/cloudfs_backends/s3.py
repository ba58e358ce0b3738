"""Amazon S3 and the stores that speak its protocol.

botocore lists and heads; obstore moves bytes, some twenty times cheaper per small read. A key that
obstore cannot name is read through botocore. This module does not know what the bytes are for, nor
whether a request will be made again: nothing is retried here.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import obstore

from cloudfs_backends.api import (
    Capabilities,
    InvalidRequestError,
    ListPage,
    ObjectChangedError,
    ObjectInfo,
    ObjectNotFoundError,
    Sink,
    StoreOptions,
    StoreStatistics,
    UnavailableError,
)
from cloudfs_backends.mtime import metadata_mtime_ns
from cloudfs_backends.s3_errors import (
    BOTOCORE_ERRORS,
    OBSTORE_ERRORS,
    from_botocore,
    from_obstore,
)
from cloudfs_backends.s3_refusals import RequestContext
from cloudfs_backends.s3_session import S3Session
from cloudfs_backends.threads import WorkerThreads
from cloudfs_backends.url import StoreUrl

if TYPE_CHECKING:
    from obstore import GetOptions

_CHUNK_BYTES = 256 * 1024
_KEY_BYTES_MAX = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What obstore's paths cannot spell: control characters, empty segments, "." and "..".
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f]|(?:^|/)\.{0,2}(?:/|$)")


class S3ObjectStore:
    """One bucket and prefix of an S3 store; see `ObjectStore` for the contract.

    Opening makes no request: `probe` is what finds the bucket, its region and the credentials.
    """

    def __init__(self, url: StoreUrl, options: StoreOptions) -> None:
        self._url = url
        self._session = S3Session(url.bucket, url.prefix, options)
        self._threads = WorkerThreads(options.max_downloads)

    @property
    def url(self) -> str:
        """See `ObjectStore.url`."""
        return str(self._url)

    @property
    def capabilities(self) -> Capabilities:
        """A LIST carries no user metadata."""
        return Capabilities(metadata_in_list=False)

    async def probe(self) -> None:
        """See `ObjectStore.probe`; also follows the bucket to the region it is in."""
        context = self._context("list", "")

        def locate() -> None:
            with _translated_obstore(context), _translated_botocore(context):
                self._session.locate()

        await self._threads.run_metadata(locate)

    async def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return await self._threads.run_metadata(lambda: self._head(key))

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """See `ObjectStore.list_page`. S3 gives at most 1000 entries, whatever `limit` is."""
        return await self._threads.run_metadata(
            lambda: self._list_page(prefix, delimiter, token, limit)
        )

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        """See `ObjectStore.get_range`."""
        if not 0 <= start < stop:
            raise ValueError(f"not a range: [{start}, {stop})")
        await self._threads.run_data(lambda: self._read(key, start, stop, etag, sink))

    def statistics(self) -> StoreStatistics:
        """Nothing is counted here: `MeteredStore` does."""
        return StoreStatistics(operations={}, last_error=None)

    async def aclose(self) -> None:
        """See `ObjectStore.aclose`."""
        await self._threads.run_metadata(self._session.close)

    def _context(self, operation: str, key: str) -> RequestContext:
        return RequestContext(operation, key, self._session)

    def _full_key(self, context: RequestContext) -> str:
        """Return the key as S3 spells it; a name that cannot be a key is not found."""
        full_key = self._url.prefix + context.key
        if not full_key or not _is_key(full_key):
            raise ObjectNotFoundError(
                "no S3 object can have this name", operation=context.operation, key=context.key
            )
        return full_key

    def _head(self, key: str) -> ObjectInfo:
        context = self._context("head", key)
        full_key = self._full_key(context)
        with _translated_botocore(context):
            answer = self._session.client().head_object(Bucket=self._url.bucket, Key=full_key)
        mtime_ns = metadata_mtime_ns(answer.get("Metadata", {}))
        return ObjectInfo(
            key=key,
            size=answer["ContentLength"],
            etag=_etag(answer, context),
            mtime_ns=_seconds_ns(answer["LastModified"]) if mtime_ns is None else mtime_ns,
            has_metadata=True,
            metadata_mtime=mtime_ns is not None,
        )

    def _list_page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> ListPage:
        context = self._context("list", prefix)
        full_prefix = self._url.prefix + prefix
        if not _is_key(full_prefix):
            return ListPage(objects=(), prefixes=(), next_token=None)
        request = {"Bucket": self._url.bucket, "Prefix": full_prefix, "MaxKeys": limit}
        if delimiter:
            request["Delimiter"] = delimiter
        if token is not None:
            request["ContinuationToken"] = token
        with _translated_botocore(context):
            answer = self._session.client().list_objects_v2(**request)
        return self._page(answer, context)

    def _page(self, answer: Mapping[str, Any], context: RequestContext) -> ListPage:
        cut = len(self._url.prefix)
        return ListPage(
            objects=tuple(
                ObjectInfo(
                    key=entry["Key"][cut:],
                    size=entry["Size"],
                    etag=_etag(entry, context),
                    mtime_ns=_seconds_ns(entry["LastModified"]),
                )
                for entry in answer.get("Contents", ())
                if len(entry["Key"]) > cut  # the marker of the prefix itself has no name here
            ),
            prefixes=tuple(entry["Prefix"][cut:] for entry in answer.get("CommonPrefixes", ())),
            next_token=answer["NextContinuationToken"] if answer.get("IsTruncated") else None,
        )

    def _read(self, key: str, start: int, stop: int, etag: str | None, sink: Sink) -> None:
        context = self._context("get", key)
        full_key = self._full_key(context)
        read = self._boto_chunks if _UNSPEAKABLE.search(full_key) else self._obstore_chunks
        missing = stop - start
        with closing(read(context, full_key, start, stop, etag)) as chunks:
            for chunk in chunks:
                missing -= len(chunk)
                if missing < 0:
                    raise UnavailableError("body longer than asked", operation="get", key=key)
                sink(chunk)
        if missing:
            raise UnavailableError("truncated body", operation="get", key=key)

    def _obstore_chunks(
        self, context: RequestContext, full_key: str, start: int, stop: int, etag: str | None
    ) -> Generator[bytes, None, None]:
        options: GetOptions = {"range": (start, stop)}
        if etag is not None:
            options["if_match"] = etag
        with _translated_obstore(context):
            with _translated_botocore(context):
                store = self._session.byte_store()
            answer = obstore.get(store, full_key, options=options)
            _check_version(context, etag, answer.meta["e_tag"])
            _check_range(context, (start, stop), answer.range, answer.meta["size"])
            yield from answer.stream(min_chunk_size=_CHUNK_BYTES)

    def _boto_chunks(
        self, context: RequestContext, full_key: str, start: int, stop: int, etag: str | None
    ) -> Generator[bytes, None, None]:
        request = {
            "Bucket": self._url.bucket,
            "Key": full_key,
            "Range": f"bytes={start}-{stop - 1}",
        }
        if etag is not None:
            request["IfMatch"] = etag
        with _translated_botocore(context):
            answer = self._session.client().get_object(**request)
            with closing(answer["Body"]) as body:
                _check_version(context, etag, answer.get("ETag"))
                _check_range(context, (start, stop), *_content_range(context, answer))
                while chunk := body.read(_CHUNK_BYTES):
                    yield chunk


@contextmanager
def _translated_botocore(context: RequestContext) -> Iterator[None]:
    try:
        yield
    except BOTOCORE_ERRORS as error:
        raise from_botocore(error, context) from error


@contextmanager
def _translated_obstore(context: RequestContext) -> Iterator[None]:
    try:
        yield
    except OBSTORE_ERRORS as error:
        raise from_obstore(error, context) from error


def _is_key(text: str) -> bool:
    try:
        return len(text.encode()) <= _KEY_BYTES_MAX
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False


def _etag(answer: Mapping[str, Any], context: RequestContext) -> str:
    """Return the ETag as If-Match wants it; some stores leave the quotes away."""
    etag: str | None = answer.get("ETag")
    if not etag:
        raise InvalidRequestError(
            "the store sends no ETag", operation=context.operation, key=context.key
        )
    return etag if etag.endswith('"') else f'"{etag}"'


def _seconds_ns(time: datetime) -> int:
    """Return nanoseconds, cut to seconds: HEAD has no more, though some LISTs do."""
    return (time - _EPOCH) // timedelta(seconds=1) * 1_000_000_000


def _check_version(context: RequestContext, asked: str | None, got: str | None) -> None:
    """A store that ignores If-Match still says what it sends."""
    if asked and got and asked.removeprefix("W/").strip('"') != got.removeprefix("W/").strip('"'):
        raise ObjectChangedError(
            f"the object is now {got}, not {asked}", operation=context.operation, key=context.key
        )


def _check_range(
    context: RequestContext, asked: tuple[int, int], got: tuple[int, int], size: int
) -> None:
    if got == asked:
        return
    # From an object that shrank S3 sends what is left; anything else breaks HTTP's rules.
    error_class = ObjectChangedError if size < asked[1] else InvalidRequestError
    raise error_class(
        f"asked for bytes {asked[0]}-{asked[1]} and got {got[0]}-{got[1]} of {size}",
        operation=context.operation,
        key=context.key,
    )


def _content_range(
    context: RequestContext, answer: Mapping[str, Any]
) -> tuple[tuple[int, int], int]:
    """Return ((start, stop), size) of a ranged answer."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.get("ContentRange", ""))
    if not match:
        raise InvalidRequestError(
            "the store ignores ranged reads", operation=context.operation, key=context.key
        )
    first, last, size = (int(part) for part in match.groups())
    return (first, last + 1), size
