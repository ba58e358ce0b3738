"""`cloudfs umount`: end a mount and wait until its process has released cache and locks.

Neither the store nor credentials are needed.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import Final

import click

from cloudfs.cli.arguments import completion
from cloudfs.cli.client import is_stopped
from cloudfs.cli.errors import say
from cloudfs.config import settings
from cloudfs.control import sockets
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints
from cloudfs.system.mountpoints import BusyError

NOTICE_S_MAX: Final = 6.0
END_S_MAX: Final = 15.0


@click.command("umount", short_help="End a mount.")
@click.argument(
    "mountpoint",
    metavar="[MOUNTPOINT]",
    required=False,
    shell_complete=completion.mountpoints,
)
@click.option(
    "--config",
    "name",
    metavar="NAME|FILE",
    help="Take the mountpoint from this TOML file when none is given.",
    shell_complete=completion.configurations,
)
@click.option(
    "-z", "--lazy", is_flag=True, help="Detach it even while it is used, and do not wait."
)
def command(mountpoint: str | None, *, name: str | None, lazy: bool) -> None:
    """End the mount at MOUNTPOINT and wait until its process has ended.

    Of the file of --config only the mountpoint is used.
    """
    path = _path(mountpoint, name)
    _require_cloudfs(path)
    # A command typed inside the mount must not be what keeps it busy.
    os.chdir("/")
    process = _process(path)
    try:
        _unmount(path, process, lazy=lazy)
        if process is not None and not lazy:
            _wait_for_end(process, path)
    finally:
        if process is not None:
            os.close(process)


def _path(mountpoint: str | None, name: str | None) -> Path:
    if mountpoint is not None:
        return mountpoints.canonical(mountpoint)
    if name is None:
        fix = "write it behind the command, or name its configuration with --config"
        raise UserError(ExitCode.USAGE, f"no MOUNTPOINT given: {fix}")
    return settings.mountpoint_of(name, os.environ)


def _require_cloudfs(path: Path) -> None:
    """Raise `UserError` unless cloudfs is mounted at `path`: other mounts are left alone."""
    mount = mountpoints.mount_at(path)
    if mount is None:
        raise mountpoints.not_mounted(path)
    if not mount.is_cloudfs:
        message = f"{path} is a mount of type {mount.fstype}, not of cloudfs: use umount(8)"
        raise UserError(ExitCode.NOT_MOUNTED, message)


def _process(path: Path) -> int | None:
    """Return a pidfd of the daemon, None without one. The pid may be reused, a pidfd is not."""
    pid = sockets.daemon_pid(path)
    try:
        return None if pid is None else os.pidfd_open(pid)
    except OSError:
        return None


def _unmount(path: Path, process: int | None, *, lazy: bool) -> None:
    """Unmount; a busy mount is ended by its daemon, which detaches it and fails open reads."""
    try:
        mountpoints.unmount(path, lazy=lazy)
    except BusyError:
        if process is not None:
            users = ", ".join(mountpoints.holders(path)) or "some process"
            say(f"{path} was in use by {users}: ended it all the same, what they still read fails")
            signal.pidfd_send_signal(process, signal.SIGTERM)
        elif mountpoints.is_dead(path):
            mountpoints.unmount(path, lazy=True)
        else:
            raise


def _wait_for_end(process: int, path: Path) -> None:
    """Wait for the daemon; signal one that does not notice the unmount because it is still mounted
    in another mount namespace (a container's)."""
    if _ends_within(process, NOTICE_S_MAX):
        return
    signal.pidfd_send_signal(process, signal.SIGTERM)
    if not _ends_within(process, END_S_MAX):
        message = f"{path} is unmounted but its process has not ended in {END_S_MAX:g} s"
        raise UserError(ExitCode.TIMEOUT, f"{message}: {_fix_of(sockets.daemon_pid(path))}")


def _fix_of(pid: int | None) -> str:
    if pid is None:
        return "look at its log"
    if is_stopped(pid):
        return f"it is stopped, let it go on with 'kill -CONT {pid}'"
    return f"look at its log, or kill process {pid}"


def _ends_within(process: int, seconds: float) -> bool:
    return bool(select.select([process], [], [], seconds)[0])
