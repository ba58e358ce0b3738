"""One S3 server for all contract tests; every test has a bucket of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy, proxy
from tests.support.stores import Bucket, S3Server, fake_aws, s3_server

_bucket_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


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
