"""A bucket for all tests of the checks, and an environment that leads nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.environment import clean_environment, environment
from tests.support.proxy import Proxy, proxy
from tests.support.stores import Bucket, S3Server

_LEADING = ("CLOUDFS_", "SSL_CERT_")


@pytest.fixture(scope="session")
def server(s3_server: S3Server) -> S3Server:
    return s3_server


@pytest.fixture(scope="session")
def bucket(server: S3Server) -> Iterator[Bucket]:
    """A bucket with two objects below `data/`, of which the first is empty."""
    with server.bucket("doctors-bucket") as made:
        made.put_all({"data/a": b"", "data/b": b"0123456789" * 1000})
        yield made


@pytest.fixture
def wire(server: S3Server) -> Iterator[Proxy]:
    with proxy(server.port) as running:
        yield running


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Fake credentials, and nothing of the machine's proxies and CA certificates."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_LEADING)
        and not name.endswith("_CA_BUNDLE")
        and not name.lower().endswith("_proxy")
    }
    with environment(clean_environment(kept)):
        yield
