"""A mount under test, and what can be asked of its daemon from outside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.demo import mount as demo_mount
from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.interpreter import python

_STATUS_S = 20.0
_CACHED_S = 30.0
_POLL_S = 0.2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a daemon has done since it started: CPU seconds, and bytes by kind.

    `requested_bytes` is what the kernel asked for, `store_bytes` what was received.
    """

    cpu_s: float
    requested_bytes: int
    requests: int
    memory_bytes: int
    disk_bytes: int
    store_bytes: int

    def since(self, earlier: Usage) -> Usage:
        """What was added after `earlier`."""
        return Usage(
            self.cpu_s - earlier.cpu_s,
            self.requested_bytes - earlier.requested_bytes,
            self.requests - earlier.requests,
            self.memory_bytes - earlier.memory_bytes,
            self.disk_bytes - earlier.disk_bytes,
            self.store_bytes - earlier.store_bytes,
        )


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount that answers, served by process `pid`."""

    children: Children
    path: Path
    pid: int

    def status(self) -> dict[str, Any]:
        """The document of `cloudfs status --json`."""
        return _status(self.children, self.path)

    def usage(self) -> Usage:
        """The daemon's counters now."""
        status = self.status()
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        reads = status["fuse"]["operations"].get("read", {"requests": 0})
        return Usage(
            cpu_s=(int(user) + int(system)) / _TICKS_PER_S,
            requested_bytes=status["fuse"]["read_bytes"],
            requests=reads["requests"],
            memory_bytes=status["sources"]["memory_bytes"],
            disk_bytes=status["sources"]["disk_bytes"],
            store_bytes=status["store"]["received_bytes"],
        )

    def wait_cached(self, size: int) -> None:
        """Wait until the SSD tier holds `size` bytes; `StageError` when it never does."""
        deadline_s = time.monotonic() + _CACHED_S
        while (held := self._held_bytes()) < size:
            if time.monotonic() > deadline_s:
                raise StageError(f"the SSD cache holds {held} of {size} bytes")
            time.sleep(_POLL_S)

    def _held_bytes(self) -> int:
        return sum(int(disk["used_bytes"]) for disk in self.status()["disks"].values())

    def peak_rss_bytes(self) -> int:
        """The most memory the daemon had at any time (VmHWM)."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise ValueError("the kernel reports no VmHWM")


@contextmanager
def mounted(children: Children, url: str, path: Path, flags: Sequence[str]) -> Iterator[Mounted]:
    """Mount `url` at `path` for the block; the disk tier is complete once it is left."""
    path.mkdir(exist_ok=True)
    demo_mount.mount(children, url, path, *flags)
    try:
        yield Mounted(children, path, int(_status(children, path)["pid"]))
    finally:
        demo_mount.unmount(children, path)


def _status(children: Children, path: Path) -> dict[str, Any]:
    command = python("-m", "cloudfs", "status", str(path), "--json")
    document: dict[str, Any] = json.loads(children.read("status", command, timeout_s=_STATUS_S))
    return document
