"""The status document of a running mount, schema 3: one reading of every part's statistics.

Everything that shows the state of a mount (`cloudfs status`, tests, metrics) reads this document
and nothing else. It is made on the loop, from snapshots, and never asks the store or the mount.
docs/status.md has its fields.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

import trio

from cloudfs import __version__
from cloudfs.admin.jobs import Job, Jobs
from cloudfs.config.settings import MountSettings
from cloudfs.config.types import without_password
from cloudfs.fuse.deadlines import RequestWatch, Wait
from cloudfs.fuse.tuning import KernelSettings
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

SCHEMA: Final = 3

_WAITING_MAX: Final = 20
_JOBS_SHOWN: Final = ("warmup", "verify", "evict")
_FAILURES_MIN: Final = 3
_STORE_WAIT_S: Final = 10.0
_STATES_FINE: Final = ("ok", "off")


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
        """Keep what is needed to tell what happens now. Runs until cancelled."""
        while True:
            self._rates.sample(self._totals(self.cache.statistics()))
            await trio.sleep(SAMPLE_EVERY_S)

    def document(self) -> dict[str, Any]:
        """Return the document."""
        cache = self.cache.statistics()
        totals = self._totals(cache)
        within, longest = self._rates.increase(totals), self.watch.longest(_WAITING_MAX)
        reasons = [*self._reasons(cache), *store_reasons(within, longest[:1])]
        return {
            "schema": SCHEMA,
            "version": __version__,
            "time": round(time.time(), 3),
            "url": self.settings.url,
            "mountpoint": str(self.settings.mountpoint),
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self.started_at, 3),
            "read_only": True,
            "health": "degraded" if reasons else "ok",
            "health_reasons": reasons,
            # Every mount is read-only for now, whether --read-only was given or not.
            "options": {**_options(self.settings), "read_only": True},
            "now": asdict(self._rates.rates(totals)),
            "hit_ratio": totals.hit_ratio(),
            "histogram_bounds_s": list(BOUNDS_S),
            "fuse": {
                "operations": {k: asdict(v) for k, v in self.metrics.statistics().items()},
                "read_bytes": self.metrics.read_bytes,
                "inflight": self.metrics.inflight,
            },
            "waiting": [_wait(wait) for wait in longest],
            "waiting_count": len(self.watch),
            "sources": asdict(cache.sources),
            "memory": asdict(cache.memory),
            "disks": {disk.directory: asdict(disk) for disk in cache.disks} | self._left_out(),
            "populate": asdict(cache.populate),
            "catalog": asdict(self.tree.persistent.statistics()),
            "store": self._store(),
            "cost": self._cost(),
            "prefetch": asdict(cache.prefetch),
            "jobs": [_job(job) for job in self.jobs.all() if _is_shown(job)],
            "hidden_names": self.tree.hidden.count,
            "inodes": len(self.tree.inodes),
            "kernel": asdict(self.kernel),
            "metrics_address": self.metrics_address,
            "last_errors": [asdict(record) for record in self.metrics.last_errors.records()],
        }

    def _left_out(self) -> dict[str, dict[str, str]]:
        """The cache directories that could not be used when the mount was made."""
        return {
            path: {"directory": path, "state": "left out", "reason": reason}
            for path, reason in self.disks_left_out.items()
        }

    def _reasons(self, cache: CacheStatistics) -> Iterator[str]:
        """Say in words why the mount is not what it could be."""
        for path, reason in self.disks_left_out.items():
            yield f"cache directory {path} was left out: {reason}"
        for disk in cache.disks:
            if disk.state not in _STATES_FINE:
                why = f": {disk.reason}" if disk.reason else ""
                yield f"cache directory {disk.directory} is {disk.state}{why}"

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

    def _store(self) -> dict[str, Any]:
        statistics = self.store.statistics()
        operations: Mapping[str, OperationStatistics] = statistics.operations
        total = sum(o.requests for o in operations.values())
        seconds = sum(o.seconds for o in operations.values())
        last_error = statistics.last_error
        return {
            "backend": self.store.url.partition("://")[0],
            "requests": {name: o.requests for name, o in operations.items()},
            "errors": sum(o.errors for o in operations.values()),
            "retries": sum(o.retries for o in operations.values()),
            "received_bytes": sum(o.received_bytes for o in operations.values()),
            "mean_latency_s": seconds / total if total else 0.0,
            "last_error": last_error and self._redactor.redact(last_error),
            "operations": {name: _operation(name, o) for name, o in operations.items()},
            "threads": {name: asdict(threads) for name, threads in statistics.threads.items()},
        }

    def _cost(self) -> dict[str, Any]:
        payer = Payer(
            url=self.store.url,
            identity=self.store.identity,
            anonymous=self.settings.no_sign_request,
            requester_pays=self.settings.requester_pays,
        )
        operations = self.store.statistics().operations
        return estimate(
            payer,
            {name: o.requests for name, o in operations.items()},
            sum(o.received_bytes for o in operations.values()),
            self.settings.egress_price,
        )


def store_reasons(within: TrafficTotals, longest: Sequence[Wait]) -> Iterator[str]:
    """Say what is wrong with the store just now, by its answers of the last seconds and by the
    request that waits longest."""
    failures, requests = within.store_failures, within.store_requests
    if failures >= _FAILURES_MIN and failures * 2 >= requests:
        count = format_count(requests, "request")
        yield f"the store fails: {failures} of {count} in the last {within.at:.0f} s"
    for wait in longest:
        if wait.waits_for is WaitsFor.STORE and wait.waited_s >= _STORE_WAIT_S:
            yield f"a {wait.operation} has waited {wait.waited_s:.0f} s for the store"


def _failures(statistics: OperationStatistics) -> int:
    """Requests that failed; that an object has changed is an answer, as good as any."""
    return statistics.errors - statistics.errors_by_kind.get("object_changed", 0)


def _options(settings: MountSettings) -> dict[str, Any]:
    return {field.name: _plain(getattr(settings, field.name)) for field in fields(settings)}


def _plain(value: object) -> object:
    """A value that JSON has: others as they would be written."""
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if value == float("inf"):
        return "indefinite"
    if isinstance(value, str):
        return without_password(value)
    return value if isinstance(value, int | float | bool | None) else str(value)


def _wait(wait: Wait) -> dict[str, Any]:
    return {
        "operation": wait.operation,
        "name": wait.name,
        "waited_s": round(wait.waited_s, 3),
        "for": wait.waits_for.value,
    }


def _operation(name: str, statistics: OperationStatistics) -> dict[str, Any]:
    """One kind of request to the store; only a GET has a body whose first byte matters."""
    record = asdict(statistics)
    if name != "get":
        del record["first_byte"], record["first_byte_seconds"]
    return record


def _is_shown(job: Job) -> bool:
    return job.is_running and job.kind in _JOBS_SHOWN


def _job(job: Job) -> dict[str, Any]:
    """A job under way; what its kind does not count is None."""
    document = job.document()
    known = {name: document[name] for name in ("job", "kind", "elapsed_s")}
    return known | {name: document.get(name) for name in ("bytes_done", "bytes_total")}
