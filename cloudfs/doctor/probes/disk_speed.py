"""Measures a disk as the cache uses it: 8 MiB at a time, several at once, past the page cache.

What is written has no name, so nothing is left behind however this process ends. Everything blocks.
"""

from __future__ import annotations

import errno
import mmap
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
from typing import Final, Self

from cloudfs.units import MIB

PIECE_BYTES: Final = 8 * MIB
PIECES: Final = 16
STEP_S_MAX: Final = 1.5
"""How long writing may take, and how long reading; a piece under way is waited for."""

_THREADS: Final = 4
_NOT_SUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class DiskSpeed:
    """What was measured. `is_direct`: O_DIRECT works there; `written_bytes` were freed again."""

    write_bytes_per_s: float
    read_bytes_per_s: float
    is_direct: bool
    written_bytes: int


def measure(folder: Path) -> DiskSpeed:
    """Write up to 128 MiB to the file system of an existing folder, and read them.

    May raise OSError.
    """
    fd, is_direct = _nameless(folder)
    try:
        with _Buffers() as buffers:
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


class _Buffers:
    """A page-aligned buffer for each thread, filled once: memory that was never touched is slow."""

    def __init__(self) -> None:
        self._all = [mmap.mmap(-1, PIECE_BYTES) for _ in range(_THREADS)]
        self._free: SimpleQueue[mmap.mmap] = SimpleQueue()

    def __enter__(self) -> Self:
        # Not zeros, which some disks do not store.
        noise = os.urandom(MIB) * (PIECE_BYTES // MIB)
        for buffer in self._all:
            buffer[:] = noise
            self._free.put(buffer)
        return self

    def __exit__(self, *_: object) -> None:
        for buffer in self._all:
            buffer.close()

    @contextmanager
    def one(self) -> Iterator[mmap.mmap]:
        """Lend a buffer."""
        buffer = self._free.get()
        try:
            yield buffer
        finally:
            self._free.put(buffer)


def _timed(work: Callable[[int], None], pieces: int) -> tuple[int, float]:
    """Do as many pieces as there is time for, and return their number and the seconds."""
    started = time.perf_counter()
    deadline = started + STEP_S_MAX

    def in_time(piece: int) -> bool:
        if piece and time.perf_counter() > deadline:
            return False
        work(piece)
        return True

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="cloudfs-disk") as pool:
        done = list(pool.map(in_time, range(pieces)))
    # Pieces are begun in their order, so those that were done come first.
    count = done.index(False) if False in done else len(done)
    return count, max(time.perf_counter() - started, 1e-6)


def _write(fd: int, buffers: _Buffers, piece: int) -> None:
    done = 0
    with buffers.one() as buffer, memoryview(buffer) as view:
        while done < PIECE_BYTES:
            with view[done:] as rest:
                done += os.pwrite(fd, rest, piece * PIECE_BYTES + done)


def _read(fd: int, buffers: _Buffers, piece: int) -> None:
    with buffers.one() as buffer:
        os.preadv(fd, [buffer], piece * PIECE_BYTES)


def _nameless(folder: Path) -> tuple[int, bool]:
    """Return a file without a name on the folder's file system, and whether it is O_DIRECT."""
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
