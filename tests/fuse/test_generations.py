"""Reads of one generation through obstore, over a server that answers as Google does where the
emulator of Google Cloud Storage does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuse.buckets import Bucket, CloudBucket
from tests.fuse.test_catalog import test_an_overwritten_object_does_not_come_back
from tests.fuse.test_freshness import test_new_bytes_and_size_after_the_ttl, test_overwritten_object
from tests.fuse.test_reads import files, test_a_restart_finds_the_ssd_tier_warm
from tests.support.google import GoogleBucket
from tests.support.proxy import proxy

__all__ = [
    "files",
    "test_a_restart_finds_the_ssd_tier_warm",
    "test_an_overwritten_object_does_not_come_back",
    "test_new_bytes_and_size_after_the_ttl",
    "test_overwritten_object",
]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    objects = GoogleBucket("lab")
    with proxy(9, objects) as google:
        yield CloudBucket(objects, google.endpoint_url, "--no-sign-request", environment={})
