from __future__ import annotations

from msgspec.structs import replace

from cloudfs.status.document import Health
from cloudfs.status.line import status_line
from tests.support.status_documents import document


def test_a_busy_mount() -> None:
    now = replace(document().now, read_bytes_per_s=412.4e6)
    busy = document(health=Health.OK, hit_ratio=0.9312, now=now, waiting_count=3)
    assert status_line(busy) == (
        "s3://bucket/pre fix on /mnt/data: 93 % cache hits, 412 MB/s, 3 requests waiting"
    )


def test_a_mount_without_a_read() -> None:
    now = replace(document().now, read_bytes_per_s=0.0)
    assert status_line(document(hit_ratio=None, now=now, waiting_count=0)) == (
        "s3://bucket/pre fix on /mnt/data: degraded, 0 MB/s"
    )
