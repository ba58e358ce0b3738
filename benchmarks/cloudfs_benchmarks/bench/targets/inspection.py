"""What a target is, before the first measurement."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import Kind, Target
from cloudfs_benchmarks.bench.targets import commandline, libnfs, tunings
from cloudfs_benchmarks.bench.targets.mounted import MountedTree
from cloudfs_benchmarks.bench.targets.mounts import (
    Mount,
    check_answers,
    mount_of,
    read_ahead_kb,
    without_secrets,
)
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.bench.targets.spec import TargetSpec
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.bench.targets.urls import SCHEME, parse_nfs

_LOCAL = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs"),
        *("overlay", "tmpfs", "ramfs", "vfat", "exfat", "ntfs3"),
    )
)
_READ_ONLY = frozenset((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP))
_GONE = frozenset((errno.ENOTCONN, errno.ECONNABORTED, errno.ESTALE))
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_OPTIONS = (
    *("memory_limit", "cache_dirs", "max_cache_size", "read_ahead", "kernel_read_ahead"),
    *("max_downloads", "compress", "eviction", "metadata_ttl"),
)


def inspect(spec: TargetSpec) -> Target:
    """Look at a target; nothing is left in it. `TargetError` in one line when it cannot be used.

    Whether it is writable is tried with one file, which is removed again. Does not hang on a mount
    whose server is gone.
    """
    if spec.location.startswith(SCHEME):
        return _inspect_export(spec)
    check_answers(spec.location)
    status = _status(spec)
    root = os.path.realpath(spec.location)
    mount = mount_of(root)
    kind = _kind(mount)
    read_ahead = read_ahead_kb(status.st_dev)
    return Target(
        name=spec.name,
        location=spec.location,
        kind=kind,
        filesystem=mount.filesystem,
        source=mount.source,
        options=mount.options,
        read_ahead_kb=read_ahead,
        writable=_is_writable(spec, MountedTree(root)),
        free_bytes=_free_bytes(root, kind),
        settings=_daemon_settings(mount) if kind is Kind.CLOUDFS else {},
        tunings_missing=(tunings.missing(mount.options, read_ahead) if kind is Kind.NFS else None),
    )


def _inspect_export(spec: TargetSpec) -> Target:
    url = parse_nfs(spec.location)
    tree = NfsTree(spec.location)
    try:
        tree.entries("")
        writable, free_bytes = _is_writable(spec, tree), tree.free_bytes()
    except OSError as error:
        raise TargetError(
            f"target {spec.name}: cannot read {spec.location} ({error.strerror}): check the "
            "export's path and its permissions"
        ) from error
    finally:
        tree.close()
    return Target(
        name=spec.name,
        location=spec.location,
        kind=Kind.LIBNFS,
        filesystem=f"nfs version {url.version}",
        source=f"{url.server}:{url.path}",
        options=url.query,
        read_ahead_kb=None,
        writable=writable,
        free_bytes=free_bytes,
        settings={"library": libnfs.version() or "", "protocol": f"NFS version {url.version}"},
        tunings_missing=tunings.OF_LIBNFS,
    )


def _status(spec: TargetSpec) -> os.stat_result:
    where = f"target {spec.name}: {spec.location}"
    try:
        status = os.stat(spec.location)
        with os.scandir(spec.location) as names:
            next(names, None)
    except FileNotFoundError:
        raise TargetError(f"{where} does not exist: make it, or name another directory") from None
    except NotADirectoryError:
        raise TargetError(
            f"{where} is not a directory: name the directory that has the data"
        ) from None
    except OSError as error:
        if error.errno in _GONE:
            raise TargetError(
                f"{where} is a mount whose process is gone: unmount it with 'umount -l "
                f"{spec.location}' ('cloudfs umount' for cloudfs) and mount it again"
            ) from None
        raise TargetError(
            f"{where} cannot be read ({error.strerror}): run as a user who may, or change its "
            "permissions"
        ) from error
    return status


def _kind(mount: Mount) -> Kind:
    if mount.filesystem == "fuse.cloudfs":
        return Kind.CLOUDFS
    if mount.filesystem in ("nfs", "nfs4"):
        return Kind.NFS
    if mount.filesystem.startswith("fuse"):
        # fuseblk is a local disk whose filesystem is in userspace.
        return Kind.LOCAL if mount.filesystem == "fuseblk" else Kind.FUSE
    return Kind.LOCAL if mount.filesystem in _LOCAL else Kind.OTHER


def _is_writable(spec: TargetSpec, tree: Tree) -> bool:
    probe = f".cloudfs-bench-probe-{os.getpid()}"
    try:
        tree.write(probe, (), sync=False)
        tree.remove(probe)
    except OSError as error:
        if error.errno in _READ_ONLY:
            return False
        if error.errno in _FULL or isinstance(error, FileExistsError):
            return True
        raise TargetError(
            f"target {spec.name}: cannot create a file in {spec.location} ({error.strerror}): "
            "check its mount"
        ) from error
    return True


def _free_bytes(path: str, kind: Kind) -> int | None:
    if kind is Kind.CLOUDFS:
        return None  # a bucket has no end
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _daemon_settings(mount: Mount) -> Mapping[str, str]:
    document = commandline.status(mount.path)
    options = document.get("options", {})
    capacity = sum(
        int(disk.get("capacity_bytes", 0)) for disk in document.get("disks", {}).values()
    )
    found: dict[str, Any] = {
        "url": without_secrets(str(document.get("url", ""))),
        "version": document.get("version"),
        "health": document.get("health"),
        "cache_capacity": f"{capacity / 2**30:.0f} GiB",
        **{name: options.get(name) for name in _OPTIONS},
    }
    return {name: _text(value) for name, value in found.items() if value is not None}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
