"""A status document with something to say in every part."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cloudfs.status.document import (
    CatalogState,
    CatalogStatus,
    CostEstimate,
    CurrentRates,
    DirectoryState,
    DiskStatus,
    FuseOperation,
    FuseStatus,
    Health,
    KernelStatus,
    LastError,
    MemoryStatus,
    PopulateStatus,
    PrefetchStatus,
    RunningJob,
    SourceBytes,
    StatusDocument,
    StoreOperation,
    StoreStatus,
    ThreadsStatus,
    WaitingRequest,
)
from cloudfs_backends.histogram import BOUNDS_S
from cloudfs_cache.api import WaitsFor

MIB = 1 << 20
GIB = 1 << 30


def histogram(**counts: int) -> tuple[int, ...]:
    """Return a histogram with these counts in buckets `b0`, `b1`, ..., the rest 0."""
    return tuple(counts.get(f"b{number}", 0) for number in range(len(BOUNDS_S) + 1))


_FAST = histogram(b2=10)
_SLOW = histogram(b5=90, b16=10)

DISK = DiskStatus(
    directory="/my_ssd",
    state=DirectoryState.BYPASSED,
    reason="no answer within 3 s",
    capacity_bytes=10 * MIB,
    used_bytes=5 * MIB,
    free_bytes=GIB,
    hits=3,
    misses=4,
    writes=5,
    evictions=6,
    rejected=7,
    skipped=8,
    errors=0,
    stalls=2,
    corrupt=3,
    recompressed_bytes=9,
    threads_busy=2,
    threads_waiting=1,
)

_DOCUMENT = StatusDocument(
    version="1.2.3",
    time=1_700_000_303.0,
    url="s3://bucket/pre fix",
    mountpoint="/mnt/data",
    pid=4021,
    uptime_s=303.0,
    read_only=True,
    health=Health.DEGRADED,
    health_reasons=("cache directory /my_ssd is bypassed: no answer within 3 s",),
    options={
        "metadata_ttl": float("inf"),
        "umask": 0o022,
        "region": None,
        "cache_dirs": ["/ssd:10GiB", "/ssd2"],
        "policies": [],
        "log_file": "/var/log/my.log",
    },
    now=CurrentRates(
        window_s=10.0,
        read_bytes_per_s=float(3 * MIB),
        received_bytes_per_s=float(MIB),
        fuse_requests_per_s=1234.5,
        store_requests_per_s=0.25,
        hit_ratio=0.6666,
    ),
    hit_ratio=0.75,
    histogram_bounds_s=tuple(BOUNDS_S),
    fuse=FuseStatus(
        operations={"read": FuseOperation(10, 2, 0.02, {"EIO": 2}, _FAST)},
        read_bytes=4 * MIB,
        inflight=1,
    ),
    waiting=(WaitingRequest("read", "a\x1b[31m.h5", 12.0, WaitsFor.STORE),),
    waiting_count=1,
    sources=SourceBytes(memory_bytes=MIB, disk_bytes=2 * MIB, store_bytes=MIB),
    memory=MemoryStatus(capacity_bytes=GIB, used_bytes=512 * MIB, blocks=512, hits=7, misses=1),
    disks={"/my_ssd": DISK, "/gone": DiskStatus.left_out("/gone", "it is full")},
    populate=PopulateStatus(waiting_blocks=1, waiting_bytes=MIB),
    catalog=CatalogStatus(CatalogState.LATE, hits=1, misses=2, stored=3, dropped=4, errors=5),
    store=StoreStatus(
        backend="s3",
        requests={"head": 0, "get": 100},
        errors=2,
        retries=1,
        received_bytes=8 * MIB,
        mean_latency_s=0.03,
        last_error="SlowDown; HTTP 503",
        operations={
            "head": StoreOperation(0, 0, 0, 0, 0.0, {}, histogram(), (), 0.0),
            "get": StoreOperation(100, 2, 1, 8 * MIB, 3.0, {"throttled": 2}, _SLOW, _FAST, 0.02),
        },
        threads={"data": ThreadsStatus(limit=32, busy=4, waiting=0)},
    ),
    cost=CostEstimate(
        currency="USD",
        requests_usd=0.5,
        egress_usd=1.0,
        total_usd=1.5,
        basis="these prices",
        prices_of="2025-06",
    ),
    prefetch=PrefetchStatus(issued_bytes=4 * MIB, used_bytes=3 * MIB, wasted_bytes=0, queued=2),
    jobs=(RunningJob("1a2b", "warmup", 5.0, MIB, 2 * MIB),),
    hidden_names=1,
    inodes=6,
    kernel=KernelStatus(read_ahead_bytes=MIB, max_background=128),
    metrics_address="127.0.0.1:9467",
    last_errors=(
        LastError(
            time=1_700_000_300.0,
            operation="read",
            name="a\x1b[31m.h5",
            errno="EIO",
            cause="SlowDown; HTTP 503",
            advice="lower --max-downloads",
            count=2,
        ),
    ),
)


def document(**changes: Any) -> StatusDocument:
    """Return the document, with other values in these fields."""
    return replace(_DOCUMENT, **changes)
