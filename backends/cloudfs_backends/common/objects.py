"""Conversion of a cloud's object attributes into `ObjectInfo`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cloudfs_backends.api import ObjectInfo
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.mtime import metadata_mtime_ns, seconds_ns
from cloudfs_backends.errors import InvalidRequestError


def object_info(
    key: str, *, size: int, etag: str, last_modified: datetime, metadata: Mapping[str, str]
) -> ObjectInfo:
    """Return the attributes of an object whose user metadata is known."""
    mtime_ns = metadata_mtime_ns(metadata)
    return ObjectInfo(
        key=key,
        size=size,
        etag=etag,
        mtime_ns=seconds_ns(last_modified) if mtime_ns is None else mtime_ns,
        has_metadata=True,
        metadata_mtime=mtime_ns is not None,
    )


def quoted_etag(etag: str | None, context: RequestContext) -> str:
    """Return an ETag as If-Match takes it: some stores and listings omit the quotes."""
    if not etag:
        raise InvalidRequestError(
            "the store sends no ETag", operation=context.operation, key=context.key
        )
    return etag if etag.endswith('"') else f'"{etag}"'
