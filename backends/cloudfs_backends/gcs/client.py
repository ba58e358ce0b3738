"""Google Cloud Storage: metadata through Google's SDK, bytes through obstore."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

from cloudfs_backends.api import Capabilities, ListPage, ObjectInfo, StoreOptions
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.cloud import CloudClient
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.common.obstore_errors import IncompatibleResponseError
from cloudfs_backends.common.obstore_reads import RangeRead, VersionCondition, obstore_chunks
from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
)
from cloudfs_backends.gcs.errors import ERROR_CODES, response_error, translated
from cloudfs_backends.gcs.media import media_url, read_media
from cloudfs_backends.gcs.objects import LIST_FIELDS, blob_info, first_page, is_name, resolve_name
from cloudfs_backends.gcs.session import GcsSession
from cloudfs_backends.url import StoreUrl

# The largest object there is: within a bucket a rewrite copies no bytes and completes at once.
_COPY_BYTES_MAX: Final = 5 * 2**40

_LAYOUT_UNAVAILABLE: Final = (
    AccessDeniedError,
    BucketNotFoundError,
    InvalidRequestError,
    ObjectNotFoundError,
)
"""Errors of a store that does not tell the layout, or not to this client."""

_NOT_IMPLEMENTED: Final = "HTTP 501"
"""The error of a 501 without a code: an emulator that lacks the XML interface. A store that lacks
one request sends a code."""


def open_client(url: StoreUrl, options: StoreOptions) -> StoreClient:
    """Return the client; no request is made yet."""
    return GcsClient(url, options)


class GcsClient(CloudClient[GcsSession]):
    """One bucket and prefix of Google Cloud Storage.

    An object's version is its generation. `probe` finds the credentials, and whether the bucket has
    a hierarchical namespace.
    """

    def __init__(self, url: StoreUrl, options: StoreOptions) -> None:
        super().__init__(url, GcsSession(url.bucket, options), ERROR_CODES)
        self._has_folders = False

    @property
    def identity(self) -> str:
        """The URL; names of buckets are unique within Google only."""
        return self.url if self._session.is_google else f"{self.url} at {self._session.endpoint}"

    @property
    def capabilities(self) -> Capabilities:
        """What Google can do; emulators may ignore conditions and copy bytes."""
        is_google = self._session.is_google
        return Capabilities(
            metadata_in_list=True,
            conditional_put=is_google,
            atomic_rename=self._has_folders,
            copy_bytes_max=_COPY_BYTES_MAX if is_google else 0,
        )

    def probe(self) -> None:
        self.list_page("", limit=1)
        try:
            self._has_folders = _has_folders(self._layout())
        except _LAYOUT_UNAVAILABLE:
            self._has_folders = False

    def head(self, key: str) -> ObjectInfo:
        context = self._context("head", key)
        name = resolve_name(self._url.prefix, context)
        with translated(context):
            blob = self._session.bucket().blob(name)
            blob.reload(timeout=self._session.timeout, retry=None)
            return blob_info(blob, key, context)

    def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`, of at most 1000 entries."""
        context = self._context("list", prefix)
        full_prefix = self._url.prefix + prefix
        if not is_name(full_prefix):
            return ListPage(objects=(), prefixes=(), next_token=None)
        with translated(context):
            blobs = self._session.clients().sdk.list_blobs(
                self._url.bucket,
                prefix=full_prefix or None,
                delimiter=delimiter or None,
                page_token=token,
                max_results=limit,
                fields=LIST_FIELDS,
                # In a hierarchical namespace folders exist without objects in them.
                include_folders_as_prefixes=True if self._has_folders and delimiter else None,
                timeout=self._session.timeout,
                retry=None,
            )
            return first_page(blobs, full_prefix, context)

    def read_obstore(self, read: RangeRead) -> Generator[bytes, None, None]:
        context = self._context("get", read.key)
        name = resolve_name(self._url.prefix, context)
        with translated(context):
            store = self._session.obstore_client()
        try:
            yield from obstore_chunks(store, name, read, context, VersionCondition.GENERATION)
        except ObjectNotFoundError as missing:
            raise self._missing_or_changed(missing, read) from missing
        except InvalidRequestError as error:
            if str(error) != _NOT_IMPLEMENTED:
                raise
            raise _incompatible("it lacks the XML interface", read) from error

    def read_sdk(self, read: RangeRead) -> Generator[bytes, None, None]:
        context = self._context("get", read.key)
        name = resolve_name(self._url.prefix, context)
        url = media_url(self._session.endpoint, self._url.bucket, name)
        yield from read_media(self._session, url, read, context)

    def identify(self) -> Identity:
        with translated(self._context("identify", "")):
            return self._session.identify()

    def region(self) -> str | None:
        """Return the bucket's location and location type; None when the store does not say."""
        try:
            layout = self._layout()
        except _LAYOUT_UNAVAILABLE:
            return None
        location, kind = layout.get("location"), layout.get("locationType")
        return f"{location} ({kind})" if location and kind else location

    def _layout(self) -> Mapping[str, Any]:
        """Return what a client that may only list can learn of the bucket."""
        context = self._context("list", "")
        with translated(context):
            response = self._session.clients().http.get(
                f"{self._session.endpoint}/storage/v1/b/{self._url.bucket}/storageLayout",
                # The permission to list may be granted for a folder only.
                params={"prefix": self._url.prefix} if self._url.prefix else None,
                timeout=self._session.timeout,
            )
            if not response.ok:
                raise response_error(response, context)
            layout = response.json()
        return layout if isinstance(layout, dict) else {}

    def _missing_or_changed(self, missing: ObjectNotFoundError, read: RangeRead) -> StoreError:
        """Return the error of a 404, which Google sends for lost objects and versions alike."""
        if read.etag is None:
            return missing
        try:
            now = self.head(read.key).etag
        except ObjectNotFoundError:
            return missing
        if now == read.etag:
            return _incompatible("its XML interface does not find what it has", read)
        return ObjectChangedError(
            f"the object is now generation {now}, not {read.etag}",
            operation="get",
            key=read.key,
            http_code=missing.http_code,
        )


def _has_folders(layout: Mapping[str, Any]) -> bool:
    namespace = layout.get("hierarchicalNamespace")
    return isinstance(namespace, Mapping) and namespace.get("enabled") is True


def _incompatible(why: str, read: RangeRead) -> IncompatibleResponseError:
    return IncompatibleResponseError(why, operation="get", key=read.key)
