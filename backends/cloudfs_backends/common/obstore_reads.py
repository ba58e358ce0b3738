"""Ranged reads through obstore, and the checks that every ranged response has to pass."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import obstore

from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.obstore_errors import OBSTORE_ERRORS, from_obstore
from cloudfs_backends.errors import InvalidRequestError, ObjectChangedError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore as ObstoreClient

CHUNK_BYTES: Final = 256 * 1024
"""The size in which a body is passed on."""

# obstore's paths have no control characters, empty segments, "." or "..".
_UNNAMEABLE: Final = re.compile(r"[\x00-\x1f\x7f]|(?:^|/)\.{0,2}(?:/|$)")


@dataclass(frozen=True, slots=True)
class RangeRead:
    """The bytes [start, stop) of `key`, of the version `etag` if it is not None."""

    key: str
    start: int
    stop: int
    etag: str | None


def obstore_can_name(path: str) -> bool:
    """Return whether obstore has a path for this key."""
    return not _UNNAMEABLE.search(path)


class VersionCondition(Enum):
    """The field of a request that names the version to read."""

    ETAG = "e_tag"
    """If-Match: another version is `ObjectChangedError`."""

    GENERATION = "version"
    """A version number: deleted or overwritten, it is `ObjectNotFoundError`."""


def obstore_chunks(
    store: ObstoreClient,
    path: str,
    read: RangeRead,
    context: RequestContext,
    condition: VersionCondition = VersionCondition.ETAG,
) -> Generator[bytes, None, None]:
    """Yield the bytes of a read in chunks of `CHUNK_BYTES`. Raises `StoreError`.

    `IncompatibleResponseError` comes before the first chunk.
    """
    options: GetOptions = {"range": (read.start, read.stop)}
    if read.etag is not None and condition is VersionCondition.ETAG:
        options["if_match"] = read.etag
    elif read.etag is not None:
        options["version"] = read.etag
    try:
        response = obstore.get(store, path, options=options)
        check_version(context, read.etag, response.meta[condition.value])
        check_range(context, read, response.range, response.meta["size"])
        yield from response.stream(min_chunk_size=CHUNK_BYTES)
    except OBSTORE_ERRORS as error:
        raise from_obstore(error, context) from error


def check_version(context: RequestContext, asked: str | None, got: str | None) -> None:
    """Raise unless the response is of the requested version: some stores ignore conditions."""
    if asked and got and _bare(asked) != _bare(got):
        raise ObjectChangedError(
            f"the object is now {got}, not {asked}", operation=context.operation, key=context.key
        )


def check_range(context: RequestContext, read: RangeRead, got: tuple[int, int], size: int) -> None:
    """Raise unless the response has the requested range; `size` is the object's."""
    if got == (read.start, read.stop):
        return
    # Of an object that shrank a store sends the rest; anything else violates HTTP.
    error_class = ObjectChangedError if size < read.stop else InvalidRequestError
    raise error_class(
        f"asked for bytes {read.start}-{read.stop} and got {got[0]}-{got[1]} of {size}",
        operation=context.operation,
        key=context.key,
    )


def content_range(context: RequestContext, header: str | None) -> tuple[tuple[int, int], int]:
    """Return ((start, stop), size) of a ranged response from its Content-Range header."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", header or "")
    if not match:
        raise InvalidRequestError(
            "the store ignores ranged reads", operation=context.operation, key=context.key
        )
    first, last, size = (int(part) for part in match.groups())
    return (first, last + 1), size


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
