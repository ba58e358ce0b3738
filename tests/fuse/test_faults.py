"""A store that fails: what can be retried is invisible, the rest is the errno of its cause."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket
from tests.fuse.test_reads import RANDOM_READER
from tests.support import proxy as proxies
from tests.support.mounting import Mounted
from tests.support.proxy import Proxy, Reset, Respond, Stall, Truncate
from tests.support.stores import S3Server

MountFunction = Callable[..., Mounted]
MIB = 1 << 20
DATA = random.Random(5).randbytes(12 * MIB + 345)


def s3_error(status: int, code: str, **headers: str) -> Respond:
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message>"
        "<RequestId>REQ123</RequestId></Error>"
    )
    # S3 names the request in both places: obstore shows the body only, botocore the header.
    given = {"content-type": "application/xml", "x-amz-request-id": "REQ123", **headers}
    return Respond(status, body.encode(), given)


@pytest.fixture
def wire(server: S3Server) -> Iterator[Proxy]:
    with proxies.proxy(server.port) as running:
        yield running


@pytest.mark.parametrize(
    "fault",
    [
        s3_error(500, "InternalError"),
        s3_error(503, "SlowDown"),
        s3_error(429, "TooManyRequests", **{"retry-after": "0"}),
        Reset(),
        Reset(after_bytes=300_000),
        Truncate(after_bytes=100_000),
    ],
    ids=["500", "SlowDown", "429", "reset", "reset-in-body", "truncated"],
)
def test_a_fault_that_passes_is_invisible(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy, fault: proxies.Action
) -> None:
    s3_bucket.put("f", DATA)
    mounted = s3_bucket.mount(mount, endpoint=wire.endpoint_url)
    wire.plan = proxies.script(fault, fault, when=proxies.is_get_object)
    assert (mounted.path / "f").read_bytes() == DATA
    assert mounted.status()["store"]["retries"] >= 1


def test_a_listing_is_retried_too(s3_bucket: Bucket, mount: MountFunction, wire: Proxy) -> None:
    s3_bucket.put("d/f", b"1")
    mounted = s3_bucket.mount(mount, endpoint=wire.endpoint_url)
    wire.plan = proxies.script(s3_error(503, "SlowDown"), Reset(), when=proxies.is_list)
    assert os.listdir(mounted.path / "d") == ["f"]


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (s3_error(403, "AccessDenied"), errno.EACCES),
        (s3_error(503, "SlowDown"), errno.EIO),
        (s3_error(500, "InternalError"), errno.EIO),
        (s3_error(404, "NoSuchKey"), errno.ENOENT),
    ],
    ids=["403", "503", "500", "404"],
)
def test_what_remains_gets_the_errno_of_its_cause(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy, fault: Respond, number: int
) -> None:
    s3_bucket.put("dir/name with space", DATA)
    mounted = s3_bucket.mount(
        mount, "--retry-budget", "1s", endpoint=wire.endpoint_url, allowed=["failed: ", "bucket"]
    )
    fd = os.open(mounted.path / "dir/name with space", os.O_RDONLY)
    try:
        wire.plan = proxies.always(fault, when=proxies.is_get_object)
        with pytest.raises(OSError, match="Errno") as caught:
            os.pread(fd, 100, 6 * MIB)
        assert caught.value.errno == number
    finally:
        os.close(fd)
    line = mounted.wait_for_log("dir/name with space.*failed.*answered E")
    assert f"HTTP {fault.status}" in line
    assert "REQ123" in line
    assert "advice" in line
    assert errno.errorcode[number] in line


def test_a_store_that_is_down_never_makes_a_name_vanish(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy
) -> None:
    s3_bucket.put("d/f", b"1")
    mounted = s3_bucket.mount(
        mount, "--retry-budget", "500ms", endpoint=wire.endpoint_url, allowed=["failed: "]
    )
    wire.plan = proxies.always(s3_error(503, "ServiceUnavailable"))
    for attempt in (
        lambda: os.stat(mounted.path / "d"),
        lambda: os.listdir(mounted.path),
        lambda: os.stat(mounted.path / "not-there"),
    ):
        with pytest.raises(OSError, match="Input/output") as caught:
            attempt()
        assert caught.value.errno == errno.EIO
    document = mounted.status()
    (reason,) = document["health_reasons"]
    assert (document["health"], reason.startswith("the store fails: ")) == ("degraded", True)
    wire.plan = proxies.pass_all
    assert os.listdir(mounted.path / "d") == ["f"]


def test_a_stalled_body_is_asked_for_again(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy
) -> None:
    s3_bucket.put("f", DATA)
    mounted = s3_bucket.mount(mount, endpoint=wire.endpoint_url)
    wire.plan = proxies.script(Stall(after_bytes=50_000), when=proxies.is_get_object)
    assert (mounted.path / "f").read_bytes() == DATA


@pytest.mark.slow
def test_random_reads_over_a_faulty_wire_match_the_source(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    keys = [f"d/{number}" for number in range(9)]
    for key in keys:
        s3_bucket.put(key, DATA)
    mounted = s3_bucket.mount(mount, "--max-cache-size", "6MiB", endpoint=wire.endpoint_url)
    faults = [s3_error(503, "SlowDown"), Reset(), Reset(after_bytes=200_000), Truncate(50_000)]
    wire.plan = proxies.random_faults(11, 0.3, faults, when=proxies.is_get_object)
    for three in (keys[:3], keys[3:6], keys[6:]):
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", RANDOM_READER, str(source), str(mounted.path / key), key]
            )
            for key in three
        ]
        assert [reader.wait(180) for reader in readers] == [0, 0, 0]
    assert mounted.status()["store"]["retries"] > 5
