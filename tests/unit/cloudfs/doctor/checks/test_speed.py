"""The checks of the store's speed: their bounds, and their findings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks import speed
from cloudfs.doctor.checks.registry import STORE_CHECKS
from cloudfs.doctor.checks.setup import setup
from cloudfs.doctor.checks.store import listing
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result
from cloudfs.doctor.runner import Check, run_checks
from cloudfs.units import MIB
from tests.contract.in_trio import in_trio
from tests.support.proxy import Proxy, Stall, always, is_get_object
from tests.support.stores import Bucket, S3Server


@pytest.fixture(scope="module")
def large(server: S3Server) -> Iterator[Bucket]:
    """A bucket with three objects of 5 MiB."""
    with server.bucket("large-bucket") as made:
        made.put_all({f"part-{number}": bytes(5 * MIB) for number in range(3)})
        yield made


async def found_of(endpoint: str, bucket: Bucket, **more: float) -> dict[str, Finding]:
    flags = {"endpoint_url": endpoint, "max_downloads": "4"}
    subject = Context(resolve(bucket.url, None, flags=flags, required=("url",)), os.environ)
    subject.disk_read_bytes_per_s = more.get("disk_read_bytes_per_s")
    examined = await run_checks(subject, STORE_CHECKS, lambda _: None)
    return {one.check: one.finding for one in examined}


@in_trio
async def test_the_bytes_are_bounded(
    large: Bucket, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "ALL_BYTES_MAX", 24 * MIB)
    monkeypatch.setattr(speed, "ONE_BYTES_MAX", 8 * MIB)
    for name in ("ONE_S_MAX", "MANY_S_MAX"):
        monkeypatch.setattr(speed, name, 60.0)
    found = await found_of(server.endpoint_url, large)
    measured = found["bandwidth"]
    assert measured.result is Result.OK
    assert measured.facts["connections"] == 4
    read = measured.facts["read_bytes"]
    assert isinstance(read, int)
    # More than there is: the objects are read again. A chunk of each connection may be on its way.
    assert 24 * MIB <= read < 32 * MIB
    assert "15 MiB" in measured.text
    assert found["latency"].facts.keys() == {"head_s", "first_byte_s", "slowest_s"}


@in_trio
async def test_a_disk_that_is_slower_than_the_store(large: Bucket, server: S3Server) -> None:
    found = await found_of(server.endpoint_url, large, disk_read_bytes_per_s=1000.0)
    assert found["bandwidth"].result is Result.WARNING
    assert "0.001 MB/s" in found["bandwidth"].text
    assert "--cache-dir" in found["bandwidth"].fix


@in_trio
async def test_too_little_to_measure(bucket: Bucket, server: S3Server) -> None:
    found = await found_of(server.endpoint_url, bucket)
    assert found["bandwidth"].result is Result.SKIPPED
    assert "8 MiB" in found["bandwidth"].text


@in_trio
async def test_a_store_that_stops_responding_times_out(large: Bucket, wire: Proxy) -> None:
    """And the checks end although requests are in flight."""
    wire.plan = always(Stall(), when=is_get_object)
    flags = {"endpoint_url": wire.endpoint_url}
    subject = Context(resolve(large.url, None, flags=flags, required=("url",)), os.environ)
    checks = [
        Check("setup", setup),
        Check("list", listing),
        Check("bandwidth", speed.bandwidth, timeout_s=1.0, required=False),
    ]
    *_, last = await run_checks(subject, checks, lambda _: None)
    assert last.finding.result is Result.WARNING
    assert "1 s" in last.finding.text
    wire.wait_requests(1, is_get_object)
