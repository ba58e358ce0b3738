"""The checks of the kernel: its version, and the right to tune a mount's side of it."""

from __future__ import annotations

import os
import platform
import re
import shlex
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.settings import NO_MOUNTPOINT
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, warning
from cloudfs.fuse.tuning import MAX_BACKGROUND
from cloudfs.system import mountpoints
from cloudfs.units import KIB, format_size

_LACKING_BELOW: Final = (
    ((4, 20), "requests are 128 KiB instead of 1 MiB, and sequential reads cost several times"),
    ((5, 3), "'cloudfs umount' cannot wait for the process of the mount"),
)
"""Kernel versions, and the limitation of a mount on older ones."""

_RECOMMENDED: Final = "5.4"
"""The oldest long-term kernel that lacks none of it."""

_BDI: Final = Path("/sys/class/bdi")
_FUSECTL: Final = Path("/sys/fs/fuse/connections")
_PAGES_LIMIT: Final = Path("/proc/sys/fs/fuse/max_pages_limit")
_KERNEL_READ_AHEAD: Final = 128 * KIB
"""The kernel's default."""


async def kernel(_: Context) -> Finding:
    """Compare the kernel's version with those that a mount needs for its features."""
    await trio.lowlevel.checkpoint()
    return judge_release(platform.release(), _pages_limit())


def judge_release(release: str, pages_limit: int | None) -> Finding:
    """Return the finding for a kernel called `release`."""
    match = re.match(r"(\d+)\.(\d+)", release)
    facts = {"release": release, "max_pages_limit": pages_limit}
    if match is None:
        return ok(f"Linux {release}", **facts)
    version = int(match[1]), int(match[2])
    lacking = [what for minimum, what in _LACKING_BELOW if version < minimum]
    if lacking:
        fix = f"use Linux {_RECOMMENDED} or later"
        return warning(f"Linux {release}: {'; '.join(lacking)}", fix, **facts)
    return ok(f"Linux {release}", **facts)


def _pages_limit() -> int | None:
    try:
        return int(_PAGES_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


async def read_ahead(context: Context) -> Finding:
    """Check the right to raise the kernel's read-ahead; nothing is written."""
    await trio.lowlevel.checkpoint()
    target = context.settings.kernel_read_ahead
    shown = format_size(target)
    facts = {"wanted_bytes": target}
    if target <= _KERNEL_READ_AHEAD:
        return ok(f"{shown}, which needs no rights", **facts)
    if _may_write(_BDI):
        return ok(f"{shown} can be set", **facts)
    fix = f"mount as root, or as root after each mount: {_command(context, target)}"
    if os.geteuid() == 0:
        fix = "let the container write /sys (privileged), or set it on the host after each mount"
    text = f"no right to set {shown}: it stays at 128 KiB, and each reader is slower"
    return warning(text, fix, **facts)


def _command(context: Context, target: int) -> str:
    """Return the command that sets the read-ahead of the mount once it is mounted."""
    path = context.settings.mountpoint
    directory = "DIR" if path == NO_MOUNTPOINT else shlex.quote(str(path))
    return f"echo {target // KIB} > {_BDI}/$(mountpoint -d {directory})/read_ahead_kb"


def _may_write(folder: Path) -> bool:
    """Whether this process may write the settings in a folder of sysfs; only root may."""
    try:
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False
    return os.geteuid() == 0 and not read_only


async def background(_: Context) -> Finding:
    """Check the right to raise the number of background requests of the mount."""
    await trio.lowlevel.checkpoint()
    mounted = any(mount.fstype == "fusectl" for mount in mountpoints.mounts())
    facts = {"fusectl": mounted, "wanted_requests": MAX_BACKGROUND}
    if mounted and _may_write(_FUSECTL):
        return ok(f"{MAX_BACKGROUND} requests in flight can be set", **facts)
    text = f"12 requests in flight instead of {MAX_BACKGROUND}, so many readers are slower"
    if not mounted:
        fix = f"as root, before the mount: mount -t fusectl fusectl {_FUSECTL}"
        return warning(f"{text}: no fusectl", fix, **facts)
    fix = "mount as root; for one reader at a time it makes no difference"
    return warning(f"{text}: only root sets it", fix, **facts)
