"""The blocking client of a store: the protocol that each backend implements."""

from __future__ import annotations

from typing import Protocol

from cloudfs_backends.api import (
    Capabilities,
    ListPage,
    ObjectInfo,
    Sink,
)
from cloudfs_backends.common.introspection import BucketLocation, Identity


class StoreClient(Protocol):
    """One bucket and prefix; called from several worker threads at once.

    Methods have the names, parameters and contracts of `ObjectStore` and `StoreInspector`, but
    block, make one attempt and count nothing: `wrappers.pipeline` does the rest. They raise
    `StoreError` only, beside what a sink raises. Opening a client makes no request.
    """

    @property
    def url(self) -> str:
        """The canonical URL, without secrets."""

    @property
    def identity(self) -> str:
        """The bucket's unique name, without secrets."""

    @property
    def endpoint(self) -> str | None:
        """The URL that requests go to, as far as known without a request; None: no network."""

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""

    def probe(self) -> None:
        """Check reachability, credentials and that the bucket can be listed. Raises if not."""

    def head(self, key: str) -> ObjectInfo:
        """Return the attributes of `key`, user metadata included."""

    def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`, of `limit` entries at most."""

    def get_range(self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink) -> None:
        """Hand the bytes [start, stop) of the version `etag` to `sink`, in order."""

    def identify(self) -> Identity:
        """Find the credentials, renew them if need be, and return their identity."""

    def locate(self) -> BucketLocation:
        """Ask the store where the bucket is."""

    def close(self) -> None:
        """Release connections; requests in flight keep theirs."""
