"""Data files of the disk tier: blocking reads and writes, for worker threads only.

Blocks move between the caller's page-aligned buffers and the disk with O_DIRECT, so the cache file
takes no page cache and each byte is touched once. File systems without O_DIRECT are read and
written through the page cache, which is dropped behind. Nothing here knows the index.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from cloudfs_cache.api import BLOCK_BYTES, Buffer
from cloudfs_cache.disk.format.checksums import CHUNK_BYTES, block_seed, chunks_match
from cloudfs_cache.disk.format.codec import Codec, CodecError, decode
from cloudfs_cache.disk.format.records import BlockRecord, ObjectFiles
from cloudfs_cache.disk.index.rows import ALIGN_BYTES, allocated

_FALLOC_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_NO_DIRECT_IO = {errno.EINVAL, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class BlockRead:
    """A block to read: its place, how it is stored, and the buffer for its `length` bytes."""

    index: int
    record: BlockRecord
    length: int
    buffer: memoryview


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block on the disk."""

    files: ObjectFiles
    digest: bytes
    index: int
    record: BlockRecord


def read_blocks(files: ObjectFiles, digest: bytes, reads: Sequence[BlockRead]) -> list[bool]:
    """Fill the buffers of blocks in ascending order; say which of them hold sound bytes."""
    sound: list[bool] = []
    for codec, group in groupby(reads, lambda block: block.record.codec):
        blocks = list(group)
        if codec is Codec.RAW:
            for run in _adjacent(blocks):
                sound += _read_raw(files.raw, digest, run)
        else:
            sound += [_read_recompressed(files.recompressed, digest, block) for block in blocks]
    return sound


def read_range(place: StoredBlock, start: int, stop: int) -> bytes:
    """Return the bytes [start, stop) of a raw block, b"" when they are missing or corrupt.

    Reads and checks only the checksum chunks that they are in.
    """
    record = place.record
    first = start // CHUNK_BYTES
    end = min(record.stored, -(-stop // CHUNK_BYTES) * CHUNK_BYTES)
    length = end - first * CHUNK_BYTES
    view = _scratch()[: allocated(length)]
    offset = place.index * BLOCK_BYTES + first * CHUNK_BYTES
    if _read_into(place.files.raw, [view], offset) < length:
        return b""
    if not chunks_match(
        view[:length], block_seed(place.digest, place.index), record.checksums, first
    ):
        return b""
    return bytes(view[start - first * CHUNK_BYTES : stop - first * CHUNK_BYTES])


def is_sound(place: StoredBlock) -> bool:
    """Whether what is stored of a block is what was written. Raises OSError but for bad media."""
    record = place.record
    view = _scratch()[: allocated(record.stored)]
    try:
        got = _read_into(place.files.of(record.codec), [view], place.index * BLOCK_BYTES)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    seed = block_seed(place.digest, place.index)
    return got >= record.stored and chunks_match(view[: record.stored], seed, record.checksums)


def write_blocks(
    path: str, first: int, buffers: Sequence[memoryview], lengths: Sequence[int]
) -> None:
    """Write adjacent blocks from block-sized buffers to their places.

    A buffer's bytes beyond its length are written too, up to the alignment: they are never read.
    """
    views = [buffer[: allocated(n)] for buffer, n in zip(buffers, lengths, strict=True)]
    _write_from(path, views, first * BLOCK_BYTES)


def write_recompressed(path: str, index: int, stored: Buffer) -> None:
    """Write one encoded block to its place."""
    view = _scratch()[: allocated(len(stored))]
    view[: len(stored)] = stored
    _write_from(path, [view], index * BLOCK_BYTES)


def clear(files: ObjectFiles, blocks: range, present: Mapping[int, Codec]) -> None:
    """Give the space back of every place in `blocks` that holds no block in that file's codec."""
    for path, is_raw in ((files.raw, True), (files.recompressed, False)):
        kept = sorted(i for i, codec in present.items() if (codec is Codec.RAW) is is_raw)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            end = -(-os.fstat(fd).st_size // BLOCK_BYTES)
            start = blocks.start
            for index in (*kept, min(blocks.stop, end)):
                _punch(fd, start, index)
                start = index + 1
        finally:
            os.close(fd)


def remove(files: ObjectFiles) -> None:
    """Delete an object's files."""
    for path in (files.raw, files.recompressed):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def read_through(path: str) -> None:
    """Read a file from the disk itself. Raises OSError where it cannot be read."""
    view = _scratch()
    offset = 0
    while got := _read_into(path, [view], offset):
        offset += got


def try_reading(path: str) -> None:
    """Read the first page of a file from the disk itself. Raises OSError where it cannot be."""
    _read_into(path, [_scratch()[:ALIGN_BYTES]], 0)


def try_out(path: str) -> None:
    """Write and read a block of a file that holds nothing, with the disk itself. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.pwrite(fd, bytes(BLOCK_BYTES), 0)
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.pread(fd, ALIGN_BYTES, 0)
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _adjacent(blocks: Sequence[BlockRead]) -> Iterator[list[BlockRead]]:
    run: list[BlockRead] = []
    for block in blocks:
        if run and run[-1].index + 1 != block.index:
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _read_raw(path: str, digest: bytes, run: Sequence[BlockRead]) -> list[bool]:
    views = [block.buffer[: allocated(block.length)] for block in run]
    got = _read_into(path, views, run[0].index * BLOCK_BYTES)
    sound = []
    for block, view in zip(run, views, strict=True):
        sound.append(
            got >= block.length == block.record.stored
            and chunks_match(
                view[: block.length], block_seed(digest, block.index), block.record.checksums
            )
        )
        got -= len(view)
    return sound


def _read_recompressed(path: str, digest: bytes, block: BlockRead) -> bool:
    record = block.record
    view = _scratch()[: allocated(record.stored)]
    if _read_into(path, [view], block.index * BLOCK_BYTES) < record.stored:
        return False
    stored = view[: record.stored]
    if not chunks_match(stored, block_seed(digest, block.index), record.checksums):
        return False
    try:
        decode(record.codec, stored, block.buffer[: block.length])
    except CodecError:
        return False
    return True


def _read_into(path: str, views: Sequence[memoryview], offset: int) -> int:
    """Fill the views; return how many bytes there were, 0 without a file."""
    try:
        fd, direct = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        try:
            return _preadv_all(fd, views, offset)
        except OSError as error:
            if not direct or error.errno not in _NO_DIRECT_IO:
                raise
        fd, direct = _reopened(fd, path, os.O_RDONLY), False
        return _preadv_all(fd, views, offset)
    finally:
        if not direct:
            os.posix_fadvise(fd, offset, sum(map(len, views)), os.POSIX_FADV_DONTNEED)
        os.close(fd)


def _write_from(path: str, views: Sequence[memoryview], offset: int) -> None:
    fd, direct = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        try:
            _pwritev_all(fd, views, offset)
        except OSError as error:
            if not direct or error.errno not in _NO_DIRECT_IO:
                raise
            fd, direct = _reopened(fd, path, os.O_WRONLY), False
            _pwritev_all(fd, views, offset)
        if not direct:
            os.fdatasync(fd)
            os.posix_fadvise(fd, offset, sum(map(len, views)), os.POSIX_FADV_DONTNEED)
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


def _reopened(fd: int, path: str, flags: int) -> int:
    """The file without O_DIRECT; `fd` is closed once that is open."""
    through_cache = os.open(path, flags | os.O_CLOEXEC)
    os.close(fd)
    return through_cache


def _preadv_all(fd: int, views: Sequence[memoryview], offset: int) -> int:
    """Fill the views from `offset`; return how many bytes there were before the end of file."""
    total = sum(map(len, views))
    got = 0
    while got < total:
        step = os.preadv(fd, _rest(views, got), offset + got)
        if step == 0 or step % ALIGN_BYTES:
            return got + step
        got += step
    return got


def _pwritev_all(fd: int, views: Sequence[memoryview], offset: int) -> None:
    total = sum(map(len, views))
    done = 0
    while done < total:
        done += os.pwritev(fd, _rest(views, done), offset + done)


def _rest(views: Sequence[memoryview], skip: int) -> list[memoryview]:
    rest = []
    for view in views:
        if skip < len(view):
            rest.append(view[skip:])
        skip = max(0, skip - len(view))
    return rest


def scratch_block() -> memoryview:
    """Return page-aligned memory for one block, as O_DIRECT wants it."""
    return memoryview(mmap.mmap(-1, BLOCK_BYTES, mmap.MAP_PRIVATE))


_thread = threading.local()


def _scratch() -> memoryview:
    """This thread's scratch block, for what does not go to or come from a block buffer."""
    found: memoryview | None = getattr(_thread, "scratch", None)
    if found is None:
        found = _thread.scratch = scratch_block()
    return found


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def _punch(fd: int, start: int, stop: int) -> None:
    """Give the space of the blocks [start, stop) back."""
    if start >= stop:
        return
    offset, length = start * BLOCK_BYTES, (stop - start) * BLOCK_BYTES
    if _libc.fallocate(fd, _FALLOC_PUNCH_HOLE_KEEP_SIZE, offset, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
