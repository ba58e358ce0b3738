"""Blocking reads and writes of the SSD tier's files. Worker threads only; no shared state.

Blocks move between the caller's page-aligned buffers and the disk with O_DIRECT, so the cache file
takes no page cache and each byte is touched once. File systems without O_DIRECT (some tmpfs and
overlay mounts) are read and written through the page cache, which is dropped behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Sequence

import xxhash

from cloudfs_cache import disk_index
from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.disk_object import DiskObject

_ALIGN = 4096
_FALLOC_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_NO_DIRECT_IO = {errno.EINVAL, errno.EOPNOTSUPP}


def aligned(length: int) -> int:
    """`length` rounded up to what O_DIRECT accepts: the bytes a block occupies."""
    return -(-length // _ALIGN) * _ALIGN


def load_index(path: str, version: ObjectVersion) -> dict[int, int]:
    """Return the checksums by block index; empty when there is no sound index of this version.

    A damaged or foreign index is removed, a torn tail is cut off.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    decoded = disk_index.decode(data, version)
    if decoded is None:
        os.unlink(path)
        return {}
    checksums, sound = decoded
    if sound < len(data):
        os.truncate(path, sound)
    return checksums


def read_blocks(
    path: str, first: int, buffers: Sequence[memoryview], lengths: Sequence[int]
) -> list[int | None]:
    """Read adjacent blocks into their buffers; return checksums, None where it is missing."""
    views = [buffer[: aligned(n)] for buffer, n in zip(buffers, lengths, strict=True)]
    try:
        fd, direct = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return [None] * len(lengths)
    try:
        try:
            got = _preadv_all(fd, views, first * BLOCK_BYTES)
        except OSError as error:
            if not direct or error.errno not in _NO_DIRECT_IO:
                raise
            os.close(fd)
            fd, direct = os.open(path, os.O_RDONLY | os.O_CLOEXEC), False
            got = _preadv_all(fd, views, first * BLOCK_BYTES)
        if not direct:
            os.posix_fadvise(fd, first * BLOCK_BYTES, got, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    checksums: list[int | None] = []
    for buffer, length in zip(buffers, lengths, strict=True):
        complete = got >= length
        checksums.append(xxhash.xxh3_64_intdigest(buffer[:length]) if complete else None)
        got -= aligned(length)
    return checksums


def write_blocks(
    held: DiskObject, first: int, buffers: Sequence[memoryview], lengths: Sequence[int]
) -> list[int]:
    """Write adjacent blocks, then their records; return the checksums.

    A buffer's bytes beyond its length are written too, up to the alignment: they are never read.
    """
    views = [buffer[: aligned(n)] for buffer, n in zip(buffers, lengths, strict=True)]
    offset = first * BLOCK_BYTES
    fd, direct = _open(held.data_path, os.O_WRONLY | os.O_CREAT)
    try:
        try:
            _pwritev_all(fd, views, offset)
        except OSError as error:
            if not direct or error.errno not in _NO_DIRECT_IO:
                raise
            os.close(fd)
            fd, direct = os.open(held.data_path, os.O_WRONLY | os.O_CLOEXEC), False
            _pwritev_all(fd, views, offset)
        if not direct:
            os.fdatasync(fd)
            os.posix_fadvise(fd, offset, sum(map(len, views)), os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    checksums = [
        xxhash.xxh3_64_intdigest(buffer[:n]) for buffer, n in zip(buffers, lengths, strict=True)
    ]
    records = disk_index.encode_present(enumerate(checksums, first))
    _append(held.index_path, held.version, records)
    return checksums


def remove_object(data_path: str, index_path: str) -> None:
    """Delete both files. The index goes first: without it the data is never read."""
    for path in (index_path, data_path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def punch_blocks(data_path: str, index_path: str, indices: Sequence[int]) -> None:
    """Give the space of some blocks back and record that they are gone."""
    with open(index_path, "ab") as index:
        index.write(disk_index.encode_evicted(indices))
    fd = os.open(data_path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        start, length = min(indices) * BLOCK_BYTES, (max(indices) - min(indices) + 1) * BLOCK_BYTES
        _fallocate(fd, _FALLOC_PUNCH_HOLE_KEEP_SIZE, start, length)
    finally:
        os.close(fd)


def _append(index_path: str, version: ObjectVersion, records: bytes) -> None:
    fd = os.open(index_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_size == 0:
            records = disk_index.encode_header(version) + records
        if os.write(fd, records) != len(records):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), index_path)
    finally:
        os.close(fd)


def _open(path: str, flags: int) -> tuple[int, bool]:
    try:
        return os.open(path, flags | os.O_DIRECT | os.O_CLOEXEC, 0o600), True
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return _open(path, flags)
    except OSError as error:
        if error.errno not in _NO_DIRECT_IO:
            raise
        return os.open(path, flags | os.O_CLOEXEC, 0o600), False


def _preadv_all(fd: int, views: Sequence[memoryview], offset: int) -> int:
    """Fill the views from `offset`; return how many bytes there were before the end of file."""
    wanted = sum(map(len, views))
    got = 0
    while got < wanted:
        step = os.preadv(fd, _rest(views, got), offset + got)
        if step == 0 or step % _ALIGN:
            return got + step
        got += step
    return got


def _pwritev_all(fd: int, views: Sequence[memoryview], offset: int) -> None:
    wanted = sum(map(len, views))
    done = 0
    while done < wanted:
        done += os.pwritev(fd, _rest(views, done), offset + done)


def _rest(views: Sequence[memoryview], skip: int) -> list[memoryview]:
    rest = []
    for view in views:
        if skip < len(view):
            rest.append(view[skip:])
        skip = max(0, skip - len(view))
    return rest


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if _libc.fallocate(fd, mode, offset, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
