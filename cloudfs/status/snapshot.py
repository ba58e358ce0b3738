"""Snapshots of a running mount: the status document from the statistics of every part.

Made on the loop; it never asks the store or the mount.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, TypeVar

import msgspec
import trio

from cloudfs import __version__
from cloudfs.admin.jobs import Job, Jobs
from cloudfs.admin.messages import JobKind
from cloudfs.config.settings import MountSettings
from cloudfs.config.types import without_password
from cloudfs.control.protocol import NoArguments
from cloudfs.control.server import Route
from cloudfs.fuse.deadlines import RequestWatch, Wait
from cloudfs.fuse.tuning import KernelSettings
from cloudfs.status.document import (
    STATUS,
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
    OptionValue,
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
from cloudfs.status.line import status_line
from cloudfs.telemetry.cost import Payer, estimate
from cloudfs.telemetry.counters import RequestMetrics
from cloudfs.telemetry.rates import SAMPLE_EVERY_S, SlidingRates, TrafficTotals
from cloudfs.telemetry.redact import Redactor
from cloudfs.units import format_count
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ObjectStore, OperationStatistics
from cloudfs_backends.histogram import BOUNDS_S
from cloudfs_cache.api import CacheStatistics, WaitsFor
from cloudfs_cache.cache import TieredCache

_WAITING_MAX: Final = 20
_JOBS_SHOWN: Final = (JobKind.WARMUP, JobKind.VERIFY, JobKind.EVICT)
_FAILURES_MIN: Final = 3
_STORE_WAIT_S: Final = 10.0

T = TypeVar("T")


@dataclass(slots=True)
class MountState:
    """The parts of a running mount that have statistics.

    `disks_left_out` has the reasons by directory. `kernel` and `metrics_address` are known only
    while the mount starts: `kernel_tuned` and `metrics_bound` report them.
    """

    settings: MountSettings
    store: ObjectStore
    tree: Tree
    cache: TieredCache
    metrics: RequestMetrics
    watch: RequestWatch
    jobs: Jobs
    kernel: KernelSettings
    started_at: float
    disks_left_out: Mapping[str, str]
    metrics_address: str | None = None
    _rates: SlidingRates = field(init=False)
    _redactor: Redactor = field(init=False)

    def __post_init__(self) -> None:
        self._rates = SlidingRates(TrafficTotals(self.started_at))
        self._redactor = Redactor(os.environ)

    def kernel_tuned(self, kernel: KernelSettings) -> None:
        """Take the kernel's settings of this mount, known once it answers."""
        self.kernel = kernel

    def metrics_bound(self, address: str | None) -> None:
        """Take the address that metrics are served on, as text."""
        self.metrics_address = address

    async def sample_forever(self) -> None:
        """Sample the counters that rates are made of. Runs until cancelled."""
        while True:
            self._rates.sample(self._totals(self.cache.statistics()))
            await trio.sleep(SAMPLE_EVERY_S)

    def route(self) -> Route[NoArguments, StatusDocument]:
        """Return the status command of the control socket."""

        async def status(_: NoArguments) -> StatusDocument:
            return self.document()

        return Route(STATUS, status)

    def document(self) -> StatusDocument:
        """Return the document."""
        cache = self.cache.statistics()
        totals = self._totals(cache)
        within, longest = self._rates.increase(totals), self.watch.longest(_WAITING_MAX)
        disks = self._disks(cache)
        reasons = (*disk_reasons(disks), *store_reasons(within, longest[:1]))
        return StatusDocument(
            version=__version__,
            time=round(time.time(), 3),
            url=self.settings.url,
            mountpoint=str(self.settings.mountpoint),
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self.started_at, 3),
            read_only=True,
            health=Health.DEGRADED if reasons else Health.OK,
            health_reasons=reasons,
            # Every mount is read-only for now, with or without --read-only.
            options={**_options(self.settings), "read_only": True},
            now=_record(self._rates.rates(totals), CurrentRates),
            hit_ratio=totals.hit_ratio(),
            histogram_bounds_s=tuple(BOUNDS_S),
            fuse=self._fuse(),
            waiting=tuple(map(_waiting, longest)),
            waiting_count=len(self.watch),
            sources=_record(cache.sources, SourceBytes),
            memory=_record(cache.memory, MemoryStatus),
            disks={disk.directory: disk for disk in disks},
            populate=_record(cache.populate, PopulateStatus),
            catalog=_record(self.tree.persistent.statistics(), CatalogStatus),
            store=self._store(),
            cost=self._cost(),
            prefetch=_record(cache.prefetch, PrefetchStatus),
            jobs=tuple(_running(job) for job in self.jobs.all() if _is_shown(job)),
            hidden_names=self.tree.hidden.count,
            inodes=len(self.tree.inodes),
            kernel=_record(self.kernel, KernelStatus),
            metrics_address=self.metrics_address,
            last_errors=_record(self.metrics.last_errors.records(), tuple[LastError, ...]),
        )

    def line(self) -> str:
        """Return the document as one line for the service manager."""
        return status_line(self.document())

    def _fuse(self) -> FuseStatus:
        operations = _record(self.metrics.statistics(), dict[str, FuseOperation])
        return FuseStatus(operations, self.metrics.read_bytes, self.metrics.inflight)

    def _disks(self, cache: CacheStatistics) -> list[DiskStatus]:
        left_out = [DiskStatus.left_out(*item) for item in self.disks_left_out.items()]
        return left_out + [_record(disk, DiskStatus) for disk in cache.disks]

    def _totals(self, cache: CacheStatistics) -> TrafficTotals:
        store = self.store.statistics().operations.values()
        sources = cache.sources
        return TrafficTotals(
            at=time.monotonic(),
            read_bytes=sources.memory_bytes + sources.disk_bytes + sources.store_bytes,
            store_bytes=sources.store_bytes,
            received_bytes=sum(o.received_bytes for o in store),
            fuse_requests=self.metrics.requests(),
            store_requests=sum(o.requests for o in store),
            store_failures=sum(map(_failures, store)),
        )

    def _store(self) -> StoreStatus:
        statistics = self.store.statistics()
        operations: Mapping[str, OperationStatistics] = statistics.operations
        total = sum(o.requests for o in operations.values())
        seconds = sum(o.seconds for o in operations.values())
        last_error = statistics.last_error
        return StoreStatus(
            backend=self.store.url.partition("://")[0],
            requests={name: o.requests for name, o in operations.items()},
            errors=sum(o.errors for o in operations.values()),
            retries=sum(o.retries for o in operations.values()),
            received_bytes=sum(o.received_bytes for o in operations.values()),
            mean_latency_s=seconds / total if total else 0.0,
            last_error=last_error and self._redactor.redact(last_error),
            operations={name: _operation(name, o) for name, o in operations.items()},
            threads=_record(statistics.threads, dict[str, ThreadsStatus]),
        )

    def _cost(self) -> CostEstimate:
        payer = Payer(
            url=self.store.url,
            identity=self.store.identity,
            anonymous=self.settings.no_sign_request,
            requester_pays=self.settings.requester_pays,
        )
        operations = self.store.statistics().operations
        requests = {name: o.requests for name, o in operations.items()}
        received = sum(o.received_bytes for o in operations.values())
        return _record(
            estimate(payer, requests, received, self.settings.egress_price), CostEstimate
        )


def disk_reasons(disks: Sequence[DiskStatus]) -> Iterator[str]:
    """Yield a sentence for each cache directory that is not used as it should be."""
    for disk in disks:
        if disk.state is DirectoryState.LEFT_OUT:
            yield f"cache directory {disk.directory} was left out: {disk.reason}"
        elif disk.state is not DirectoryState.OK:
            why = f": {disk.reason}" if disk.reason else ""
            yield f"cache directory {disk.directory} is {disk.state}{why}"


def store_reasons(within: TrafficTotals, longest: Sequence[Wait]) -> Iterator[str]:
    """Yield a sentence when most requests of the last seconds failed, and one for a request that
    waits long for the store; `longest` are the longest waits."""
    failures, requests = within.store_failures, within.store_requests
    if failures >= _FAILURES_MIN and failures * 2 >= requests:
        count = format_count(requests, "request")
        yield f"the store fails: {failures} of {count} in the last {within.at:.0f} s"
    for wait in longest:
        if wait.waits_for is WaitsFor.STORE and wait.waited_s >= _STORE_WAIT_S:
            yield f"a {wait.operation} has waited {wait.waited_s:.0f} s for the store"


def _failures(statistics: OperationStatistics) -> int:
    """Return the failed requests; that an object has changed is an answer and no failure."""
    return statistics.errors - statistics.errors_by_kind.get("object_changed", 0)


def _record(value: object, kind: type[T]) -> T:
    """Return statistics as their type in the document, which has the same fields."""
    return msgspec.convert(value, kind, from_attributes=True)


def _options(settings: MountSettings) -> dict[str, OptionValue]:
    return {field.name: _plain(getattr(settings, field.name)) for field in fields(settings)}


def _plain(value: object) -> OptionValue:
    """Return a value that JSON has: others as they would be written."""
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if value == float("inf"):
        return "indefinite"
    if isinstance(value, str):
        return without_password(value)
    return value if isinstance(value, int | float | None) else str(value)


def _waiting(wait: Wait) -> WaitingRequest:
    return WaitingRequest(wait.operation, wait.name, round(wait.waited_s, 3), wait.waits_for)


def _operation(name: str, statistics: OperationStatistics) -> StoreOperation:
    """Return the requests of one kind; only a GET has a body whose first byte matters."""
    operation = _record(statistics, StoreOperation)
    if name == "get":
        return operation
    return msgspec.structs.replace(operation, first_byte=(), first_byte_seconds=0.0)


def _is_shown(job: Job) -> bool:
    return job.is_running and job.kind in _JOBS_SHOWN


def _running(job: Job) -> RunningJob:
    status = job.status()
    done, total = (getattr(status.progress, name, None) for name in ("bytes_done", "bytes_total"))
    return RunningJob(status.job, status.kind, status.elapsed_s, done, total)
