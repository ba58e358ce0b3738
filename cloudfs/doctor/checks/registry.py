"""The registry of checks, in their order and with their dependencies."""

from __future__ import annotations

from functools import partial
from typing import Final

from cloudfs.doctor.checks.cache import cache
from cloudfs.doctor.checks.config import config
from cloudfs.doctor.checks.disk import disk
from cloudfs.doctor.checks.fuse import fuse, fuse_conf, fusermount
from cloudfs.doctor.checks.kernel import background, kernel, read_ahead
from cloudfs.doctor.checks.limits import memory, open_files, threads
from cloudfs.doctor.checks.mountpoint import mountpoint
from cloudfs.doctor.checks.network import clock, reach
from cloudfs.doctor.checks.read import byte_path, read, versions
from cloudfs.doctor.checks.setup import setup
from cloudfs.doctor.checks.speed import bandwidth, latency
from cloudfs.doctor.checks.store import features, identity, listing, region
from cloudfs.doctor.report import Section
from cloudfs.doctor.runner import Check
from cloudfs.errors import ExitCode

_HANGS: Final = "something of the system hangs: 'dmesg' and 'ps -eo pid,stat,wchan,args' have more"
_DISK_HANGS: Final = "the disk hangs: see 'dmesg', or give another --cache-dir"
_MOUNT_HANGS: Final = "a mount there hangs: end it with 'cloudfs umount --lazy', or as root"

_Local = partial(
    Check,
    section=Section.MACHINE,
    timeout_code=ExitCode.FUSE,
    timeout_fix=_HANGS,
)
_OfDisk = partial(
    Check,
    section=Section.MACHINE,
    timeout_code=ExitCode.CACHE,
    timeout_fix=_DISK_HANGS,
)

MACHINE_CHECKS: Final = (
    _Local("config", config, required=False),
    _Local("fuse", fuse),
    _Local("fusermount", fusermount),
    _Local("fuse-conf", fuse_conf),
    _Local("kernel", kernel, required=False),
    _Local("read-ahead", read_ahead, required=False),
    _Local("background", background, required=False),
    _Local("files", open_files, required=False),
    _Local("threads", threads, required=False),
    _Local("memory", memory, required=False),
    _OfDisk("cache", cache, timeout_s=5.0),
    _OfDisk("disk", disk, frozenset({"cache"}), timeout_s=15.0, required=False),
    Check(
        "mountpoint",
        mountpoint,
        timeout_s=5.0,
        section=Section.MACHINE,
        timeout_code=ExitCode.MOUNTPOINT,
        timeout_fix=_MOUNT_HANGS,
    ),
)
"""Checks that need no store."""

STORE_CHECKS: Final = (
    Check("setup", setup),
    Check("reach", reach, frozenset({"setup"}), timeout_s=20.0),
    Check("clock", clock, frozenset({"reach"})),
    Check("identity", identity, frozenset({"reach"}), timeout_s=15.0, required=False),
    Check("list", listing, frozenset({"identity"}), timeout_s=15.0),
    Check("read", read, frozenset({"list"}), timeout_s=15.0),
    Check("versions", versions, frozenset({"read"})),
    Check("bytes", byte_path, frozenset({"read"}), required=False),
    Check("region", region, frozenset({"list"}), required=False),
    Check("features", features, frozenset({"list"}), required=False),
    Check("latency", latency, frozenset({"read"}), required=False),
    Check("bandwidth", bandwidth, frozenset({"read"}), required=False),
)
"""Checks that need a URL."""
