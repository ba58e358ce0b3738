"""Ranged reads through Google's JSON interface, for what obstore cannot read.

The SDK's own downloads write into a file before range and generation can be checked, and hide
Retry-After. So the SDK's HTTP session reads the URL that the SDK would use.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from urllib.parse import quote

from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.obstore_reads import (
    CHUNK_BYTES,
    RangeRead,
    check_range,
    check_version,
    content_range,
)
from cloudfs_backends.gcs.errors import response_error, translated
from cloudfs_backends.gcs.session import GcsSession


def read_media(
    session: GcsSession, url: str, read: RangeRead, context: RequestContext
) -> Generator[bytes, None, None]:
    """Yield the bytes as they are stored, in chunks of `CHUNK_BYTES`. Raises `StoreError`."""
    condition = {} if read.etag is None else {"ifGenerationMatch": read.etag}
    with translated(context):
        response = session.clients().http.get(
            url,
            params={"alt": "media", **condition},
            headers={"range": f"bytes={read.start}-{read.stop - 1}", "accept-encoding": "gzip"},
            stream=True,
            timeout=session.timeout,
        )
        with closing(response):
            if not response.ok:
                raise response_error(response, context)
            check_version(context, read.etag, response.headers.get("x-goog-generation"))
            check_range(
                context, read, *content_range(context, response.headers.get("content-range"))
            )
            # gzip is not decoded: offsets are those of the stored bytes.
            while chunk := response.raw.read(CHUNK_BYTES, decode_content=False):
                yield chunk


def media_url(endpoint: str, bucket: str, name: str) -> str:
    """Return the URL of an object's bytes."""
    return f"{endpoint}/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
