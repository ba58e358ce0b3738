"""Amazon S3 and compatible stores: metadata through botocore, bytes through obstore."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any, Final

from cloudfs_backends.api import Capabilities, ListPage, ObjectInfo, StoreOptions
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.cloud import CloudClient, is_key, resolve_key
from cloudfs_backends.common.http_errors import RequestContext, with_advice
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.common.mtime import seconds_ns
from cloudfs_backends.common.objects import object_info, quoted_etag
from cloudfs_backends.common.obstore_reads import (
    CHUNK_BYTES,
    RangeRead,
    check_range,
    check_version,
    content_range,
    obstore_chunks,
)
from cloudfs_backends.errors import InvalidRequestError
from cloudfs_backends.s3.errors import CUSTOMER_KEY_ERROR_CODES, ERROR_CODES, translated
from cloudfs_backends.s3.session import S3Session
from cloudfs_backends.url import StoreUrl

_COPY_BYTES_MAX: Final = 5 * 2**30


def open_client(url: StoreUrl, options: StoreOptions) -> StoreClient:
    """Return the client; no request is made yet. Raises `InvalidRequestError` for bad options."""
    if options.requester_pays and options.no_sign_request:
        raise with_advice(
            InvalidRequestError(
                "--requester-pays needs credentials: an anonymous client cannot pay"
            ),
            "leave --no-sign-request or --requester-pays away",
        )
    return S3Client(url, options)


class S3Client(CloudClient[S3Session]):
    """One bucket and prefix of an S3 store.

    `probe` finds the bucket, its region and the credentials.
    """

    def __init__(self, url: StoreUrl, options: StoreOptions) -> None:
        codes = CUSTOMER_KEY_ERROR_CODES if options.sse_customer_key else ERROR_CODES
        super().__init__(url, S3Session(url.bucket, url.prefix, options), codes)

    @property
    def identity(self) -> str:
        """The URL; names of buckets are unique within one partition of AWS only."""
        namespace = self._session.namespace
        return f"{self.url} at {namespace}" if namespace else self.url

    @property
    def capabilities(self) -> Capabilities:
        """What S3 can do; compatible stores may lack some of it.

        A LIST carries no user metadata. Directory buckets rename objects but not folders.
        """
        return Capabilities(
            metadata_in_list=False,
            conditional_put=not self._session.is_custom,
            append=self._session.is_directory_bucket,
            copy_bytes_max=_COPY_BYTES_MAX,
        )

    def probe(self) -> None:
        """Check that the bucket can be listed, following it to the region it is in."""
        context = self._context("list", "")
        with translated(context):
            self._session.locate()

    def head(self, key: str) -> ObjectInfo:
        context = self._context("head", key)
        full_key = resolve_key(self._url.prefix, context)
        with translated(context):
            response = self._session.client().head_object(
                **self._session.object_arguments, Key=full_key
            )
        return object_info(
            key,
            size=response["ContentLength"],
            etag=quoted_etag(response.get("ETag"), context),
            last_modified=response["LastModified"],
            metadata=response.get("Metadata", {}),
        )

    def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`, of at most 1000 entries."""
        context = self._context("list", prefix)
        full_prefix = self._url.prefix + prefix
        if not is_key(full_prefix):
            return ListPage(objects=(), prefixes=(), next_token=None)
        request = {**self._session.bucket_arguments, "Prefix": full_prefix, "MaxKeys": limit}
        if delimiter:
            request["Delimiter"] = delimiter
        if token is not None:
            request["ContinuationToken"] = token
        with translated(context):
            response = self._session.client().list_objects_v2(**request)
        return self._page(response, context)

    def read_obstore(self, read: RangeRead) -> Generator[bytes, None, None]:
        context = self._context("get", read.key)
        full_key = resolve_key(self._url.prefix, context)
        with translated(context):
            store = self._session.obstore_client()
        yield from obstore_chunks(store, full_key, read, context)

    def read_sdk(self, read: RangeRead) -> Generator[bytes, None, None]:
        context = self._context("get", read.key)
        request = {
            **self._session.object_arguments,
            "Key": resolve_key(self._url.prefix, context),
            "Range": f"bytes={read.start}-{read.stop - 1}",
        }
        if read.etag is not None:
            request["IfMatch"] = read.etag
        with translated(context):
            response = self._session.client().get_object(**request)
            with closing(response["Body"]) as body:
                check_version(context, read.etag, response.get("ETag"))
                check_range(context, read, *content_range(context, response.get("ContentRange")))
                while chunk := body.read(CHUNK_BYTES):
                    yield chunk

    def identify(self) -> Identity:
        with translated(self._context("identify", "")):
            return self._session.identify()

    def region(self) -> str | None:
        with translated(self._context("list", "")):
            return self._session.region()

    def _page(self, response: Mapping[str, Any], context: RequestContext) -> ListPage:
        cut = len(self._url.prefix)
        return ListPage(
            objects=tuple(
                ObjectInfo(
                    key=entry["Key"][cut:],
                    size=entry["Size"],
                    etag=quoted_etag(entry.get("ETag"), context),
                    mtime_ns=seconds_ns(entry["LastModified"]),
                )
                for entry in response.get("Contents", ())
                if len(entry["Key"]) > cut  # the marker of the prefix itself has no key here
            ),
            prefixes=tuple(entry["Prefix"][cut:] for entry in response.get("CommonPrefixes", ())),
            next_token=response["NextContinuationToken"] if response.get("IsTruncated") else None,
        )
