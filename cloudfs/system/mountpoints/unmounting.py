"""Unmounting: orderly, lazy, and of mounts whose daemon is gone.

Functions that ask the file system itself, and so may block while its daemon hangs, say so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError
from cloudfs.system.mountpoints.table import mount_at

_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8
_FUSERMOUNT_TIMEOUT_S: Final = 30
_STACKED_MOUNTS_MAX: Final = 16
_HOLDERS_NAMED: Final = 3


class BusyError(UserError):
    """A file system that cannot be unmounted because processes use it."""


def unmount(path: Path, *, lazy: bool = False) -> None:
    """Unmount what is on top at the canonical `path`; `lazy` detaches it even while it is used.

    Raises `BusyError` while processes use it, other `UserError` when it cannot be done.
    """
    problem = _umount2(path, lazy=lazy) if os.geteuid() == 0 else errno.EPERM
    if problem == errno.EPERM:
        _fusermount(path, lazy=lazy)
    elif problem == errno.EBUSY:
        raise _busy(path)
    elif problem == errno.EINVAL:
        raise not_mounted(path)
    elif problem:
        reason = os.strerror(problem)
        raise UserError(ExitCode.MOUNTPOINT, f"cannot unmount {path}: {reason}: see 'dmesg'")


def not_mounted(path: Path) -> UserError:
    """Return the error of a command whose `path` is no cloudfs mount."""
    fix = "'cloudfs status' lists the mounts"
    return UserError(ExitCode.NOT_MOUNTED, f"cloudfs is not mounted at {path}: {fix}")


def _umount2(path: Path, *, lazy: bool) -> int:
    """Call umount2(2) and return its errno, 0 when it worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    return 0 if libc.umount2(os.fsencode(path), flags) == 0 else ctypes.get_errno()


def _fusermount(path: Path, *, lazy: bool) -> None:
    program = shutil.which("fusermount3")
    if program is None:
        raise UserError(ExitCode.FUSE, "fusermount3 is not installed: install the package fuse3")
    command = [program, "-u", *(["-z"] if lazy else []), "--", os.fspath(path)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=_FUSERMOUNT_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        fix = "try again with --lazy"
        raise UserError(ExitCode.TIMEOUT, f"fusermount3 does not end: {fix}") from None
    if done.returncode:
        said = os.fsdecode(done.stderr).strip()
        if "busy" in said:
            raise _busy(path)
        fix = "unmount it as the user who mounted it, or as root"
        raise UserError(ExitCode.MOUNTPOINT, f"cannot unmount {path}: {said}: {fix}")


def _busy(path: Path) -> BusyError:
    named = ", ".join(holders(path)[:_HOLDERS_NAMED])
    users = f"in use by {named}" if named else "in use"
    fix = "end them, or detach it with 'cloudfs umount --lazy'"
    return BusyError(ExitCode.MOUNTPOINT, f"{path} is {users}: {fix}")


def is_dead(path: Path) -> bool:
    """Return whether the daemon of the FUSE mount at `path` is gone. May block while it hangs."""
    try:
        # Not stat: the kernel may answer that from its cache for minutes after the daemon died.
        os.statvfs(path)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def clear_dead(path: Path) -> int:
    """Detach the FUSE mounts at the canonical `path` whose daemon is gone; return how many.

    May block while the daemon of a mount there hangs.
    """
    for cleared in range(_STACKED_MOUNTS_MAX):
        mount = mount_at(path)
        if mount is None or not mount.is_fuse or not is_dead(path):
            return cleared
        unmount(path, lazy=True)
    return _STACKED_MOUNTS_MAX


def holders(path: Path) -> list[str]:
    """Return `name (pid)` of the other processes that use something at or below `path`.

    Only root sees those of other users. This process is left out: it may have inherited a file.
    """
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid != str(os.getpid()) and any(_is_below(target, path) for target in _targets(pid)):
            found.append(f"{_process_name(pid)} ({pid})")
    return found


def _targets(pid: str) -> Iterator[str]:
    """Yield the link targets of the working folder, root and open files of a process."""
    folder = f"/proc/{pid}"
    links = [f"{folder}/cwd", f"{folder}/root"]
    try:
        links += [f"{folder}/fd/{number}" for number in os.listdir(f"{folder}/fd")]
    except OSError:
        return
    for link in links:
        try:
            yield os.readlink(link)
        except OSError:
            continue


def _is_below(target: str, path: Path) -> bool:
    return target == str(path) or target.startswith(f"{path}/")


def _process_name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "process"
