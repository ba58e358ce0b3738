"""Disk throughput as the cache sees it: 8 MiB at a time, several at once, with O_DIRECT.

The file has no name, so nothing is left behind however this process ends. Blocking.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeAlias

from cloudfs.units import MIB
from cloudfs_cache.memory.pool import map_aligned

PIECE_BYTES: Final = 8 * MIB
PIECES: Final = 16
STEP_S_MAX: Final = 1.5
"""The time limit of writing and of reading; a piece in flight is completed."""

_THREADS: Final = 4
_Buffers: TypeAlias = SimpleQueue[memoryview]
_NOT_SUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class DiskSpeed:
    """The measured rates. `is_direct`: O_DIRECT works there; `written_bytes` were freed again."""

    write_bytes_per_s: float
    read_bytes_per_s: float
    is_direct: bool
    written_bytes: int


def measure(folder: Path) -> DiskSpeed:
    """Write up to 128 MiB to the file system of an existing folder, and read them.

    May raise OSError.
    """
    fd, is_direct = _open_nameless(folder)
    try:
        buffers = _filled_buffers()
        written, write_s = _timed(partial(_write, fd, buffers), PIECES)
        if not is_direct:
            started = time.perf_counter()
            os.fdatasync(fd)
            write_s += time.perf_counter() - started
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        read, read_s = _timed(partial(_read, fd, buffers), written)
    finally:
        os.close(fd)
    return DiskSpeed(
        write_bytes_per_s=written * PIECE_BYTES / write_s,
        read_bytes_per_s=read * PIECE_BYTES / read_s,
        is_direct=is_direct,
        written_bytes=written * PIECE_BYTES,
    )


def _filled_buffers() -> _Buffers:
    """Return a buffer for each thread, filled once: memory that was never touched is slow."""
    # Not zeros, which some disks do not store.
    noise = os.urandom(MIB) * (PIECE_BYTES // MIB)
    buffers: _Buffers = SimpleQueue()
    for _ in range(_THREADS):
        buffer = map_aligned(PIECE_BYTES)
        buffer[:] = noise
        buffers.put(buffer)
    return buffers


@contextmanager
def _borrowed(buffers: _Buffers) -> Iterator[memoryview]:
    buffer = buffers.get()
    try:
        yield buffer
    finally:
        buffers.put(buffer)


def _timed(work: Callable[[int], None], pieces: int) -> tuple[int, float]:
    """Process pieces until the time limit; return their number and the seconds."""
    started = time.perf_counter()
    deadline = started + STEP_S_MAX

    def in_time(piece: int) -> bool:
        if piece and time.perf_counter() > deadline:
            return False
        work(piece)
        return True

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="cloudfs-disk") as pool:
        done = list(pool.map(in_time, range(pieces)))
    # Pieces start in their order, so the skipped ones come last.
    count = done.index(False) if False in done else len(done)
    return count, max(time.perf_counter() - started, 1e-6)


def _write(fd: int, buffers: _Buffers, piece: int) -> None:
    done = 0
    with _borrowed(buffers) as buffer:
        while done < PIECE_BYTES:
            done += os.pwrite(fd, buffer[done:], piece * PIECE_BYTES + done)


def _read(fd: int, buffers: _Buffers, piece: int) -> None:
    with _borrowed(buffers) as buffer:
        os.preadv(fd, [buffer], piece * PIECE_BYTES)


def _open_nameless(folder: Path) -> tuple[int, bool]:
    """Open a file without a name on the folder's file system; return whether it is O_DIRECT."""
    flags = os.O_RDWR | os.O_CLOEXEC
    for more, is_direct in ((os.O_DIRECT, True), (0, False)):
        try:
            return os.open(folder, flags | os.O_TMPFILE | more, 0o600), is_direct
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
    # Some network file systems have no files without names.
    fd, path = tempfile.mkstemp(prefix=".cloudfs-doctor.", dir=folder)
    os.unlink(path)
    return fd, False
