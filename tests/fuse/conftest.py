"""Fixtures of the FUSE tests: a folder, a mountpoint, and mounts that clean up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.buckets import Bucket, FolderBucket, S3Bucket
from tests.support.mounting import Mounted, can_mount, mounted
from tests.support.stores import S3Server, s3_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without /dev/fuse these tests are skipped, with the reason."""
    reason = can_mount()
    if reason is not None:
        for item in items:
            if "tests/fuse/" in str(item.fspath):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to be served as a bucket."""
    path = tmp_path / "bucket"
    path.mkdir()
    return path


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Mounted]]:
    """`mount(url, *options)` mounts on a fresh mountpoint; everything is unmounted at the end."""
    with ExitStack() as stack:
        count = iter(range(100))

        def make(url: str, *options: str, **kwargs: Any) -> Mounted:
            path = kwargs.pop("path", tmp_path / f"mnt{next(count)}")
            kwargs.setdefault("cache_dir", tmp_path / "cache")
            return stack.enter_context(mounted(url, path, *options, **kwargs))

        yield make


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    """One real S3 server for all FUSE tests."""
    with s3_server() as running:
        yield running


_numbers = itertools.count()


@pytest.fixture
def s3_bucket(server: S3Server) -> Iterator[Bucket]:
    """A fresh bucket on the S3 server."""
    with server.bucket(f"fuse-{next(_numbers)}") as bucket:
        yield S3Bucket(server, bucket)


@pytest.fixture(params=["file", "s3"])
def bucket(request: pytest.FixtureRequest, folder: Path) -> Bucket:
    """The same test over a folder and over an S3 server."""
    if request.param == "file":
        return FolderBucket(folder)
    found: Bucket = request.getfixturevalue("s3_bucket")
    return found
