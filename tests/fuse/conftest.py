"""Fixtures of the FUSE tests: a folder, a mountpoint, and mounts that clean up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.buckets import Bucket, CloudBucket, FolderBucket, MemoryBucket
from tests.support import memory_bucket as memory
from tests.support.azure import AzureServer, azure_environment
from tests.support.environment import aws_environment
from tests.support.gcs import GcsServer
from tests.support.mounting import Mounted, can_mount, mounted
from tests.support.stores import S3Server

_STORES = ("file", "s3", "gs", "az", "memory")
_ON_EVERY_STORE = frozenset({"test_odd_names_survive"})
_ON_S3 = frozenset({"test_the_tree_and_every_byte", "test_a_restart_finds_the_ssd_tier_warm"})
"""What `make check` runs there, beside all that it runs on `file`: `make test` runs the rest."""

_NO_CONDITIONS = "the emulator ignores ifGenerationMatch (see test_generations.py)"
_GAPS = {
    ("test_overwritten_object", "gs"): _NO_CONDITIONS,
    ("test_an_overwritten_object_does_not_come_back", "gs"): _NO_CONDITIONS,
    ("test_a_backslash_in_a_name_survives", "az"): "Azure takes a backslash for a slash",
}
"""What cannot work on a store, and why."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without /dev/fuse these tests are skipped, with the reason."""
    reason = can_mount()
    for item in items:
        if isinstance(item, pytest.Function) and "tests/fuse/" in str(item.fspath):
            _mark_store(item)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


def _mark_store(item: pytest.Function) -> None:
    callspec = getattr(item, "callspec", None)
    store = callspec.params.get("bucket") if callspec else None
    quick = _ON_EVERY_STORE | _ON_S3 if store == "s3" else _ON_EVERY_STORE
    if store not in {None, "file"} and item.originalname not in quick:
        item.add_marker("slow")
    if (item.originalname, store) in _GAPS:
        item.add_marker(pytest.mark.xfail(reason=_GAPS[item.originalname, store], strict=True))


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


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    return s3_server


_numbers = itertools.count()


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> Iterator[Bucket]:
    """A fresh bucket on the S3 server."""
    with s3_server.bucket(f"fuse-{next(_numbers)}") as objects:
        bucket = CloudBucket(objects, s3_server.endpoint_url, environment=aws_environment())
        yield bucket
        bucket.clear()


@pytest.fixture
def gs_bucket(gcs_server: GcsServer) -> Iterator[Bucket]:
    """A fresh bucket on the emulator of Google Cloud Storage."""
    # No dash: obstore sends it as %2D, which the emulator does not understand in a bucket's name.
    objects = gcs_server.bucket(f"fuse{next(_numbers)}")
    bucket = CloudBucket(objects, gcs_server.endpoint_url, "--no-sign-request", environment={})
    yield bucket
    bucket.clear()


@pytest.fixture
def az_bucket(azure_server: AzureServer) -> Iterator[Bucket]:
    """A fresh container on Azurite."""
    objects = azure_server.bucket(f"fuse-{next(_numbers)}")
    bucket = CloudBucket(objects, azure_server.endpoint_url, environment=azure_environment())
    yield bucket
    bucket.clear()


@pytest.fixture
def memory_bucket() -> Iterator[Bucket]:
    """A fresh bucket in memory."""
    with memory.memory_bucket() as bucket:
        yield MemoryBucket(bucket)


@pytest.fixture(params=_STORES)
def bucket(request: pytest.FixtureRequest, folder: Path) -> Bucket:
    """The same test over every store."""
    if request.param == "file":
        return FolderBucket(folder)
    found: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    return found
