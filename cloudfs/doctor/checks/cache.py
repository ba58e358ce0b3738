"""The check of the cache directories: may they be used, which mounts use them, what they may hold.

Nothing in them is changed. Everything that asks a file system runs in a worker thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.settings import MountSettings
from cloudfs.config.types import CacheDirSpec
from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, warning
from cloudfs.doctor.probes import disks
from cloudfs.doctor.probes.disks import DiskInfo
from cloudfs.errors import ExitCode
from cloudfs.system import mountpoints
from cloudfs.units import GIB, format_count, format_size
from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.disk import inspection
from cloudfs_cache.disk.capacity import CapacityLimits, derive_limits
from cloudfs_cache.disk.inspection import Inspection

LITTLE_BYTES: Final = 10 * GIB
"""A smaller cache holds too little of most datasets to be worth having."""

_OTHER: Final = "give another directory with --cache-dir"
_ABSENT: Final = Inspection(is_cache=False, problem=None, used_bytes=0, mounts=0)

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "glusterfs"})


async def cache(context: Context) -> Sequence[Finding]:
    """Examine each directory as the mount would, without creating it."""
    return await trio.to_thread.run_sync(_examined, context.settings, abandon_on_cancel=True)


def _examined(settings: MountSettings) -> list[Finding]:
    findings = []
    devices: dict[int, Path] = {}
    for directory in resources.cache_directories(settings):
        findings += _directory(settings, directory)
        parent = disks.nearest_existing(directory.path)
        other = devices.setdefault(os.stat(parent).st_dev, directory.path)
        if other != directory.path:
            text = f"{directory.path} is on the same disk as {other}"
            findings.append(warning(text, "one directory for each disk is enough: remove one"))
    return findings


def _directory(settings: MountSettings, directory: CacheDirSpec) -> list[Finding]:
    path = directory.path
    if directory.size_bytes == 0:
        return [ok(f"{path} is turned off by a size of 0", directory=str(path), capacity_bytes=0)]
    parent = disks.nearest_existing(path)
    if problem := _unwritable(path, parent):
        return [failure(ExitCode.CACHE, *problem, directory=str(path))]
    inspected = inspection.inspect(str(path)) if parent == path else _ABSENT
    if inspected.problem:
        fix = f"{_OTHER}, or delete it" if inspected.is_cache else _OTHER
        return [failure(ExitCode.CACHE, inspected.problem, fix, directory=str(path))]
    disk = disks.disk_info(parent)
    found = [_capacity(settings, directory, inspected, parent, disk)]
    found += [warning(*problem, directory=str(path)) for problem in _doubts(path, parent, disk)]
    return found


def _unwritable(path: Path, parent: Path) -> tuple[str, str] | None:
    """Return why the mount cannot write to this directory, and the fix."""
    if not parent.is_dir():
        return f"{parent} is no directory", _OTHER
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
        create = f"as root: install -d -m 700 -o {os.geteuid()} {path}"
        return f"{path}: this user may not write to {parent}", f"{create}; or {_OTHER}"
    return None


def _capacity(
    settings: MountSettings,
    directory: CacheDirSpec,
    inspected: Inspection,
    parent: Path,
    disk: DiskInfo,
) -> Finding:
    """Return the finding about the space, with what else is known of the directory."""
    path, asked, used = directory.path, directory.size_bytes, inspected.used_bytes
    limits = derive_limits(str(parent), asked, settings.min_free_space, used)
    free = disks.free_bytes(parent)
    may_hold = min(limits.capacity_bytes, max(0, used + free - limits.min_free_bytes))
    facts = {
        "directory": str(path),
        "exists": parent == path,
        "fstype": disk.fstype,
        "source": disk.source,
        "rotational": disk.rotates,
        "discard": disk.discards,
        "free_bytes": free,
        "min_free_bytes": limits.min_free_bytes,
        "capacity_bytes": limits.capacity_bytes,
        "used_bytes": used,
        "mounts": inspected.mounts,
    }
    if not used and may_hold < BLOCK_BYTES:
        text = f"{path} has no room: {_free_shown(free, limits)}"
        fix = "free some space, lower --min-free-space or give another --cache-dir"
        return failure(ExitCode.CACHE, text, fix, **facts)
    text = f"{path} ({disk.fstype}) can hold {format_size(may_hold)}"
    if asked is not None and may_hold < asked:
        fix = "free some space, or lower --max-cache-size to what there is"
        problem = f"{text} of the {format_size(asked)} asked for: {_free_shown(free, limits)}"
        return warning(problem, fix, **facts)
    if asked is None and may_hold < LITTLE_BYTES:
        fix = "free some space, or give a directory on a larger disk with --cache-dir"
        return warning(f"{text} only: {_free_shown(free, limits)}", fix, **facts)
    text += f", holds {format_size(used)}" if used else ""
    text += f", used by {format_count(inspected.mounts, 'mount')}" if inspected.mounts else ""
    return ok(text if parent == path else f"{text}, and will be created", **facts)


def _free_shown(free: int, limits: CapacityLimits) -> str:
    return f"{format_size(free)} are free, {format_size(limits.min_free_bytes)} must stay free"


def _doubts(path: Path, parent: Path, disk: DiskInfo) -> Iterator[tuple[str, str]]:
    """Yield the drawbacks of a directory that can be used, and the fixes."""
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
    if parent != path:
        return
    found = os.stat(path)
    if found.st_uid != os.geteuid():
        fix = f"as root: chown -R {os.geteuid()} {path}"
        yield f"{path} belongs to user {found.st_uid}, and not to this one", fix
    if stat.S_IMODE(found.st_mode) & 0o077:
        yield f"{path} can be entered by other users", f"chmod 700 {path}"
