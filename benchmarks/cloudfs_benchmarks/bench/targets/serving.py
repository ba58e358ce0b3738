"""What the process that serves a target has cost, and where a cloudfs mount got its bytes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import Kind, Target
from cloudfs_benchmarks.bench.targets import commandline
from cloudfs_benchmarks.bench.targets.mounts import mount_of
from cloudfs_benchmarks.demo.processes import Children

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """A reading. `cpu_s` and the counters grow from the process's start.

    `memory_bytes`, `disk_bytes` and `store_bytes` were handed to readers, by where they were.
    `store_received_bytes` came over the network for `store_requests`; both cover other programs'
    use of the mount too.
    """

    cpu_s: float
    rss_bytes: int
    peak_rss_bytes: int
    memory_bytes: int
    disk_bytes: int
    store_bytes: int
    store_requests: int
    store_received_bytes: int

    def since(self, earlier: Usage) -> Usage:
        """What was added after `earlier`; memory is as it is now."""
        return Usage(
            cpu_s=self.cpu_s - earlier.cpu_s,
            rss_bytes=self.rss_bytes,
            peak_rss_bytes=self.peak_rss_bytes,
            memory_bytes=self.memory_bytes - earlier.memory_bytes,
            disk_bytes=self.disk_bytes - earlier.disk_bytes,
            store_bytes=self.store_bytes - earlier.store_bytes,
            store_requests=self.store_requests - earlier.store_requests,
            store_received_bytes=self.store_received_bytes - earlier.store_received_bytes,
        )


class Serving:
    """Reads the usage of one target's serving process."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pid: int | None = None
        self._mountpoint: str | None = None

    def usage(self) -> Usage | None:
        """The usage now; None where no process is known that serves the target alone.

        `TargetError` when a cloudfs daemon is gone, or is another one than in the call before.
        """
        if self._target.kind is not Kind.CLOUDFS:
            return None
        return self._checked(commandline.status)

    @contextmanager
    def watched(self, children: Children, every_s: float) -> Iterator[Callable[[], Usage | None]]:
        """Yield what gives the usage of at most about `every_s` ago, and starts no process.

        It gives None where `usage` does, and before the first reading; it raises as `usage` does.
        """
        if self._target.kind is not Kind.CLOUDFS:
            yield lambda: None
            return
        with ExitStack() as stack:
            theirs = dataclasses.replace(children, stack=stack)
            name = f"status-{self._target.name}"
            stream = commandline.StatusStream(theirs, name, self._mount(), every_s)
            yield lambda: self._checked(lambda _: stream.latest())

    def _mount(self) -> str:
        if self._mountpoint is None:
            self._mountpoint = mount_of(os.path.realpath(self._target.location)).path
        return self._mountpoint

    def _checked(self, document_of: Callable[[str], dict[str, Any] | None]) -> Usage | None:
        """Return the usage in a document of the daemon that it always was."""
        try:
            document = document_of(self._mount())
            if document is None:
                return None
            pid = int(document["pid"])
            if self._pid not in (None, pid):
                raise self._gone("was replaced by another")
            self._pid = pid
            return _usage(document)
        except (KeyError, FileNotFoundError, ProcessLookupError) as error:
            raise self._gone("is gone") from error
        except TargetError as error:
            if self._pid is not None and not Path(f"/proc/{self._pid}").exists():
                raise self._gone("is gone") from error
            raise

    def _gone(self, what: str) -> TargetError:
        return TargetError(
            f"target {self._target.name}: the cloudfs daemon of {self._mountpoint} "
            f"(pid {self._pid}) {what}: see `cloudfs status {self._mountpoint}`"
        )


def _usage(document: dict[str, Any]) -> Usage:
    sources, store = document["sources"], document["store"]
    process = Path("/proc", str(document["pid"]))
    rss_bytes, peak_rss_bytes = _memory(process)
    return Usage(
        cpu_s=_cpu_s(process),
        rss_bytes=rss_bytes,
        peak_rss_bytes=peak_rss_bytes,
        memory_bytes=sources["memory_bytes"],
        disk_bytes=sources["disk_bytes"],
        store_bytes=sources["store_bytes"],
        store_requests=sum(store["requests"].values()),
        store_received_bytes=store["received_bytes"],
    )


def _cpu_s(process: Path) -> float:
    # The name, in parentheses, may hold spaces; the fields after it begin with the third.
    fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S


def _memory(process: Path) -> tuple[int, int]:
    """Resident now and at most, in bytes."""
    lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    now, most = (int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return now * 1024, most * 1024
