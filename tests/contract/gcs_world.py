"""Fixtures of the GCS tests: stores that are closed at the end, and one on a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import trio

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.registry import open_inspector

NOWHERE: Final = "http://127.0.0.1:9"


class GcsStores:
    """Opens stores, anonymously by default; `close` closes them."""

    def __init__(self) -> None:
        self._opened: list[StoreInspector] = []

    def __call__(
        self,
        url: str,
        endpoint_url: str | None,
        *,
        no_sign_request: bool = True,
        user_project: str | None = None,
    ) -> StoreInspector:
        options = StoreOptions(
            endpoint_url=endpoint_url, no_sign_request=no_sign_request, user_project=user_project
        )
        self._opened.append(open_inspector(url, options))
        return self._opened[-1]

    def close(self) -> None:
        for store in self._opened:
            trio.run(store.aclose)


class Bucket(Protocol):
    """The bucket, changed as another client would."""

    @property
    def url(self) -> str: ...

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str: ...

    def delete(self, key: str) -> None: ...


class GcsWorld:
    """A store on a prefix of the bucket."""

    prefix = "some/prefix/"

    def __init__(self, bucket: Bucket, endpoint_url: str, stores: GcsStores) -> None:
        self._bucket = bucket
        self.store = stores(f"{bucket.url}/{self.prefix}", endpoint_url)

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        self._bucket.put(self.prefix + key, data, metadata)

    def delete(self, key: str) -> None:
        self._bucket.delete(self.prefix + key)
