"""An object store made of a blocking client: each operation is one row here."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from random import Random
from typing import Any, Concatenate, ParamSpec, TypeVar

import trio

from cloudfs_backends.api import Capabilities, Sink, StoreStatistics
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.executor import WorkerThreads
from cloudfs_backends.common.introspection import BucketLocation, Identity
from cloudfs_backends.wrappers.pipeline import Pipeline
from cloudfs_backends.wrappers.retry import NO_RETRIES, RetryPolicy

P = ParamSpec("P")
T = TypeVar("T")


def operation(
    name: str, method: Callable[Concatenate[Any, P], T], *, moves_bytes: bool = False
) -> Callable[Concatenate[PipelinedStore, P], Coroutine[Any, Any, T]]:
    """Return the method of a store that sends `method` of its client through the pipeline.

    `name` is the operation that its requests are metered as.
    """

    @wraps(method)
    async def run(store: PipelinedStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = partial(getattr(store.client, method.__name__), *args, **kwargs)
        return await store.pipeline.run(name, call, moves_bytes=moves_bytes)

    return run


class PipelinedStore:
    """A `StoreClient` as an `ObjectStore` and `StoreInspector`. Used from the trio loop only.

    Without `retry` each request is made once.
    """

    def __init__(
        self,
        client: StoreClient,
        threads: WorkerThreads,
        retry: RetryPolicy | None = None,
        jitter: Random | None = None,
    ) -> None:
        self.client = client
        self.pipeline = Pipeline(threads, retry or NO_RETRIES, jitter)

    @property
    def url(self) -> str:
        return self.client.url

    @property
    def identity(self) -> str:
        return self.client.identity

    @property
    def endpoint(self) -> str | None:
        return self.client.endpoint

    @property
    def capabilities(self) -> Capabilities:
        return self.client.capabilities

    probe = operation("list", StoreClient.probe)
    head = operation("head", StoreClient.head)
    list_page = operation("list", StoreClient.list_page)

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        if not 0 <= start < stop:
            raise ValueError(f"not a range: [{start}, {stop})")
        await self.pipeline.read(
            lambda begin, to: self.client.get_range(key, begin, stop, etag=etag, sink=to),
            start,
            stop,
            sink,
            resume=etag is not None,
        )

    async def identify(self) -> Identity:
        return await self.pipeline.threads.run_metadata(self.client.identify)

    async def locate(self) -> BucketLocation:
        return await self.pipeline.threads.run_metadata(self.client.locate)

    def statistics(self) -> StoreStatistics:
        return self.pipeline.statistics()

    async def aclose(self) -> None:
        # Not in a worker thread, all of which may be busy with requests that hang.
        await trio.to_thread.run_sync(
            self.client.close, thread_name="cloudfs-close", abandon_on_cancel=True
        )
