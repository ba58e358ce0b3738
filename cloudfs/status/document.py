"""The status document of a mount, schema 4: its types, shared by daemon, command line and exporter.

docs/status.md has the meaning of the fields. Nothing here imports trio or FUSE: `cloudfs status`
starts with it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self, TypeAlias

from msgspec import Struct

from cloudfs.control.protocol import Command, NoArguments
from cloudfs_cache.api import WaitsFor

SCHEMA: Final = 4

OptionValue: TypeAlias = bool | int | float | str | list[str] | None


class Health(StrEnum):
    """The health of a mount; a daemon says one of the first two, the others are said without it."""

    OK = "ok"
    DEGRADED = "degraded"
    DEAD = "dead"
    NOT_ANSWERING = "not answering"
    NOT_MOUNTED = "not mounted"
    OTHER_VERSION = "other version"


class DirectoryState(StrEnum):
    """The state of a cache directory; the first three are the cache's."""

    OK = "ok"
    READ_ONLY = "read-only"
    BYPASSED = "bypassed"
    LEFT_OUT = "left out"


class CatalogState(StrEnum):
    """The state of the persistent metadata cache."""

    OK = "ok"
    OFF = "off"
    LATE = "late"
    FAILING = "failing"


class CurrentRates(Struct, frozen=True):
    """Rates over the last `window_s` seconds; the ratio is None when nothing was read in them."""

    window_s: float
    read_bytes_per_s: float
    received_bytes_per_s: float
    fuse_requests_per_s: float
    store_requests_per_s: float
    hit_ratio: float | None


class FuseOperation(Struct, frozen=True):
    """Requests of the kernel of one kind; `durations` is a histogram."""

    requests: int
    errors: int
    seconds: float
    errnos: dict[str, int]
    durations: tuple[int, ...]


class FuseStatus(Struct, frozen=True):
    """Requests of the kernel by operation."""

    operations: dict[str, FuseOperation]
    read_bytes: int
    inflight: int


class WaitingRequest(Struct, frozen=True):
    """A request of the kernel that waits."""

    operation: str
    name: str
    waited_s: float
    waits_for: WaitsFor


class SourceBytes(Struct, frozen=True):
    """Bytes delivered to readers by where they were when the read came."""

    memory_bytes: int
    disk_bytes: int
    store_bytes: int

    @property
    def total(self) -> int:
        """All bytes delivered."""
        return self.memory_bytes + self.disk_bytes + self.store_bytes


class MemoryStatus(Struct, frozen=True):
    """The blocks in memory."""

    capacity_bytes: int
    used_bytes: int
    blocks: int
    hits: int
    misses: int


class DiskStatus(Struct, frozen=True):
    """A cache directory; one that was left out when the mount was made has counted nothing."""

    directory: str
    state: DirectoryState
    reason: str
    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    hits: int
    misses: int
    writes: int
    evictions: int
    rejected: int
    skipped: int
    errors: int
    stalls: int
    corrupt: int
    recompressed_bytes: int
    threads_busy: int
    threads_waiting: int

    @classmethod
    def left_out(cls, directory: str, reason: str) -> Self:
        """Return the status of a directory that could not be used when the mount was made."""
        counts = dict.fromkeys(cls.__struct_fields__[3:], 0)
        return cls(directory, DirectoryState.LEFT_OUT, reason, **counts)

    @property
    def is_used(self) -> bool:
        """False when it was left out."""
        return self.state is not DirectoryState.LEFT_OUT


class PopulateStatus(Struct, frozen=True):
    """Blocks in memory that are on their way to the SSD."""

    waiting_blocks: int
    waiting_bytes: int


class CatalogStatus(Struct, frozen=True):
    """The persistent metadata cache."""

    state: CatalogState
    hits: int
    misses: int
    stored: int
    dropped: int
    errors: int


class StoreOperation(Struct, frozen=True):
    """Requests to the store of one kind; only a GET has a first byte."""

    requests: int
    errors: int
    retries: int
    received_bytes: int
    seconds: float
    errors_by_kind: dict[str, int]
    durations: tuple[int, ...]
    first_byte: tuple[int, ...]
    first_byte_seconds: float


class ThreadsStatus(Struct, frozen=True):
    """Worker threads that share a limit."""

    limit: int
    busy: int
    waiting: int


class StoreStatus(Struct, frozen=True):
    """Requests to the store, in all and by operation."""

    backend: str
    requests: dict[str, int]
    errors: int
    retries: int
    received_bytes: int
    mean_latency_s: float
    last_error: str | None
    operations: dict[str, StoreOperation]
    threads: dict[str, ThreadsStatus]


class CostEstimate(Struct, frozen=True, omit_defaults=True):
    """The estimate in US dollars, or why it is `unknown`."""

    unknown: str = ""
    currency: str = ""
    requests_usd: float | None = None
    egress_usd: float | None = None
    total_usd: float | None = None
    basis: str = ""
    prices_of: str = ""


class PrefetchStatus(Struct, frozen=True):
    """Bytes fetched ahead of demand: issued, then read, or dropped unread."""

    issued_bytes: int
    used_bytes: int
    wasted_bytes: int
    queued: int


class RunningJob(Struct, frozen=True):
    """A job that is running; None where its kind does not count bytes."""

    job: str
    kind: str
    elapsed_s: float
    bytes_done: int | None
    bytes_total: int | None


class KernelStatus(Struct, frozen=True):
    """Settings of the kernel in force; None where they could not be read."""

    read_ahead_bytes: int | None
    max_background: int | None


class LastError(Struct, frozen=True):
    """An error that a program got, and how often; name and time (Unix) are the last ones."""

    time: float
    operation: str
    name: str
    errno: str
    cause: str
    advice: str
    count: int


class StatusDocument(Struct, frozen=True, kw_only=True):
    """The whole document."""

    schema: int = SCHEMA
    version: str
    time: float
    url: str
    mountpoint: str
    pid: int
    uptime_s: float
    read_only: bool
    health: Health
    health_reasons: tuple[str, ...]
    options: dict[str, OptionValue]
    now: CurrentRates
    hit_ratio: float | None
    histogram_bounds_s: tuple[float, ...]
    fuse: FuseStatus
    waiting: tuple[WaitingRequest, ...]
    waiting_count: int
    sources: SourceBytes
    memory: MemoryStatus
    disks: dict[str, DiskStatus]
    populate: PopulateStatus
    catalog: CatalogStatus
    store: StoreStatus
    cost: CostEstimate
    prefetch: PrefetchStatus
    jobs: tuple[RunningJob, ...]
    hidden_names: int
    inodes: int
    kernel: KernelStatus
    metrics_address: str | None
    last_errors: tuple[LastError, ...]

    @property
    def used_disks(self) -> list[DiskStatus]:
        """The cache directories but for those that were left out."""
        return [disk for disk in self.disks.values() if disk.is_used]


class UnansweredMount(Struct, frozen=True, kw_only=True):
    """The document of a mount whose daemon gave none: the reason and the fix."""

    schema: int = SCHEMA
    url: str
    mountpoint: str
    health: Health
    reason: str
    fix: str


AnyDocument: TypeAlias = StatusDocument | UnansweredMount

STATUS: Final = Command("status", NoArguments, StatusDocument, schema=SCHEMA)
