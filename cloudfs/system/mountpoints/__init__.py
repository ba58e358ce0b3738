"""Mountpoints: the mount table, checks before a mount, and unmounting. Knows no daemon."""

from cloudfs.system.mountpoints.checks import check_fuse, check_mountpoint
from cloudfs.system.mountpoints.passed import check_passed, device_of, passed_descriptor
from cloudfs.system.mountpoints.table import (
    FSTYPE,
    Mount,
    canonical,
    cloudfs_mounts,
    device_at,
    mount_at,
    mounts,
    parse_mountinfo,
)
from cloudfs.system.mountpoints.unmounting import (
    BusyError,
    clear_dead,
    holders,
    is_dead,
    not_mounted,
    unmount,
)

__all__ = [
    "FSTYPE",
    "BusyError",
    "Mount",
    "canonical",
    "check_fuse",
    "check_mountpoint",
    "check_passed",
    "clear_dead",
    "cloudfs_mounts",
    "device_at",
    "device_of",
    "holders",
    "is_dead",
    "mount_at",
    "mounts",
    "not_mounted",
    "parse_mountinfo",
    "passed_descriptor",
    "unmount",
]
