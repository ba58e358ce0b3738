"""The checks of resource limits: open files, threads and memory."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.settings import MountSettings
from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, warning
from cloudfs.doctor.probes import control_groups
from cloudfs.system import defaults
from cloudfs.units import KIB, MIB, format_size
from cloudfs_backends.common.executor import METADATA_THREADS

MEMORY_BESIDE_BYTES: Final = 256 * MIB
"""Memory of a mount besides the data: interpreter, libraries, names and block tables."""

# Generous: too high a number costs a line of output, too low a number a mount.
_FILES_BASE: Final = 128
_FILES_PER_DISK: Final = 24
_THREADS_BASE: Final = 16
_THREADS_PER_DISK: Final = 9
_NO_LIMIT: Final = 1 << 62


def files_needed(settings: MountSettings) -> int:
    """Return how many files a mount with these settings may have open at once.

    A download may have a connection of either library; metadata requests have their own.
    """
    connections = 2 * settings.max_downloads + METADATA_THREADS
    return _FILES_BASE + connections + _FILES_PER_DISK * _disks(settings)


def threads_needed(settings: MountSettings) -> int:
    """Return how many threads a mount with these settings may have at once."""
    workers = settings.max_downloads + METADATA_THREADS + (os.cpu_count() or 1)
    return _THREADS_BASE + workers + _THREADS_PER_DISK * _disks(settings)


def _disks(settings: MountSettings) -> int:
    return len(resources.cache_directories(settings))


async def open_files(context: Context) -> Finding:
    """Compare the limit of open files with what the mount needs."""
    await trio.lowlevel.checkpoint()
    needed = files_needed(context.settings)
    soft, hard = map(_bounded, resource.getrlimit(resource.RLIMIT_NOFILE))
    facts = {"needed": needed, "soft_limit": soft, "hard_limit": hard}
    if soft >= needed:
        return ok(f"{needed} needed, {_shown(soft)} allowed", **facts)
    if hard >= needed:
        fix = f"ulimit -n {needed}; in a unit of systemd LimitNOFILE={needed}"
    else:
        fix = f"as root, raise it in /etc/security/limits.conf, or LimitNOFILE={needed} in the unit"
    return warning(f"only {soft} are allowed, and a busy mount needs {needed}", fix, **facts)


async def threads(context: Context) -> Finding:
    """Compare the limits of threads with what the mount needs."""
    needed = threads_needed(context.settings)
    limits = await trio.to_thread.run_sync(_thread_limits, abandon_on_cancel=True)
    tightest = min(limits, key=lambda limit: limit.headroom, default=None)
    headroom = None if tightest is None else tightest.headroom
    facts = {"needed": needed, "room": headroom}
    if tightest is None or tightest.headroom >= needed:
        return ok(f"{needed} needed, {_shown(headroom)} more allowed", **facts)
    text = f"{tightest.name} allows {tightest.headroom} more, and a busy mount needs {needed}"
    return warning(text, tightest.fix, **facts)


@dataclass(frozen=True, slots=True)
class _ThreadLimit:
    """A limit of the system, how many more threads it allows, and how to raise it."""

    name: str
    headroom: int
    fix: str


def _thread_limits() -> list[_ThreadLimit]:
    limits = []
    in_groups = control_groups.task_headroom()
    if in_groups is not None:
        fix = "raise TasksMax= of the unit, or the pod's limit of processes"
        limits.append(_ThreadLimit("the control group (pids.max)", in_groups, fix))
    maximum, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    # It does not bind root.
    if os.geteuid() != 0 and maximum != resource.RLIM_INFINITY:
        headroom, fix = maximum - _threads_of(os.getuid()), "raise 'nproc' in limits.conf"
        limits.append(_ThreadLimit("the limit of processes (ulimit -u)", max(0, headroom), fix))
    try:
        maximum = int(Path("/proc/sys/kernel/threads-max").read_text(encoding="ascii"))
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])
    except (OSError, ValueError, IndexError):
        return limits
    fix = "as root, raise the setting kernel.threads-max with sysctl"
    limits.append(_ThreadLimit("the kernel (threads-max)", max(0, maximum - running), fix))
    return limits


def _threads_of(user: int) -> int:
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def _bounded(limit: int) -> int:
    return _NO_LIMIT if limit == resource.RLIM_INFINITY else limit


def _shown(limit: int | None) -> str:
    return "any number" if limit is None or limit >= _NO_LIMIT else str(limit)


async def memory(context: Context) -> Finding:
    """Compare --memory-limit with the available memory."""
    await trio.lowlevel.checkpoint()
    return _memory(context.settings.memory_limit)


def _memory(limit: int) -> Finding:
    text = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")
    strict = _number(Path("/proc/sys/vm/overcommit_memory")) == 2
    return judge_memory(
        limit,
        defaults.usable_memory(),
        parse_meminfo(text),
        strict=strict,
        oom_score_adj=_number(Path("/proc/self/oom_score_adj")) or 0,
    )


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the sizes of /proc/meminfo in bytes."""
    rows = (line.replace(":", "").split() for line in text.splitlines())
    return {row[0]: int(row[1]) * KIB for row in rows if len(row) == 3}


def judge_memory(
    limit: int, usable: int, meminfo: dict[str, int], *, strict: bool, oom_score_adj: int
) -> Finding:
    """Return the finding for a mount with `limit` bytes of data on a machine with `usable` bytes.

    `strict`: the kernel does not overcommit memory.
    """
    needed = limit + MEMORY_BESIDE_BYTES
    available = meminfo.get("MemAvailable", usable)
    free = meminfo.get("CommitLimit", usable) - meminfo.get("Committed_AS", 0)
    shown = f"--memory-limit {format_size(limit)} and {format_size(MEMORY_BESIDE_BYTES)} beside it"
    facts = {
        "limit_bytes": limit,
        "needed_bytes": needed,
        "usable_bytes": usable,
        "available_bytes": available,
        "oom_score_adj": oom_score_adj,
    }
    lower = "lower --memory-limit"
    if needed > usable:
        text = f"{shown} are more than the {format_size(usable)} that this process may use"
        return warning(text, f"{lower}, or raise the limit of the container or unit", **facts)
    if needed > available:
        text = f"{shown} are more than the {format_size(available)} that are available now"
        return warning(text, f"{lower}, or end what uses the memory", **facts)
    if strict and needed > free:
        text = f"the kernel does not overcommit, and only {format_size(max(0, free))} are left"
        fix = f"{lower}, or as root: sysctl vm.overcommit_memory=0"
        return warning(text, fix, **facts)
    if oom_score_adj > 0:
        text = f"when memory runs out, this process is ended early (oom_score_adj {oom_score_adj})"
        fix = "in a pod, request as much memory as its limit; in a unit, OOMScoreAdjust=-500"
        return warning(text, fix, **facts)
    return ok(f"{shown}, of {format_size(available)} available", **facts)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
