"""Conversion of the SDK's blobs and listings into values of the store protocol."""

from __future__ import annotations

from typing import Any, Final

from cloudfs_backends.api import ListPage, ObjectInfo
from cloudfs_backends.common.cloud import is_key, resolve_key
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.objects import object_info
from cloudfs_backends.errors import InvalidRequestError, ObjectNotFoundError

LIST_FIELDS: Final = "nextPageToken,prefixes,items(name,size,generation,updated,metadata)"
"""The fields that `first_page` reads, a tenth of those that Google would send."""


def is_name(text: str) -> bool:
    """Return whether an object's name can be or begin with `text`."""
    return is_key(text) and "\n" not in text and "\r" not in text


def resolve_name(prefix: str, context: RequestContext) -> str:
    """Return the object's full name; raises `ObjectNotFoundError` when no object can have it."""
    name = resolve_key(prefix, context)
    if not is_name(name) or name in {".", ".."}:
        raise ObjectNotFoundError(
            "no object can have this name", operation=context.operation, key=context.key
        )
    return name


def blob_info(blob: Any, key: str, context: RequestContext) -> ObjectInfo:
    """Return the attributes of a Blob, whose key within the store is `key`."""
    if blob.generation is None or blob.size is None or blob.updated is None:
        raise InvalidRequestError(
            "the store sends no generation, size or time of change",
            operation=context.operation,
            key=key,
        )
    return object_info(
        key,
        size=blob.size,
        etag=str(blob.generation),
        last_modified=blob.updated,
        metadata=blob.metadata or {},
    )


def first_page(blobs: Any, prefix: str, context: RequestContext) -> ListPage:
    """Take the first page from the SDK's iterator over the names that start with `prefix`."""
    page = next(blobs.pages, ())
    cut = len(prefix) - len(context.key)
    return ListPage(
        objects=tuple(
            blob_info(blob, blob.name[cut:], context)
            for blob in page
            if len(blob.name) > cut  # the marker of the store's prefix has no key here
        ),
        # The listed folder is also among its own prefixes.
        prefixes=tuple(sorted(name[cut:] for name in blobs.prefixes if name != prefix)),
        next_token=blobs.next_page_token,
    )
