"""Azure's listings in XML. No I/O.

The SDK parses some thirty fields of each blob; these are the five that are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.etree import ElementTree


class MalformedPageError(ValueError):
    """The text is not a page of a listing."""


@dataclass(frozen=True, slots=True)
class ListedBlob:
    """A blob in a listing; the fields have the SDK's names."""

    name: str
    size: int
    etag: str
    last_modified: datetime
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BlobPage:
    """A page of a listing; a `str` among the entries is a common prefix. The last marker is ""."""

    entries: tuple[ListedBlob | str, ...]
    marker: str


def parse_blob_page(body: bytes) -> BlobPage:
    """Return a page of a listing; raises `MalformedPageError`."""
    try:
        root = ElementTree.fromstring(body)
        blobs = root.find("Blobs")
        if blobs is None:
            raise MalformedPageError("it has no Blobs")
        entries = tuple(
            _blob(entry) if entry.tag == "Blob" else _name(entry)
            for entry in blobs
            if entry.tag in {"Blob", "BlobPrefix"}
        )
    except (ElementTree.ParseError, KeyError, TypeError, ValueError) as error:
        raise MalformedPageError(f"the answer is no listing: {error}") from error
    return BlobPage(entries, root.findtext("NextMarker") or "")


def _blob(entry: ElementTree.Element) -> ListedBlob:
    properties = {field.tag: field.text or "" for field in entry.iterfind("Properties/*")}
    return ListedBlob(
        name=_name(entry),
        size=int(properties["Content-Length"]),
        etag=properties["Etag"],
        last_modified=parsedate_to_datetime(properties["Last-Modified"]),
        metadata={field.tag: field.text or "" for field in entry.iterfind("Metadata/*")},
    )


def _name(entry: ElementTree.Element) -> str:
    element = entry.find("Name")
    if element is None or not element.text:
        raise MalformedPageError("it has an entry without a name")
    # Azure encodes the whole name when XML cannot hold one of its characters.
    is_encoded = element.get("Encoded", "").lower() == "true"
    return unquote(element.text) if is_encoded else element.text
