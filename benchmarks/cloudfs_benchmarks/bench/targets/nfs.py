"""The files of an NFS export, read in userspace: for machines that have it not mounted."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from cloudfs_benchmarks.bench.targets.libnfs import Session
from cloudfs_benchmarks.bench.targets.paths import check_inside
from cloudfs_benchmarks.bench.targets.tree import Entry, walk
from cloudfs_benchmarks.bench.targets.urls import parse_nfs

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CLOCK = time.monotonic
# A third of the shortest lease that servers give (Ganesha 60 s, Linux 90 s).
_IDLE_S = 20.0
_REGULAR, _FOLDER = 1, 2  # ftype of RFC 1813 and RFC 7530


class NfsTree:
    """A `Tree` over libnfs, which caches nothing and reads nothing ahead.

    Symbolic links are in no listing: libnfs 4 follows them to names with stray bytes at their end.
    Otherwise listings hold what those of a `MountedTree` do. Threads may share a tree, and wait for
    each other then: readers that shall not have a tree each. Processes never share one.
    """

    def __init__(self, url: str) -> None:
        self._location = url
        self._url = parse_nfs(url)
        self._lock = threading.RLock()
        self._sessions = [Session(self._url)]
        self._used_s = _CLOCK()

    @property
    def location(self) -> str:
        """The URL."""
        return self._location

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, unbuffered."""
        session, handle = self._opened(path, Session.open)
        return cast("BinaryIO", NfsFile(session, handle, path))

    def native(self, path: str) -> None:
        """The kernel has no path for it."""

    def entries(self, path: str) -> list[Entry]:
        """Files and folders in a folder, sorted by name, from one listing."""
        found = []
        for name, kind, size in self._session().names(path):
            if kind == _FOLDER:
                found.append(Entry(name, is_dir=True, size=0))
            elif kind == _REGULAR:
                found.append(Entry(name, is_dir=False, size=size))
        return sorted(found, key=lambda entry: entry.name)

    def size(self, path: str) -> int:
        """A file's size in bytes."""
        return self._session().size(path)

    def walk(self, path: str) -> Iterator[tuple[str, int]]:
        """Path and size of every file below a folder: its own first, then folder by folder."""
        return walk(self.entries, path)

    def make_folder(self, path: str) -> None:
        """Make one folder."""
        check_inside(path)
        self._session().call(path, "nfs_mkdir", b"/" + os.fsencode(path))

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, sync: bool) -> int:
        """Create a file; what was written of it stays when that fails half way."""
        check_inside(path)
        session, handle = self._opened(path, Session.create)
        try:
            written = _write(session, handle, path, chunks)
            if sync:
                session.call(path, "nfs_fsync", handle)
        finally:
            session.close(handle, path)
        return written

    def remove(self, path: str) -> None:
        """Remove a file."""
        check_inside(path)
        self._session().call(path, "nfs_unlink", b"/" + os.fsencode(path))

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        check_inside(path)
        self._session().call(path, "nfs_rmdir", b"/" + os.fsencode(path))

    def free_bytes(self) -> int:
        """What the server has room for."""
        return self._session().free_bytes()

    def close(self) -> None:
        """Let go of the connections, each when the last file that it has open is closed."""
        with self._lock:
            while self._sessions:
                self._sessions.pop().retire()

    def _session(self, path: str | None = None) -> Session:
        """A connection that works and, given a path, has no file open there.

        libnfs 4 opens a file again as the same owner, and then the server takes only the newer one.
        """
        with self._lock:
            self._retire_idle()
            for session in self._sessions:
                if not session.broken and path not in session.open_paths:
                    return session
            self._sessions.append(Session(self._url))
            return self._sessions[-1]

    def _retire_idle(self) -> None:
        """Let go of connections that were idle for long: libnfs renews no lease, and a server ends
        what a client has whose lease ran out."""
        idle = _CLOCK() - self._used_s > _IDLE_S
        self._used_s = _CLOCK()
        while idle and self._sessions:
            self._sessions.pop().retire()

    def _opened(
        self, path: str, how: Callable[[Session, str], ctypes.c_void_p]
    ) -> tuple[Session, ctypes.c_void_p]:
        with self._lock:
            session = self._session(path)
            try:
                return session, how(session, path)
            except OSError:
                # After an open that failed, libnfs numbers the next one over version 4 like it, and
                # the server answers that with the old failure: whatever file it is for.
                self._sessions.remove(session)
                session.retire()
                raise


class NfsFile(io.RawIOBase):
    """A file opened for reading; every `readinto` goes to the server and fills the buffer."""

    def __init__(self, session: Session, handle: ctypes.c_void_p, path: str) -> None:
        super().__init__()
        self._session = session
        self._handle: ctypes.c_void_p | None = handle
        self.name = path
        self._offset = 0
        self._size: int | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; only from the end does that ask the server, once for each file."""
        base = 0
        if whence == os.SEEK_CUR:
            base = self._offset
        elif whence == os.SEEK_END:
            base = self._end()
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._offset = base + offset
        return self._offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` from where the file stands; fewer bytes only at the file's end."""
        handle = self._opened()
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and (self._size is None or self._offset < self._size):
            wanted = min(len(view) - filled, self._session.transfer_bytes)
            place = ctypes.byref(ctypes.c_char.from_buffer(view, filled))
            count = self._session.call(self.name, "nfs_pread", handle, self._offset, wanted, place)
            filled += count
            self._offset += count
            if count == 0:
                break
            if count < wanted:
                self._end()  # a server that gives less at a time is no end
        return filled

    def close(self) -> None:
        """Give the file back to the server."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._session.close(handle, self.name)
        super().close()

    def _end(self) -> int:
        if self._size is None:
            self._size = self._session.fstat_size(self._opened(), self.name)
        return self._size

    def _opened(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise ValueError("I/O operation on closed file")
        return self._handle


def _write(
    session: Session, handle: ctypes.c_void_p, path: str, chunks: Iterable[bytes | memoryview]
) -> int:
    written = 0
    for chunk in chunks:
        rest = memoryview(chunk).cast("B")
        while rest:
            count = session.pwrite(handle, path, written, rest)
            rest = rest[count:]
            written += count
    return written
