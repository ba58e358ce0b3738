"""Mountpoints as the kernel sees them: the mount table, checks before a mount, and unmounting.

Nothing here asks a file system for anything unless its docstring says so, because a mount whose
daemon hangs would hang the caller. This module does not know the daemon or its control socket.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import select
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError

FSTYPE: Final = "fuse.cloudfs"

_MOUNTINFO: Final = "/proc/self/mountinfo"
_FUSE_DEVICE: Final = "/dev/fuse"
_FUSE_DEVICE_NUMBER: Final = os.makedev(10, 229)
_FUSE_CONF: Final = "/etc/fuse.conf"
_CAP_SYS_ADMIN: Final = 1 << 21
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8
_FUSERMOUNT_TIMEOUT_S: Final = 30
_STACKED_MOUNTS_MAX: Final = 16
_SYMLINKS_MAX: Final = 40
_HOLDERS_NAMED: Final = 3
_PASSED: Final = re.compile(r"/dev/fd/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    path: Path
    device: str
    """`major:minor`, as the folders of /sys/class/bdi are named."""
    fstype: str
    source: str

    @property
    def is_cloudfs(self) -> bool:
        """Whether cloudfs serves it."""
        return self.fstype == FSTYPE

    @property
    def is_fuse(self) -> bool:
        """Whether a userspace process serves it."""
        return self.fstype.split(".")[0] in {"fuse", "fuseblk"}


class BusyError(UserError):
    """A file system that cannot be unmounted because processes use it."""


def parse_mountinfo(text: bytes) -> list[Mount]:
    """Return the mounts in the order of the kernel: of two at one path, the later one is on top."""
    return [_parse_line(line) for line in text.splitlines() if b" - " in line]


def _parse_line(line: bytes) -> Mount:
    before, _, after = line.partition(b" - ")
    fields = before.split(b" ")
    fstype, source = after.split(b" ")[:2]
    return Mount(
        path=Path(_unescape(fields[4])),
        device=fields[2].decode("ascii"),
        fstype=_unescape(fstype),
        source=_unescape(source),
    )


def _unescape(field: bytes) -> str:
    """Undo the kernel's octal escapes of blanks, backslashes and `#`."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8) & 255]), field))


def mounts() -> list[Mount]:
    """Return the mounts of this mount namespace."""
    with open(_MOUNTINFO, "rb") as file:
        return parse_mountinfo(file.read())


def cloudfs_mounts() -> list[Mount]:
    """Return the mounts that cloudfs serves in this mount namespace."""
    return [mount for mount in mounts() if mount.is_cloudfs]


def mount_at(path: Path) -> Mount | None:
    """Return the topmost mount at the canonical `path`."""
    return next((mount for mount in reversed(mounts()) if mount.path == path), None)


def passed_descriptor(path: str | os.PathLike[str]) -> int | None:
    """Return N of `/dev/fd/N`, a FUSE device that the caller has opened and mounted; else None."""
    match = _PASSED.fullmatch(os.fspath(path))
    return None if match is None else int(match[1])


def check_passed(descriptor: int) -> None:
    """Raise `UserError` unless `descriptor` is a FUSE device that this process can serve.

    No child inherits it from then on: one that outlives this process would keep the mount alive.
    """
    path = f"/dev/fd/{descriptor}"
    try:
        device = os.fstat(descriptor)
    except OSError:
        fix = f"open {_FUSE_DEVICE} and let this process inherit it"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} is not open: {fix}") from None
    if not stat.S_ISCHR(device.st_mode) or device.st_rdev != _FUSE_DEVICE_NUMBER:
        fix = f"pass a descriptor of {_FUSE_DEVICE}"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} is not a FUSE device: {fix}")
    poll = select.poll()
    poll.register(descriptor)
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        fix = f"call mount(2) with fd={descriptor} first"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} is not mounted: {fix}")
    os.set_inheritable(descriptor, False)


def device_of(descriptor: int) -> tuple[int, int] | None:
    """Return the device (major, minor) of the mount that a FUSE descriptor serves.

    None before Linux 6.18, which does not tell.
    """
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
        match = re.search(r"^fuse_connection:\s*([0-9]+)", file.read(), re.MULTILINE)
    if match is None:
        return None
    # As the kernel encodes it, not as stat(2) does.
    return divmod(int(match[1]), 1 << 20)


def device_at(path: Path) -> tuple[int, int] | None:
    """Return the device (major, minor) of the mount at the canonical `path`, None without one."""
    mount = mount_at(path)
    if mount is None:
        return None
    major, _, minor = mount.device.partition(":")
    return int(major), int(minor)


def canonical(path: str | os.PathLike[str]) -> Path:
    """Return `path` absolute and free of symbolic links, as mountinfo spells it.

    The last component is never asked for anything but its link target: it may be a hung mount.
    A passed descriptor is returned as it is.
    """
    if passed_descriptor(path) is not None:
        return Path(path)
    current = os.path.abspath(path)
    for _ in range(_SYMLINKS_MAX):
        parent, name = os.path.split(current)
        current = os.path.join(os.path.realpath(parent), name)
        try:
            target = os.readlink(current)
        except OSError:
            return Path(current)
        current = os.path.normpath(os.path.join(os.path.dirname(current), target))
    raise UserError(ExitCode.MOUNTPOINT, f"{path}: too many symbolic links: give the real path")


def is_dead(path: Path) -> bool:
    """Say whether the daemon of the FUSE mount at `path` is gone. May block while it hangs."""
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
        # Looking into an automount point would wait for the mount that is being made here.
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
    if not os.path.exists(_FUSE_DEVICE):
        fix = "run 'modprobe fuse', or start the container with '--device /dev/fuse'"
        raise UserError(ExitCode.FUSE, f"{_FUSE_DEVICE} is missing: {fix}")
    if not os.access(_FUSE_DEVICE, os.R_OK | os.W_OK):
        fix = f"run as root, or 'chmod 666 {_FUSE_DEVICE}' as root"
        raise UserError(ExitCode.FUSE, f"{_FUSE_DEVICE} may not be opened by this user: {fix}")
    if os.geteuid() == 0:
        _check_may_mount()
    elif shutil.which("fusermount3") is None:
        fix = "install the package fuse3"
        raise UserError(ExitCode.FUSE, f"fusermount3 is not installed: {fix}")
    elif allow_other and not _user_allow_other():
        fix = f"add the line 'user_allow_other' to {_FUSE_CONF} as root"
        raise UserError(ExitCode.FUSE, f"--allow-other is not permitted to this user: {fix}")


def _check_may_mount() -> None:
    """Refuse a root without the capability, as containers have it: mount(2) would say less."""
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
    """Return the error that says there is nothing to unmount or to show at `path`."""
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


def holders(path: Path) -> list[str]:
    """Return `name (pid)` of the processes seen to use something at or below `path`.

    Processes of other users stay unseen unless this one is root.
    """
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if any(_is_below(target, path) for target in _targets(pid)):
            found.append(f"{_process_name(pid)} ({pid})")
    return found


def _targets(pid: str) -> Iterator[str]:
    """Yield what the working folder, root and open files of a process point to."""
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
