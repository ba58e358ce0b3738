"""`python -m tests.support.memory_cloudfs`: cloudfs with one more scheme, `memory://bucket[/prefix]`.

The store is the in-memory double, below the whole of the real mount. It follows the `MemoryBucket`
whose socket the environment names. This is also the backend's module, as the registry wants one.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from multiprocessing.connection import Client, Connection

import trio

from cloudfs_backends import registry, url
from cloudfs_backends.api import (
    ListPage,
    ObjectInfo,
    Sink,
    StoreOptions,
)
from cloudfs_backends.common.introspection import BucketLocation, Identity
from cloudfs_backends.url import StoreUrl
from tests.support.memory_bucket import SCHEME, SOCKET_VARIABLE
from tests.support.memory_store import MemoryStore, OnLoop


def register() -> None:
    """Let this process open URLs of the scheme."""
    url._FORMS[SCHEME] = f"{SCHEME}://bucket[/prefix]"
    url._NAMES[SCHEME] = re.compile("[a-z]+")
    backend = registry._Backend("tests.support.memory_cloudfs", "", frozenset())
    registry._BACKENDS[SCHEME] = backend
    vars(registry)["WorkerThreads"] = OnLoop


def open_client(where: StoreUrl, options: StoreOptions) -> FollowingStore:
    """Return the store with what the bucket holds."""
    return FollowingStore(where)


class FollowingStore(MemoryStore):
    """One prefix of the bucket, in this process, as a `StoreInspector`."""

    def __init__(self, where: StoreUrl) -> None:
        super().__init__(str(where))
        self._prefix = where.prefix
        self._bucket: Connection[object, object] = Client(os.environ[SOCKET_VARIABLE], "AF_UNIX")
        self._follow_once()
        token = trio.lowlevel.current_trio_token()
        threading.Thread(target=self._follow, args=[token], daemon=True).start()

    @property
    def endpoint(self) -> str | None:
        return None

    async def identify(self) -> Identity:
        await trio.lowlevel.checkpoint()
        return Identity("nobody", "none", "this process")

    async def locate(self) -> BucketLocation:
        await trio.lowlevel.checkpoint()
        return BucketLocation(endpoint="", region=None, byte_path="memory")

    async def head(self, key: str) -> ObjectInfo:
        return self._cut(await super().head(self._prefix + key))

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        page = await super().list_page(
            self._prefix + prefix, delimiter=delimiter, token=token, limit=limit
        )
        return ListPage(
            objects=tuple(map(self._cut, page.objects)),
            prefixes=tuple(name.removeprefix(self._prefix) for name in page.prefixes),
            next_token=page.next_token,
        )

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        await super().get_range(self._prefix + key, start, stop, etag=etag, sink=sink)

    def _cut(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, key=info.key.removeprefix(self._prefix))

    def _follow(self, token: trio.lowlevel.TrioToken) -> None:
        try:
            while self._bucket.poll(None):
                # The store is used on the loop alone.
                trio.from_thread.run_sync(self._follow_once, trio_token=token)
        except (EOFError, OSError, trio.RunFinishedError, trio.Cancelled):
            return  # the bucket or the mount has ended

    def _follow_once(self) -> None:
        changes = self._bucket.recv()
        assert isinstance(changes, list)
        for change in changes:
            change.apply(self)
        self._bucket.send(len(changes))


if __name__ == "__main__":
    from cloudfs.cli.main import main

    register()
    main()
