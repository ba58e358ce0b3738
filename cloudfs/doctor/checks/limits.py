"""What this process may use of the machine: open files, threads and memory."""

from __future__ import annotations

import os
import resource
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
"""What a mount takes beside the data: the interpreter, the libraries, names and block tables."""

# Counted generously: what is too much costs a line in the output, what is too little a mount.
_FILES_BASE: Final = 128
_FILES_PER_DISK: Final = 24
_THREADS_BASE: Final = 16
_THREADS_PER_DISK: Final = 9
_NO_LIMIT: Final = 1 << 62


def files_needed(settings: MountSettings) -> int:
    """Return how many files a mount with these settings may have open at once.

    Each download has a connection of either library, and names have some of their own.
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
    rooms = await trio.to_thread.run_sync(_rooms, abandon_on_cancel=True)
    found = {name: room for name, (room, _) in rooms.items()}
    facts = {"needed": needed, "room": min(found.values(), default=None)}
    tight = min(rooms, key=lambda name: rooms[name][0], default=None)
    if tight is None or rooms[tight][0] >= needed:
        return ok(f"{needed} needed, {_shown(facts['room'])} more allowed", **facts)
    room, fix = rooms[tight]
    return warning(f"{tight} allows {room} more, and a busy mount needs {needed}", fix, **facts)


def _rooms() -> dict[str, tuple[int, str]]:
    """Return how many threads each limit still allows, and what raises it."""
    rooms = {}
    of_groups = control_groups.room_for_tasks()
    if of_groups is not None:
        fix = "raise TasksMax= of the unit, or the pod's limit of processes"
        rooms["the control group (pids.max)"] = of_groups, fix
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    # It does not bind root.
    if os.geteuid() != 0 and most != resource.RLIM_INFINITY:
        room = max(0, most - _threads_of(os.getuid()))
        rooms["the limit of processes (ulimit -u)"] = room, "raise 'nproc' in limits.conf"
    try:
        whole = int(Path("/proc/sys/kernel/threads-max").read_text(encoding="ascii"))
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])
    except (OSError, ValueError, IndexError):
        return rooms
    fix = "as root, raise the setting kernel.threads-max with sysctl"
    rooms["the kernel (threads-max)"] = max(0, whole - running), fix
    return rooms


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
    """Compare --memory-limit with what there is."""
    await trio.lowlevel.checkpoint()
    return _memory(context.settings.memory_limit)


def _memory(limit: int) -> Finding:
    text = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")
    strict = _number(Path("/proc/sys/vm/overcommit_memory")) == 2
    return judged_memory(
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


def judged_memory(
    limit: int, usable: int, meminfo: dict[str, int], *, strict: bool, oom_score_adj: int
) -> Finding:
    """Return the finding for a mount that keeps `limit` bytes of data where `usable` are there.

    `strict`: the kernel refuses memory that it might not have.
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
