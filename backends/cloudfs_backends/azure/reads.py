"""A ranged read through Azure's SDK, handed on as it arrives.

The SDK's own downloader holds the whole answer in memory, up to 32 MiB, before it gives a byte of
it, and when the body breaks it asks again twice, with pauses. So the answer is taken from it as
soon as its headers are there. Raises what the SDK raises.
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
"""For `max_single_get_size` of a client: what is asked for is asked for by one request."""


def read_blob(
    client: ContainerClient, name: str, read: RangeRead, context: RequestContext
) -> Generator[bytes, None, None]:
    """Yield the bytes of a read as they are stored, whatever their Content-Encoding says."""
    with closing(_answer(client, name, read)) as answer:
        check_version(context, read.etag, answer.headers.get("ETag"))
        check_range(context, read, *content_range(context, answer.headers.get("Content-Range")))
        yield from answer.iter_raw()


def _answer(client: ContainerClient, name: str, read: RangeRead) -> HttpResponse:
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
