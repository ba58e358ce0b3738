"""The check of the mountpoint, by the rules of `cloudfs mount`. Nothing is unmounted or cleared."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.settings import NO_MOUNTPOINT, NO_URL
from cloudfs.control import sockets
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, skipped, user_error, warning
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints

PROFILE: Final = Path("/etc/apparmor.d/fusermount3")
_PROFILE_LOCAL: Final = Path("/etc/apparmor.d/local/fusermount3")
_APPARMOR: Final = Path("/sys/module/apparmor/parameters/enabled")
_PROFILE_PERMITS: Final = ("/home", "/mnt", "/media", "/tmp", "/cvmfs", "/run/user")


async def mountpoint(context: Context) -> Finding:
    """Check the mountpoint; if a mount there hangs, the check times out."""
    if context.settings.mountpoint == NO_MOUNTPOINT:
        return skipped("none was given")
    return await trio.to_thread.run_sync(_examine, context, abandon_on_cancel=True)


def _examine(context: Context) -> Finding:
    path, url = context.settings.mountpoint, context.settings.url
    facts = {"mountpoint": str(path)}
    if mountpoints.passed_descriptor(path) is not None:
        return ok(f"{path} is mounted by the caller", **facts)
    mount = mountpoints.mount_at(path)
    # A served mount is not accessed: it may hang.
    if mount is not None and mount.is_cloudfs and (pid := sockets.daemon_pid(path)):
        return _served(path, mount.source, pid, url)
    if mount is not None and mount.is_fuse and mountpoints.is_dead(path):
        fix = f"mount it again, or clear it with 'cloudfs umount {path}'"
        return warning(f"{path}: the process of the mount there is gone", fix, **facts)
    try:
        mountpoints.check_mountpoint(path)
    except UserError as error:
        return user_error(error, **facts)
    if os.geteuid() != 0:
        return _for_fusermount(path, facts)
    return ok(f"{path} is an empty directory", **facts)


def _served(path: Path, source: str, pid: int, url: str) -> Finding:
    """Return the finding for a mount with a daemon, which may be the one that is examined."""
    facts = {"mountpoint": str(path)}
    if url in {source, NO_URL}:
        return ok(f"{path} is mounted already, by process {pid}", **facts)
    problem = f"{path} is already mounted by cloudfs process {pid}, from {source}"
    fix = f"unmount it with 'cloudfs umount {path}' or choose another directory"
    return failure(ExitCode.MOUNTPOINT, problem, fix, **facts)


def _for_fusermount(path: Path, facts: dict[str, str]) -> Finding:
    """Return the finding by the rules of fusermount3, for users other than root."""
    status, user = path.stat(), os.geteuid()
    if not os.access(path, os.W_OK, effective_ids=True):
        problem = f"{path}: this user may not write to it, so fusermount3 refuses to mount there"
        return failure(ExitCode.MOUNTPOINT, problem, f"as root: chown {user} {path}", **facts)
    if status.st_mode & stat.S_ISVTX and status.st_uid != user:
        problem = f"{path} is sticky and another user's, so fusermount3 refuses to mount there"
        return failure(ExitCode.MOUNTPOINT, problem, "give a directory of your own", **facts)
    if not any(path.is_relative_to(folder) for folder in _permitted()):
        problem = f"{path}: AppArmor's profile of fusermount3 may refuse to mount there"
        fix = f"mount below /mnt or your home, or permit it in {_PROFILE_LOCAL}"
        return warning(problem, fix, **facts)
    return ok(f"{path} is an empty directory that this user may mount on", **facts)


def _permitted() -> Iterator[str]:
    """Yield where AppArmor lets fusermount3 mount: anywhere, unless Ubuntu's profile is there."""
    try:
        enabled = _APPARMOR.read_text(encoding="ascii").strip() == "Y"
    except OSError:
        enabled = False
    # An administrator who has local rules knows the profile.
    if not enabled or not PROFILE.exists() or _PROFILE_LOCAL.exists():
        yield "/"
    yield from _PROFILE_PERMITS
    yield os.path.expanduser("~")
