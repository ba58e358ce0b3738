"""Mountpoints `/dev/fd/N`: a FUSE device that the caller has opened and mounted."""

from __future__ import annotations

import os
import re
import select
import stat
from typing import Final

from cloudfs.errors import ExitCode, UserError

FUSE_DEVICE: Final = "/dev/fuse"

_FUSE_DEVICE_NUMBER: Final = os.makedev(10, 229)
_PATH: Final = re.compile(r"/dev/fd/([0-9]{1,9})")


def passed_descriptor(path: str | os.PathLike[str]) -> int | None:
    """Return N of `/dev/fd/N`, a FUSE device that the caller has opened and mounted; else None."""
    match = _PATH.fullmatch(os.fspath(path))
    return None if match is None else int(match[1])


def check_passed(descriptor: int) -> None:
    """Raise `UserError` unless `descriptor` is a FUSE device that this process can serve.

    Children do not inherit it from then on: one that outlives this process would keep the mount
    alive.
    """
    path = f"/dev/fd/{descriptor}"
    try:
        device = os.fstat(descriptor)
    except OSError:
        fix = f"open {FUSE_DEVICE} and let this process inherit it"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} is not open: {fix}") from None
    if not stat.S_ISCHR(device.st_mode) or device.st_rdev != _FUSE_DEVICE_NUMBER:
        fix = f"pass a descriptor of {FUSE_DEVICE}"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} is not a FUSE device: {fix}")
    poll = select.poll()
    poll.register(descriptor)
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        fix = f"call mount(2) with fd={descriptor} first"
        raise UserError(ExitCode.MOUNTPOINT, f"{path} is not mounted: {fix}")
    os.set_inheritable(descriptor, False)


def device_of(descriptor: int) -> tuple[int, int] | None:
    """Return the device (major, minor) of the mount that a FUSE descriptor serves.

    None before Linux 6.18, which does not report it.
    """
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
        match = re.search(r"^fuse_connection:\s*([0-9]+)", file.read(), re.MULTILINE)
    if match is None:
        return None
    # As the kernel encodes it, not as stat(2) does.
    return divmod(int(match[1]), 1 << 20)
