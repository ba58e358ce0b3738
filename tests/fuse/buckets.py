"""Buckets to mount in tests: a folder, and a bucket of a real S3 server. One interface for both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.support.mounting import Mounted
from tests.support.stores import Bucket as StoreBucket
from tests.support.stores import S3Server, clean_environment


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


class S3Bucket:
    """A bucket of a real S3 server in another process."""

    def __init__(self, server: S3Server, bucket: StoreBucket) -> None:
        self._server = server
        self._bucket = bucket

    def put(self, key: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        self._bucket.put(key, data, metadata)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)

    def etag(self, key: str) -> str:
        client = self._bucket.client
        return str(client.head_object(Bucket=self._bucket.name, Key=key)["ETag"])

    def mount(
        self, mount: Callable[..., Mounted], *options: str, prefix: str = "", **kwargs: Any
    ) -> Mounted:
        endpoint = kwargs.pop("endpoint", self._server.endpoint_url)
        env = {**clean_environment(), **kwargs.pop("env", {})}
        url = f"{self._bucket.url}/{prefix}".rstrip("/")
        return mount(url, "--endpoint-url", endpoint, *options, env=env, **kwargs)
