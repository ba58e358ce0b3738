"""Azure's responses as its REST documentation has them, stores that get them, and shared checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from xml.sax.saxutils import escape

import pytest
import trio

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import StoreError
from cloudfs_backends.registry import open_inspector
from tests.contract.world import DATA, read
from tests.support.azure import KEY
from tests.support.proxy import ProxiedRequest, Respond, is_get_object

MESSAGE = "made by the test"
REQUEST_ID = "request-7"
ETAG = '"0x8DC0123"'
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
MODIFIED_NS = 1_700_000_000_000_000_000

SECRETS = (KEY, "the-secret", "sig=")

TEN_BYTES = Respond(
    206, DATA[:10],
    {"ETag": ETAG, "Content-Range": "bytes 0-9/99", "Last-Modified": MODIFIED},
)  # fmt: skip
FILE = Respond(200, b"", {"ETag": ETAG, "Last-Modified": MODIFIED, "Content-Length": "99"})
FOLDER = Respond(
    200, b"",
    {"ETag": ETAG, "Last-Modified": MODIFIED, "Content-Length": "0",
     "x-ms-meta-hdi_isfolder": "true", "x-ms-resource-type": "directory"},
)  # fmt: skip


@contextmanager
def opened(url: str, endpoint_url: str, **options: object) -> Iterator[StoreInspector]:
    """Open a store outside of trio, for the time of the block."""
    settings = StoreOptions(endpoint_url=endpoint_url, **options)  # type: ignore[arg-type]
    store = open_inspector(url, settings)
    try:
        yield store
    finally:
        trio.run(store.aclose)


def error_response(status: int, code: str, detail: str = "", **headers: str) -> Respond:
    """Return an error response of Azure, whose message ends with the request's id and time."""
    body = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{code}</Code><Message>{MESSAGE}\nRequestId:{REQUEST_ID}\n"
        "Time:2024-01-01T00:00:00.0000000Z</Message>"
        f"<AuthenticationErrorDetail>{escape(detail)}</AuthenticationErrorDetail></Error>"
    )
    named = {"x-ms-request-id": REQUEST_ID, "x-ms-error-code": code}
    return Respond(status, body.encode(), {"Content-Type": "application/xml", **named, **headers})


def listing(*entries: str, marker: str = "") -> Respond:
    """Return a page of a listing; `marker` names the next one."""
    body = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults'
        ' ServiceEndpoint="https://account.blob.core.windows.net/" ContainerName="container">'
        f"<Blobs>{''.join(entries)}</Blobs><NextMarker>{marker}</NextMarker>"
        "</EnumerationResults>"
    )
    return Respond(200, body.encode(), {"Content-Type": "application/xml"})


def blob(
    name: str, size: int = 1, metadata: Mapping[str, str] | None = None, encoded: bool = False
) -> str:
    """Return the entry of a blob. An ETag has no quotes in a listing."""
    kind = "directory" if (metadata or {}).get("hdi_isfolder") else "file"
    said = "".join(f"<{name}>{text}</{name}>" for name, text in (metadata or {}).items())
    mark = ' Encoded="true"' if encoded else ""
    return (
        f"<Blob><Name{mark}>{escape(name)}</Name><Properties>"
        f"<Last-Modified>{MODIFIED}</Last-Modified><Etag>0x8DC0123</Etag>"
        f"<ResourceType>{kind}</ResourceType><Content-Length>{size}</Content-Length>"
        f"<BlobType>BlockBlob</BlobType></Properties><Metadata>{said}</Metadata></Blob>"
    )


def folder(name: str) -> str:
    """Return the entry of a folder, as a hierarchical namespace has one beside its prefix."""
    return blob(name, 0, {"hdi_isfolder": "true"})


def prefix(name: str) -> str:
    """Return the entry of a common prefix, with the properties of a hierarchical namespace."""
    return (
        f"<BlobPrefix><Name>{escape(name)}</Name><Properties><ResourceType>directory"
        f"</ResourceType><Last-Modified>{MODIFIED}</Last-Modified></Properties></BlobPrefix>"
    )


def answer(request: ProxiedRequest) -> Respond:
    """Play an Azure that asks for no proof, with an empty container that has every blob."""
    return TEN_BYTES if is_get_object(request) else listing()


async def use(store: StoreInspector) -> None:
    """List, head, and read on both ways."""
    await store.probe()
    for key in ("key", "a//b"):
        info = await store.head(key)
        assert await read(store, key, 5, 300_000, info.etag) == DATA[5:300_000]


async def fails(request: Callable[[], Awaitable[object]]) -> StoreError:
    """Return the error of a request, which must not contain secrets."""
    with pytest.raises(StoreError) as caught:
        await request()
    told = caught.value.describe()
    assert "\n" not in told
    assert not any(secret in told for secret in SECRETS)
    return caught.value
