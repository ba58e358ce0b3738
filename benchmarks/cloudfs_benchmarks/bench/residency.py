"""How much of a file is in the page cache, asked of the kernel without reading it."""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import stat
from collections.abc import Iterable, Sequence

_SAMPLE_MAX = 64
_SYS_CACHESTAT = 451  # on every architecture; since Linux 6.5


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _CacheStat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


def spread(paths: Sequence[str], most: int = _SAMPLE_MAX) -> list[str]:
    """At most `most` of the paths, spread evenly over them, with the first and the last."""
    if len(paths) <= most:
        return list(paths)
    return [paths[index * (len(paths) - 1) // (most - 1)] for index in range(most)]


def resident_share(paths: Iterable[str]) -> float | None:
    """The share of the files' pages that the page cache has, 0 to 1.

    None where there are no pages, or where the kernel does not tell this user: of files that are
    not one's own it does not, and says that everything is there.
    """
    resident = pages = 0
    for path in paths:
        found = _pages(path)
        if found is None:
            return None
        resident += found[0]
        pages += found[1]
    return resident / pages if pages else None


def drop(path: str) -> None:
    """Ask the kernel to let go of a file's pages, after writing those that are changed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            _sync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # A file of a read-only filesystem has nothing to write.
        if error.errno not in (errno.EINVAL, errno.EROFS, errno.ENOSYS, errno.EBADF):
            raise


def _pages(path: str) -> tuple[int, int] | None:
    """How many of a file's pages are resident, and how many it has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return 0, 0
        if os.geteuid() not in (0, status.st_uid):
            return None
        pages = -(-status.st_size // mmap.PAGESIZE)
        cached = _cachestat(descriptor)
        if cached is None:
            cached = _mincore(descriptor, status.st_size, pages)
        return cached, pages
    finally:
        os.close(descriptor)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _cachestat(descriptor: int) -> int | None:
    """The pages of a file that are cached; None where the kernel has no such call."""
    whole, found = _Range(0, 0), _CacheStat()
    arguments = (ctypes.byref(whole), ctypes.byref(found), ctypes.c_uint(0))
    if _libc().syscall(ctypes.c_long(_SYS_CACHESTAT), ctypes.c_int(descriptor), *arguments) != 0:
        return None
    return int(found.cached)


def _mincore(descriptor: int, size: int, pages: int) -> int:
    libc = _libc()
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_long),
    )
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        vector = ctypes.create_string_buffer(pages)
        if libc.mincore(address, size, vector) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return sum(byte & 1 for byte in vector.raw)
    finally:
        libc.munmap(address, size)
