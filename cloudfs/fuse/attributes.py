"""Attributes of inodes as the kernel receives them."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Final

import pyfuse3

from cloudfs.vfs.inode import Inode

_BLKSIZE_BYTES: Final = 128 << 10
_ST_BLOCK_BYTES: Final = 512
_TTL_S_MAX: Final = 10 * 365 * 86400.0
"""The kernel takes no infinity."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The owner and the permission bits that every inode shows."""

    uid: int
    gid: int
    file_mode: int
    dir_mode: int


def encode(
    inode: Inode, ttls_s: tuple[float, float], ownership: Ownership
) -> pyfuse3.EntryAttributes:
    """Return the attributes of an inode. `ttls_s`: those of its name and of its attributes."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = pyfuse3.InodeT(inode.ino)
    entry.st_uid, entry.st_gid = ownership.uid, ownership.gid
    entry.st_blksize = _BLKSIZE_BYTES
    entry_ttl_s, attributes_ttl_s = ttls_s
    entry.entry_timeout = min(entry_ttl_s, _TTL_S_MAX)
    entry.attr_timeout = min(attributes_ttl_s, _TTL_S_MAX)
    if inode.is_directory:
        entry.st_mode = pyfuse3.ModeT(stat.S_IFDIR | ownership.dir_mode)
        entry.st_nlink = 2
        return entry
    info = inode.info
    assert info is not None
    entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | ownership.file_mode)
    entry.st_nlink = 0 if inode.is_stale else 1
    entry.st_size = info.size
    entry.st_blocks = -(-info.size // _ST_BLOCK_BYTES)
    entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = info.mtime_ns
    return entry


def encode_missing(ttl_s: float) -> pyfuse3.EntryAttributes:
    """Return the negative entry of a name: with inode 0 the kernel caches that it is missing."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = pyfuse3.InodeT(0)
    entry.entry_timeout = min(ttl_s, _TTL_S_MAX)
    return entry
