"""HEAD and LIST requests of an Azure container, through the SDK. Blocking.

Azure has folders beside blobs: the listing of an empty folder looks up the folder itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.paging import ItemPaged
from azure.storage.blob import BlobPrefix, BlobProperties

from cloudfs_backends.api import ListPage, ObjectInfo
from cloudfs_backends.azure.errors import translated
from cloudfs_backends.azure.listing import EMPTY_PAGE, blob_info, is_folder, list_page_of
from cloudfs_backends.azure.raw_response import raw_response
from cloudfs_backends.azure.recent_heads import RecentHeads
from cloudfs_backends.azure.session import AzureSession
from cloudfs_backends.azure.xml import BlobPage, MalformedPageError, parse_blob_page
from cloudfs_backends.common.cloud import resolve_key
from cloudfs_backends.common.http_errors import ErrorCodes, RequestContext
from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    InvalidRequestError,
    ObjectNotFoundError,
)

_CHARACTERS_MAX: Final = 1024
_ENTRIES_MAX: Final = 5000

# A hierarchical namespace's error code for the listing of a missing folder.
_NO_SUCH_FOLDER: Final = "PathNotFound"

# HTTP clients resolve "." and ".." before they send, and Azure takes a backslash for "/": the
# response would be that of another blob.
_REWRITTEN: Final = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|\\")


def can_begin_name(text: str) -> bool:
    """Return whether the name of a blob can begin with `text`."""
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False
    return len(text) <= _CHARACTERS_MAX


def resolve_name(prefix: str, context: RequestContext) -> str:
    """Return the blob's name; raises `ObjectNotFoundError` for a key that no blob can have."""
    return resolve_key(prefix, context, _is_name)


def _is_name(text: str) -> bool:
    return can_begin_name(text) and not _REWRITTEN.search(text)


class ContainerMetadata:
    """The blobs of one container whose names start with `prefix`, which keys do not contain.

    Methods raise `StoreError` only. Safe to use from any worker thread.
    """

    def __init__(self, session: AzureSession, prefix: str, codes: ErrorCodes) -> None:
        self._session = session
        self._prefix = prefix
        self._codes = codes
        self._recent_heads = RecentHeads()

    def head(self, key: str) -> ObjectInfo:
        """Return the attributes of `key`; the stub of a folder is not found."""
        context = self._context("head", key)
        blob = self._blob(key, context)
        if is_folder(blob):
            raise ObjectNotFoundError("it is a folder", operation="head", key=key)
        return blob_info(key, blob, context)

    def list_page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> ListPage:
        """Return a page. It is empty only at the end, and not for an empty folder."""
        requested_at = time.monotonic()
        try:
            page = self._nonempty_page(prefix, delimiter, token, limit)
        except (InvalidRequestError, BucketNotFoundError):
            # A hierarchical namespace rejects a listing below a file.
            if not self._is_below_a_file(prefix, requested_at):
                raise
            page = EMPTY_PAGE
        if page.objects or page.prefixes or token is not None or not prefix.endswith("/"):
            return page
        folder = self._known_blob(prefix[:-1], requested_at)
        if folder is None or not is_folder(folder):
            return page
        marker = blob_info(prefix, folder, self._context("list", prefix))
        return ListPage(objects=(marker,), prefixes=(), next_token=None)

    def _nonempty_page(
        self, prefix: str, delimiter: str, token: str | None, limit: int
    ) -> ListPage:
        """Return a page with entries, or the last one: Azure also sends empty ones in between."""
        page = self._page(prefix, delimiter, token, limit)
        while page.next_token and not (page.objects or page.prefixes):
            page = self._page(prefix, delimiter, page.next_token, limit)
        return page

    def _page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> ListPage:
        context = self._context("list", prefix)
        with translated(context):
            listing = self._request_page(self._prefix + prefix, delimiter, token, limit)
        return list_page_of(listing, self._prefix, delimiter, context)

    def _request_page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> BlobPage:
        """Request a page; that of a missing folder is empty. Raises the SDK's exceptions."""
        try:
            response = raw_response(
                lambda hook: next(self._pages(prefix, delimiter, limit, hook).by_page(token))
            )
            return parse_blob_page(response.read())
        except HttpResponseError as error:
            if getattr(error, "error_code", "") == _NO_SUCH_FOLDER:
                return BlobPage((), "")
            raise
        except MalformedPageError as error:
            raise DecodeError(str(error)) from error

    def _pages(
        self, prefix: str, delimiter: str, limit: int, hook: Callable[..., None]
    ) -> ItemPaged[BlobProperties] | ItemPaged[BlobProperties | BlobPrefix]:
        client = self._session.client()
        options: dict[str, Any] = {
            "include": ["metadata"],
            "results_per_page": min(limit, _ENTRIES_MAX),
            "raw_response_hook": hook,
        }
        if delimiter:
            return client.walk_blobs(prefix, delimiter=delimiter, **options)
        return client.list_blobs(prefix, **options)

    def _is_below_a_file(self, prefix: str, requested_at: float) -> bool:
        above = (self._known_blob(name, requested_at) for name in _names_above(prefix))
        return any(blob is not None and not is_folder(blob) for blob in above)

    def _known_blob(self, key: str, requested_at: float) -> BlobProperties | None:
        """Return a blob as of `requested_at` or later; None when there is none."""
        known = self._recent_heads.since(self._prefix + key, requested_at)
        if known is not None:
            return known.blob
        try:
            return self._blob(key, self._context("head", key))
        except (ObjectNotFoundError, AccessDeniedError):  # the permission may be to list only
            return None

    def _blob(self, key: str, context: RequestContext) -> BlobProperties:
        name = resolve_name(self._prefix, context)
        try:
            with translated(context):
                blob = self._session.client().get_blob_client(name).get_blob_properties()
        except ObjectNotFoundError:
            self._recent_heads.add(name, None)
            raise
        self._recent_heads.add(name, blob)
        return blob

    def _context(self, operation: str, key: str) -> RequestContext:
        return RequestContext(operation, key, self._session, self._codes)


def _names_above(prefix: str) -> Iterator[str]:
    """Yield the folders above a prefix, the deepest first, without trailing slashes."""
    above, separator, _ = prefix.rpartition("/")
    while separator:
        yield above
        above, separator, _ = above.rpartition("/")
