"""Buckets of the clouds, faulty wires to them, and their credentials; gaps of the servers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.contract.gcs_world import GcsStores
from tests.support.azure import AzureBucket, AzureServer, fake_azure
from tests.support.environment import fake_aws
from tests.support.gcs import GcsBucket, GcsServer, fake_google
from tests.support.google import GoogleBucket
from tests.support.proxy import Proxy, proxy
from tests.support.stores import Bucket, S3Server

_bucket_numbers = itertools.count()


_FILLING = (
    "test_hundreds_of_names_over_many_pages",
    "test_more_names_than_fit_a_page_by_default",
    "test_huge_object_is_streamed",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A class may name in `gaps` the tests that its server cannot pass, with the reason."""
    for item in items:
        kind = getattr(item, "cls", None)
        name = getattr(item, "originalname", "")
        gaps = getattr(kind, "gaps", {})
        reason = gaps.get(item.name) or gaps.get(name)
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        if name in _FILLING and getattr(kind, "fills_slowly", False):
            item.add_marker("slow")


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    return s3_server


@pytest.fixture
def bucket(server: S3Server) -> Iterator[Bucket]:
    with server.bucket(f"bucket-{next(_bucket_numbers)}") as made:
        yield made


@pytest.fixture
def wire(server: S3Server) -> Iterator[Proxy]:
    with proxy(server.port) as running:
        yield running


@pytest.fixture
def _aws() -> Iterator[None]:
    with fake_aws():
        yield


@pytest.fixture
def azure_bucket(azure_server: AzureServer) -> AzureBucket:
    return azure_server.bucket(f"container-{next(_bucket_numbers)}")


@pytest.fixture
def azure_wire(azure_server: AzureServer) -> Iterator[Proxy]:
    with proxy(azure_server.port) as running:
        yield running


@pytest.fixture
def _azure() -> Iterator[None]:
    with fake_azure():
        yield


@pytest.fixture
def gcs_bucket(gcs_server: GcsServer) -> GcsBucket:
    # No dash: obstore sends it as %2D, which the emulator does not understand in a bucket's name.
    return gcs_server.bucket(f"bucket{next(_bucket_numbers)}")


@pytest.fixture
def gcs_stores() -> Iterator[GcsStores]:
    stores = GcsStores()
    yield stores
    stores.close()


@pytest.fixture
def google_bucket() -> GoogleBucket:
    return GoogleBucket("bucket-1")


@pytest.fixture
def google(google_bucket: GoogleBucket) -> Iterator[Proxy]:
    """Every request is answered as Google would: there is nothing behind it."""
    with proxy(9, google_bucket) as running:
        yield running


@pytest.fixture
def _google() -> Iterator[None]:
    with fake_google():
        yield
