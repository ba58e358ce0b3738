"""Checks before a mount: the mountpoint is usable, and this process may make FUSE mounts."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError
from cloudfs.system.mountpoints.passed import FUSE_DEVICE
from cloudfs.system.mountpoints.table import Mount, mount_at

_FUSE_CONF: Final = "/etc/fuse.conf"
_CAP_SYS_ADMIN: Final = 1 << 21


def check_mountpoint(path: Path) -> None:
    """Raise `UserError` unless the canonical `path` is an empty directory nothing is mounted on.

    May block while the daemon of a mount there hangs.
    """
    mount = mount_at(path)
    if mount is not None and mount.fstype != "autofs":
        raise UserError(ExitCode.MOUNTPOINT, _already_mounted(mount))
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISDIR(mode):
            problem = "is not a directory: give an empty directory as the mountpoint"
            raise UserError(ExitCode.MOUNTPOINT, f"{path} {problem}")
        # Listing an automount point would wait for the mount that is being made here.
        if mount is None and not _is_empty(path):
            problem = "is not empty, and a mount would hide its files: give an empty directory"
            raise UserError(ExitCode.MOUNTPOINT, f"{path} {problem}")
    except FileNotFoundError:
        fix = f"create it with 'mkdir -p {path}'"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} does not exist: {fix}") from None
    except OSError as error:
        fix = "give a directory that this user may read"
        raise UserError(ExitCode.MOUNTPOINT, f"{path}: {error.strerror}: {fix}") from None


def _already_mounted(mount: Mount) -> str:
    if mount.is_cloudfs:
        fix = f"unmount it with 'cloudfs umount {mount.path}' or choose another directory"
        return f"{mount.path} is already mounted by cloudfs, from {mount.source}: {fix}"
    holder = f"{mount.source} ({mount.fstype})"
    return f"{mount.path} is already the mountpoint of {holder}: choose another directory"


def _is_empty(path: Path) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is None


def check_fuse(*, allow_other: bool) -> None:
    """Raise `UserError` unless this process may make FUSE mounts with these settings."""
    if not os.path.exists(FUSE_DEVICE):
        fix = "run 'modprobe fuse', or start the container with '--device /dev/fuse'"
        raise UserError(ExitCode.FUSE, f"{FUSE_DEVICE} is missing: {fix}")
    if not os.access(FUSE_DEVICE, os.R_OK | os.W_OK):
        fix = f"run as root, or 'chmod 666 {FUSE_DEVICE}' as root"
        raise UserError(ExitCode.FUSE, f"{FUSE_DEVICE} may not be opened by this user: {fix}")
    if os.geteuid() == 0:
        _check_may_mount()
    elif shutil.which("fusermount3") is None:
        fix = "install the package fuse3"
        raise UserError(ExitCode.FUSE, f"fusermount3 is not installed: {fix}")
    elif allow_other and not _user_allow_other():
        fix = f"add the line 'user_allow_other' to {_FUSE_CONF} as root"
        raise UserError(ExitCode.FUSE, f"--allow-other is not permitted to this user: {fix}")


def _check_may_mount() -> None:
    """Refuse root without the capability, as in containers: the error of mount(2) says less."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        match = re.search(r"^CapEff:\s*([0-9a-f]+)", file.read(), re.MULTILINE)
    if match is not None and not int(match[1], 16) & _CAP_SYS_ADMIN:
        fix = "start the container with '--cap-add SYS_ADMIN --device /dev/fuse'"
        raise UserError(ExitCode.FUSE, f"this root user may not mount (no CAP_SYS_ADMIN): {fix}")


def _user_allow_other() -> bool:
    try:
        with open(_FUSE_CONF, encoding="utf-8", errors="replace") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False
