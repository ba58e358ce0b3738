"""Ranged reads through Azure's SDK, passed on as they arrive.

The SDK's own downloader holds the whole body in memory, up to 32 MiB, before it returns a byte, and
retries a broken body twice, with pauses. So the raw response is taken from it as soon as the
headers have arrived. Raises the SDK's exceptions.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.rest import HttpResponse
from azure.storage.blob import ContainerClient

from cloudfs_backends.azure.raw_response import raw_response
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.obstore_reads import (
    RangeRead,
    check_range,
    check_version,
    content_range,
)

WHOLE_RANGE_BYTES: Final = 2**62
"""For `max_single_get_size` of a client: each read is one request."""


def read_blob(
    client: ContainerClient, name: str, read: RangeRead, context: RequestContext
) -> Generator[bytes, None, None]:
    """Yield the bytes of a read as they are stored, whatever their Content-Encoding says."""
    with closing(_request(client, name, read)) as response:
        check_version(context, read.etag, response.headers.get("ETag"))
        check_range(context, read, *content_range(context, response.headers.get("Content-Range")))
        yield from response.iter_raw()


def _request(client: ContainerClient, name: str, read: RangeRead) -> HttpResponse:
    condition: dict[str, Any] = {}
    if read.etag is not None:
        condition = {"etag": read.etag, "match_condition": MatchConditions.IfNotModified}
    return raw_response(
        lambda hook: client.download_blob(
            name,
            offset=read.start,
            length=read.stop - read.start,
            raw_response_hook=hook,
            **condition,
        )
    )
