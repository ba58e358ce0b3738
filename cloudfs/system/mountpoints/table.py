"""The mount table of this namespace (/proc/self/mountinfo), and paths as it spells them.

No file system is asked for anything: a mount whose daemon hangs would hang the caller.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError
from cloudfs.system.mountpoints.passed import passed_descriptor

FSTYPE: Final = "fuse.cloudfs"

_MOUNTINFO: Final = "/proc/self/mountinfo"
_SYMLINKS_MAX: Final = 40


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
        """Return whether cloudfs serves it."""
        return self.fstype == FSTYPE

    @property
    def is_fuse(self) -> bool:
        """Return whether a userspace process serves it."""
        return self.fstype.split(".")[0] in {"fuse", "fuseblk"}


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


def device_at(path: Path) -> tuple[int, int] | None:
    """Return the device (major, minor) of the mount at the canonical `path`, None without one."""
    mount = mount_at(path)
    if mount is None:
        return None
    major, _, minor = mount.device.partition(":")
    return int(major), int(minor)


def canonical(path: str | os.PathLike[str]) -> Path:
    """Return `path` absolute and free of symbolic links, as mountinfo spells it.

    Of the last component only the link target is read: it may be a hung mount. A passed descriptor
    is returned as it is.
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
