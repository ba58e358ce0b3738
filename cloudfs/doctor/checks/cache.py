"""Whether each cache directory can be used, by whom it is used, and how much it may hold.

It changes nothing in them. Everything that asks a file system runs in a worker thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import trio

from cloudfs.config.settings import MountSettings
from cloudfs.config.types import CacheDirectory
from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, warning
from cloudfs.doctor.probes import disks
from cloudfs.doctor.probes.disks import Disk
from cloudfs.errors import ExitCode
from cloudfs.system import mountpoints
from cloudfs.units import GIB, format_count, format_size
from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.disk import layout
from cloudfs_cache.disk.capacity import SpaceLimits, derive_limits
from cloudfs_cache.disk.index.rows import totals_of

MARKER: Final = "cloudfs-cache.json"
"""The file of a cache directory that tells its layout."""

LITTLE_BYTES: Final = 10 * GIB
"""A smaller cache holds too little of most datasets to be worth a look at."""

_LOCK_S_MAX: Final = 0.5
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "glusterfs"})


async def cache(context: Context) -> Sequence[Finding]:
    """Look at each directory as the mount would, without creating it."""
    return await trio.to_thread.run_sync(_examined, context.settings, abandon_on_cancel=True)


def _examined(settings: MountSettings) -> list[Finding]:
    findings = []
    devices: dict[int, Path] = {}
    for directory in resources.cache_directories(settings):
        found = _directory(settings, directory)
        findings += found
        place = disks.existing(directory.path)
        other = devices.setdefault(os.stat(place).st_dev, directory.path)
        if other != directory.path:
            text = f"{directory.path} is on the same disk as {other}"
            findings.append(warning(text, "one directory for each disk is enough: remove one"))
    return findings


def is_off(settings: MountSettings, directory: CacheDirectory) -> bool:
    """Whether the mount does not use the directory because it may hold nothing."""
    return _capacity(settings, directory) == 0


def _capacity(settings: MountSettings, directory: CacheDirectory) -> int | None:
    return settings.max_cache_size if directory.size_bytes is None else directory.size_bytes


def _directory(settings: MountSettings, directory: CacheDirectory) -> list[Finding]:
    path = directory.path
    if is_off(settings, directory):
        return [ok(f"{path} is turned off by a size of 0", directory=str(path), capacity_bytes=0)]
    place = disks.existing(path)
    if problem := _unusable(path, place):
        return [failure(ExitCode.CACHE, *problem, directory=str(path))]
    disk = disks.disk_of(place)
    found = [_room(settings, directory, place, disk)]
    found += [warning(*problem, directory=str(path)) for problem in _doubts(path, place, disk)]
    return found


def _unusable(path: Path, place: Path) -> tuple[str, str] | None:
    """Return why the mount would not start with this directory, and the fix."""
    other = "give another directory with --cache-dir"
    if not place.is_dir():
        return f"{place} is no directory", other
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        whose = f"as root: install -d -m 700 -o {os.geteuid()} {path}"
        return f"{path}: this user may not write to {place}", f"{whose}; or {other}"
    if place != path:
        return None
    marker = path / MARKER
    if not marker.exists():
        foreign = sorted(set(os.listdir(path)) - {"lost+found"})
        return (f"{path} holds something else ({foreign[0]})", other) if foreign else None
    if (found := _format_of(marker)) != layout.FORMAT:
        text = f"{path} has layout {found!r}, and this version writes {layout.FORMAT}"
        return text, f"{other}, or delete it"
    return None


def _format_of(marker: Path) -> object:
    try:
        document = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document.get("format") if isinstance(document, dict) else None


def _room(settings: MountSettings, directory: CacheDirectory, place: Path, disk: Disk) -> Finding:
    """Return the finding about the space, with what else is known of the directory."""
    path, capacity = directory.path, _capacity(settings, directory)
    used = _used_bytes(path)
    limits = derive_limits(str(place), capacity, settings.min_free_space, used)
    free = disks.free_bytes(place)
    may_hold = min(limits.capacity_bytes, max(0, used + free - limits.min_free_bytes))
    mounts = sum(1 for _ in _users(path))
    facts = {
        "directory": str(path),
        "exists": place == path,
        "fstype": disk.fstype,
        "source": disk.source,
        "rotational": disk.rotates,
        "discard": disk.discards,
        "free_bytes": free,
        "min_free_bytes": limits.min_free_bytes,
        "capacity_bytes": limits.capacity_bytes,
        "used_bytes": used,
        "mounts": mounts,
    }
    if not used and may_hold < BLOCK_BYTES:
        text = f"{path} has no room: {_free_shown(free, limits)}"
        fix = "free some space, lower --min-free-space or give another --cache-dir"
        return failure(ExitCode.CACHE, text, fix, **facts)
    text = f"{path} ({disk.fstype}) can hold {format_size(may_hold)}"
    if capacity is not None and may_hold < capacity:
        fix = "free some space, or lower --max-cache-size so that nobody counts on more"
        problem = f"{text} of the {format_size(capacity)} asked for: {_free_shown(free, limits)}"
        return warning(problem, fix, **facts)
    if capacity is None and may_hold < LITTLE_BYTES:
        fix = "free some space, or give a directory on a larger disk with --cache-dir"
        return warning(f"{text} only: {_free_shown(free, limits)}", fix, **facts)
    text += f", holds {format_size(used)}" if used else ""
    text += f", used by {format_count(mounts, 'mount')}" if mounts else ""
    return ok(text if place == path else f"{text}, and will be created", **facts)


def _free_shown(free: int, limits: SpaceLimits) -> str:
    return f"{format_size(free)} are free, {format_size(limits.min_free_bytes)} must stay free"


def _used_bytes(path: Path) -> int:
    """Return what the directory's index counts; 0 where there is none, or it cannot be read."""
    index = path / "index.sqlite"
    if not index.exists():
        return 0
    address = f"file:{quote(str(index))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_LOCK_S_MAX)) as base:
            return totals_of(base).used_bytes
    except sqlite3.Error:
        return 0


def _users(path: Path) -> Iterator[str]:
    """Yield the owners of the directory that are alive: a mount locks its file.

    A mount that starts at this very moment may take the next number for that, which is harmless.
    """
    try:
        names = os.listdir(path / "mounts")
    except OSError:
        return
    for name in filter(str.isdigit, names):
        with contextlib.suppress(OSError), open(path / "mounts" / name, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield name


def _doubts(path: Path, place: Path, disk: Disk) -> Iterator[tuple[str, str]]:
    """Yield what speaks against the directory, though it can be used, and the fixes."""
    local = "give a directory on a local SSD with --cache-dir"
    if disk.fstype in _IN_MEMORY:
        yield f"{path} is in memory ({disk.fstype}), which nothing limits but its size", local
    elif disk.fstype == mountpoints.FSTYPE:
        yield f"{path} lies in a mount of cloudfs", local
    elif disk.fstype in _NETWORK or disk.fstype.startswith("fuse"):
        yield f"{path} is on a network or userspace file system ({disk.fstype})", local
    elif disk.fstype == "overlay":
        fix = "mount a volume of the node there, such as a hostPath on its SSD"
        yield f"{path} is in the container's own layer (overlay), which is lost with it", fix
    if place != path:
        return
    found = os.stat(path)
    if found.st_uid != os.geteuid():
        fix = f"as root: chown -R {os.geteuid()} {path}"
        yield f"{path} belongs to user {found.st_uid}, and not to this one", fix
    if stat.S_IMODE(found.st_mode) & 0o077:
        yield f"{path} can be entered by other users", f"chmod 700 {path}"
