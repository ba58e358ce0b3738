"""The status document of a running mount, schema 2: one reading of every part's statistics.

Everything that shows the state of a mount (`cloudfs status`, tests, metrics) reads this document
and nothing else. It is made on the loop, from snapshots, and never asks the store or the mount.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cloudfs import __version__
from cloudfs.config import MountSettings
from cloudfs.fuse.kernel import KernelSettings
from cloudfs.metrics import RequestMetrics
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ObjectStore, OperationStatistics
from cloudfs_cache.tiered import TieredCache

SCHEMA = 2


@dataclass(slots=True)
class MountState:
    """The parts of a running mount that have statistics. `kernel` is set once it is tuned;
    `disks_left_out` has the reasons by directory."""

    settings: MountSettings
    store: ObjectStore
    tree: Tree
    cache: TieredCache
    metrics: RequestMetrics
    kernel: KernelSettings
    started_at: float
    disks_left_out: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Return the document."""
        cache = self.cache.statistics()
        degraded = bool(self.disks_left_out) or any(disk.state != "ok" for disk in cache.disks)
        return {
            "schema": SCHEMA,
            "version": __version__,
            "url": self.settings.url,
            "mountpoint": str(self.settings.mountpoint),
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self.started_at, 3),
            "read_only": True,
            "health": "degraded" if degraded else "ok",
            # Every mount is read-only for now, whether --read-only was given or not.
            "options": {**_options(self.settings), "read_only": True},
            "fuse": {
                "operations": {k: asdict(v) for k, v in self.metrics.statistics().items()},
                "read_bytes": self.metrics.read_bytes,
                "inflight": self.metrics.inflight,
            },
            "sources": asdict(cache.sources),
            "memory": asdict(cache.memory),
            "disks": {disk.directory: asdict(disk) for disk in cache.disks} | self._left_out(),
            "catalog": asdict(self.tree.remembered.statistics()),
            "store": _store(self.store),
            "prefetch": asdict(cache.prefetch),
            "hidden_names": self.tree.hidden.count,
            "inodes": len(self.tree.inodes),
            "kernel": asdict(self.kernel),
            "last_errors": list(self.metrics.last_errors),
        }

    def _left_out(self) -> dict[str, dict[str, str]]:
        """The cache directories that could not be used when the mount was made."""
        return {
            path: {"directory": path, "state": "left out", "reason": reason}
            for path, reason in self.disks_left_out.items()
        }


def _options(settings: MountSettings) -> dict[str, Any]:
    return {field.name: _plain(getattr(settings, field.name)) for field in fields(settings)}


def _plain(value: object) -> object:
    """A value that JSON has: others as they would be written."""
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if value == float("inf"):
        return "indefinite"
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _store(store: ObjectStore) -> dict[str, Any]:
    statistics = store.statistics()
    operations: Mapping[str, OperationStatistics] = statistics.operations
    total = sum(o.requests for o in operations.values())
    seconds = sum(o.seconds for o in operations.values())
    return {
        "requests": {name: o.requests for name, o in operations.items()},
        "errors": sum(o.errors for o in operations.values()),
        "retries": sum(o.retries for o in operations.values()),
        "received_bytes": sum(o.received_bytes for o in operations.values()),
        "mean_latency_s": seconds / total if total else 0.0,
        "last_error": statistics.last_error,
    }
