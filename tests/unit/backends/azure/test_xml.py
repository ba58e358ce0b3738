"""Azure's listings in XML, and malformed ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloudfs_backends.azure.xml import ListedBlob, MalformedPageError, parse_blob_page

_BLOB = (
    "<Blob>{name}<Properties><Creation-Time>x</Creation-Time>"
    "<Last-Modified>Tue, 14 Nov 2023 22:13:20 GMT</Last-Modified><Etag>0x8DC0123</Etag>"
    "<Content-Length>{size}</Content-Length></Properties>{rest}</Blob>"
)
_WHEN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def _body(entries: str, marker: str = "<NextMarker/>") -> bytes:
    text = f"<?xml version='1.0' encoding='utf-8'?><EnumerationResults>{entries}{marker}"
    return f"\ufeff{text}</EnumerationResults>".encode()


def test_blobs_and_prefixes_keep_their_order() -> None:
    metadata = "<Metadata><mtime>1.5</mtime><empty/></Metadata><OrMetadata/>"
    entries = (
        _BLOB.format(name="<Name>a &amp; é</Name>", size=3, rest=metadata)
        + "<BlobPrefix><Name>d/</Name></BlobPrefix>"
        + _BLOB.format(name='<Name Encoded="true">x%0Ay%25</Name>', size=0, rest="")
    )
    listing = parse_blob_page(_body(f"<Blobs>{entries}</Blobs>", "<NextMarker>m</NextMarker>"))
    assert listing.entries == (
        ListedBlob("a & é", 3, "0x8DC0123", _WHEN, {"mtime": "1.5", "empty": ""}),
        "d/",
        ListedBlob("x\ny%", 0, "0x8DC0123", _WHEN, {}),
    )
    assert listing.marker == "m"


def test_last_page_has_no_marker() -> None:
    assert parse_blob_page(_body("<Blobs/>")).marker == ""
    assert parse_blob_page(_body("<Blobs/>", marker="")).marker == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Log in",
        _body(""),
        _body("<Blobs><Blob><Name>a</Name></Blob></Blobs>"),
        _body(f"<Blobs>{_BLOB.format(name='', size=1, rest='')}</Blobs>"),
        _body(f"<Blobs>{_BLOB.format(name='<Name>a</Name>', size='much', rest='')}</Blobs>"),
    ],
)
def test_what_is_no_listing(body: bytes) -> None:
    with pytest.raises(MalformedPageError):
        parse_blob_page(body)
