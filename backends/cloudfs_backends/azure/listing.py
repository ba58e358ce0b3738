"""Conversion of Azure's listings into `ListPage`s. No I/O.

Folders of a hierarchical namespace, and the stubs that blobfuse and Hadoop write, are listed as
empty blobs that their metadata marks as folders. They are never files here: a listing with a
delimiter has them among the prefixes, so that empty folders show; one without has them as the keys
of markers, "name/", as in other stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from cloudfs_backends.api import ListPage, ObjectInfo
from cloudfs_backends.azure.xml import BlobPage, ListedBlob
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.objects import object_info, quoted_etag

EMPTY_PAGE: Final = ListPage(objects=(), prefixes=(), next_token=None)


class Blob(Protocol):
    """The attributes that the SDK's HEAD and an entry of a listing have in common."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def etag(self) -> str | None:
        """With or without quotes."""

    @property
    def last_modified(self) -> datetime:
        """With a time zone."""

    @property
    def metadata(self) -> Mapping[str, str | None] | None:
        """The user's own."""


def list_page_of(
    listing: BlobPage, prefix: str, delimiter: str, context: RequestContext
) -> ListPage:
    """Return Azure's page; `prefix` is the URL's, which keys do not contain."""
    objects: list[ObjectInfo] = []
    prefixes: set[str] = set()
    for entry in listing.entries:
        name = (entry.name if isinstance(entry, ListedBlob) else entry)[len(prefix) :]
        if not isinstance(entry, ListedBlob):
            prefixes.add(name)
        elif not name:
            continue  # the marker of the prefix itself has no key here
        elif not is_folder(entry):
            objects.append(blob_info(name, entry, context))
        elif delimiter:
            prefixes.add(_marker(name))
        else:
            objects.append(blob_info(_marker(name), entry, context))
    # A folder is listed both as a blob and as a prefix, not in adjacent entries.
    return ListPage(tuple(objects), tuple(sorted(prefixes)), listing.marker or None)


def is_folder(blob: Blob) -> bool:
    """Return whether this is the stub of a folder."""
    metadata = {name.lower(): value for name, value in _metadata(blob).items()}
    return not blob.size and metadata.get("hdi_isfolder", "").lower() == "true"


def blob_info(key: str, blob: Blob, context: RequestContext) -> ObjectInfo:
    """Return the attributes of a blob."""
    return object_info(
        key,
        size=blob.size or 0,
        etag=quoted_etag(blob.etag, context),
        last_modified=blob.last_modified,
        metadata=_metadata(blob),
    )


def _marker(name: str) -> str:
    return name if name.endswith("/") else f"{name}/"


def _metadata(blob: Blob) -> Mapping[str, str]:
    return {name: value or "" for name, value in (blob.metadata or {}).items()}
