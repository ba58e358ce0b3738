"""The store under test, its data, and helpers to read and list it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cloudfs_backends.api import ListPage, ObjectStore

DATA = bytes(range(256)) * 4096
"""1 MiB, several chunks in every backend."""


class World(Protocol):
    """A store under test, and the changes of another client."""

    @property
    def store(self) -> ObjectStore: ...

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None: ...

    def delete(self, key: str) -> None: ...


async def read(store: ObjectStore, key: str, start: int, stop: int, etag: str | None) -> bytes:
    received = bytearray()
    await store.get_range(key, start, stop, etag=etag, sink=received.extend)
    return bytes(received)


async def all_pages(
    store: ObjectStore, prefix: str, *, delimiter: str = "", limit: int
) -> list[ListPage]:
    pages = []
    token = None
    while True:
        page = await store.list_page(prefix, delimiter=delimiter, token=token, limit=limit)
        pages.append(page)
        token = page.next_token
        if token is None:
            return pages


def keys(pages: list[ListPage]) -> list[str]:
    return [info.key for page in pages for info in page.objects]


def prefixes(pages: list[ListPage]) -> list[str]:
    return [prefix for page in pages for prefix in page.prefixes]
