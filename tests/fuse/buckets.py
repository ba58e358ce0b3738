"""Buckets to mount in tests: a folder, a real server's, one in memory. One interface for all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from cloudfs_backends.common.mtime import metadata_mtime_ns
from tests.support import memory_bucket as memory
from tests.support.mounting import Mounted

_ROOT = Path(__file__).parents[2]


class Bucket(Protocol):
    """Objects that a test puts and deletes behind the mount's back."""

    def put(self, key: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """Write or overwrite an object; a key that ends in `/` is a directory marker."""

    def delete(self, key: str) -> None:
        """Delete an object."""

    def etag(self, key: str) -> str:
        """The content identity that the mount should show."""

    def mount(
        self, mount: Callable[..., Mounted], *options: str, prefix: str = "", **kwargs: Any
    ) -> Mounted:
        """Mount the bucket (or a prefix of it) with the `mount` fixture."""


class FolderBucket:
    """A folder served by `file://`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        path = self._folder / key
        if key.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".fresh-{os.getpid()}")
        fresh.write_bytes(data)
        fresh.replace(path)

    def delete(self, key: str) -> None:
        (self._folder / key).unlink()

    def etag(self, key: str) -> str:
        status = os.stat(self._folder / key)
        times = f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
        return f"{times}-{status.st_size:x}-{status.st_ino:x}"

    def mount(
        self, mount: Callable[..., Mounted], *options: str, prefix: str = "", **kwargs: Any
    ) -> Mounted:
        return mount(f"file://{self._folder / prefix}", *options, **kwargs)


class Objects(Protocol):
    """A bucket of a server, as the helpers of each cloud make it."""

    @property
    def url(self) -> str: ...

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write an object and return its content identity."""

    def delete(self, key: str) -> None: ...


class CloudBucket:
    """A bucket of a real server in another process.

    `flags` and `environment` are what `cloudfs mount` is told beside the endpoint.
    """

    def __init__(
        self,
        objects: Objects,
        endpoint_url: str,
        *flags: str,
        environment: Mapping[str, str],
    ) -> None:
        self._objects = objects
        self._endpoint_url = endpoint_url
        self._flags = flags
        self._environment = environment
        self._etags: dict[str, str] = {}

    def put(self, key: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        self._etags[key] = self._objects.put(key, data, metadata)

    def delete(self, key: str) -> None:
        self._objects.delete(key)
        del self._etags[key]

    def etag(self, key: str) -> str:
        return self._etags[key]

    def clear(self) -> None:
        """Delete all objects: the servers keep them in memory."""
        for key in list(self._etags):
            self.delete(key)

    def mount(
        self, mount: Callable[..., Mounted], *options: str, prefix: str = "", **kwargs: Any
    ) -> Mounted:
        endpoint = kwargs.pop("endpoint", self._endpoint_url)
        env = {**self._environment, **kwargs.pop("env", {})}
        url = f"{self._objects.url}/{prefix}".rstrip("/")
        return mount(url, "--endpoint-url", endpoint, *self._flags, *options, env=env, **kwargs)


class MemoryBucket:
    """The in-memory double, which the mount has in its own process."""

    def __init__(self, bucket: memory.MemoryBucket) -> None:
        self._bucket = bucket

    def put(self, key: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        mtime_ns = metadata_mtime_ns(metadata or {})
        self._bucket.put(key, data, mtime_ns=time.time_ns() if mtime_ns is None else mtime_ns)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)

    def etag(self, key: str) -> str:
        return self._bucket.etag(key)

    def mount(
        self, mount: Callable[..., Mounted], *options: str, prefix: str = "", **kwargs: Any
    ) -> Mounted:
        env = {
            **kwargs.pop("env", {}),
            memory.SOCKET_VARIABLE: str(self._bucket.socket_path),
            "PYTHONPATH": str(_ROOT),
        }
        command = (sys.executable, "-m", "tests.support.memory_cloudfs")
        url = f"{memory.SCHEME}://bucket/{prefix}"
        return mount(url, *options, env=env, command=command, **kwargs)
