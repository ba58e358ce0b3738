"""The C library libnfs through ctypes: one mounted context, with errors as `OSError`.

The Python package of the same name is not used: it keeps the interpreter's lock during calls, so
that neither threads nor Ctrl-C work while a server is slow; it sets no time limit; and it imports
a module that Python 3.12 no longer has.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import threading
import uuid
from ctypes import POINTER, byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p
from typing import Any

from cloudfs_benchmarks.bench.errors import BenchError, TargetError
from cloudfs_benchmarks.bench.targets import pipelining
from cloudfs_benchmarks.bench.targets.urls import NfsUrl

# Later ones (libnfs 6) take the arguments of reads and writes in another order.
_SONAMES = ("libnfs.so.14", "libnfs.so.13")
_TIMEOUT_MS = 20_000
_NO_CONNECTION = "no connection to the NFS server"
_SERVICE_FAILED = b"nfs_service failed"
_NOT_ENCODED = b"Failed to encode"
# libnfs drops a connection that answers with more.
_TRANSFER_BYTES = 1 << 20
# What libnfs 4 has room for in a request of version 4, with its header.
_SMALL_WRITE_BYTES = 3584


class _Stat(ctypes.Structure):
    _fields_ = [
        (name, c_uint64)
        for name in (
            *("dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks"),
            *("atime", "mtime", "ctime", "atime_nsec", "mtime_nsec", "ctime_nsec", "used"),
        )
    ]


class _StatVfs(ctypes.Structure):
    _fields_ = [
        (name, c_uint64)
        for name in (
            *("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail"),
            *("fsid", "flag", "namemax"),
        )
    ]


class _Dirent(ctypes.Structure):
    """The fields that lead the struct; libnfs owns it."""

    _fields_ = [
        ("next", c_void_p),
        ("name", c_char_p),
        ("inode", c_uint64),
        ("type", c_uint32),
        ("mode", c_uint32),
        ("size", c_uint64),
    ]


_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "nfs_init_context": (c_void_p, ()),
    "nfs_destroy_context": (None, (c_void_p,)),
    "nfs_get_error": (c_char_p, (c_void_p,)),
    "nfs_get_readmax": (c_uint64, (c_void_p,)),
    "nfs_get_writemax": (c_uint64, (c_void_p,)),
    "nfs_parse_url_dir": (c_void_p, (c_void_p, c_char_p)),
    "nfs_destroy_url": (None, (c_void_p,)),
    "nfs4_set_client_name": (None, (c_void_p, c_char_p)),
    "nfs_set_timeout": (None, (c_void_p, c_int)),
    "nfs_set_autoreconnect": (None, (c_void_p, c_int)),
    "nfs_set_dircache": (None, (c_void_p, c_int)),
    "nfs_mount": (c_int, (c_void_p, c_char_p, c_char_p)),
    "nfs_stat64": (c_int, (c_void_p, c_char_p, POINTER(_Stat))),
    "nfs_fstat64": (c_int, (c_void_p, c_void_p, POINTER(_Stat))),
    "nfs_statvfs64": (c_int, (c_void_p, c_char_p, POINTER(_StatVfs))),
    "nfs_opendir": (c_int, (c_void_p, c_char_p, POINTER(c_void_p))),
    "nfs_readdir": (POINTER(_Dirent), (c_void_p, c_void_p)),
    "nfs_closedir": (None, (c_void_p, c_void_p)),
    "nfs_open": (c_int, (c_void_p, c_char_p, c_int, POINTER(c_void_p))),
    "nfs_create": (c_int, (c_void_p, c_char_p, c_int, c_int, POINTER(c_void_p))),
    "nfs_close": (c_int, (c_void_p, c_void_p)),
    "nfs_pread": (c_int, (c_void_p, c_void_p, c_uint64, c_uint64, c_void_p)),
    "nfs_pwrite": (c_int, (c_void_p, c_void_p, c_uint64, c_uint64, c_void_p)),
    "nfs_pwrite_async": (
        c_int,
        (c_void_p, c_void_p, c_uint64, c_uint64, c_char_p, pipelining.CALLBACK, c_void_p),
    ),
    "nfs_get_fd": (c_int, (c_void_p,)),
    "nfs_which_events": (c_int, (c_void_p,)),
    "nfs_service": (c_int, (c_void_p, c_int)),
    "nfs_fsync": (c_int, (c_void_p, c_void_p)),
    "nfs_mkdir": (c_int, (c_void_p, c_char_p)),
    "nfs_unlink": (c_int, (c_void_p, c_char_p)),
    "nfs_rmdir": (c_int, (c_void_p, c_char_p)),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The library with its functions declared; `BenchError` when this machine has none."""
    for name in _SONAMES:
        try:
            loaded = ctypes.CDLL(name)
        except OSError:
            continue
        for function, (result, arguments) in _PROTOTYPES.items():
            getattr(loaded, function).restype = result
            getattr(loaded, function).argtypes = arguments
        return loaded
    raise BenchError(
        "nfs:// targets are read with the C library libnfs, which is not installed: "
        "apt-get install libnfs13 (or libnfs14), or mount the export and name the directory"
    )


def version() -> str | None:
    """The name that the library was loaded by, which has its version; None without it."""
    try:
        return str(library()._name)
    except BenchError:
        return None


class Session:
    """A context with a connection of its own, mounted. Calls are made one at a time.

    It ends when it is retired and its last file is closed. `broken` when the connection
    is gone: everything but `retire` and `close` fails then. `transfer_bytes` is the most that one
    call reads. A path is open once at a time: `open_paths`.
    """

    def __init__(self, url: NfsUrl) -> None:
        self._library = library()
        self._lock = threading.RLock()
        self._writes_small = False
        self.open_paths: set[str] = set()
        self._retired = False
        self.broken = False
        self._context = c_void_p(self._library.nfs_init_context())
        self._set_up(url)
        self.transfer_bytes = self._transfer_bytes()

    def call(self, path: str, function: str, *arguments: Any) -> int:
        """Call a function of libnfs that returns a count or -errno; `OSError` with `path`."""
        with self._lock:
            self._check_connected(path)
            result = int(getattr(self._library, function)(self._context, *arguments))
            if result < 0:
                raise self._failure(-result, path)
            return result

    def size(self, path: str) -> int:
        """The size of a file."""
        status = _Stat()
        self.call(path, "nfs_stat64", _name(path), byref(status))
        return int(status.size)

    def fstat_size(self, handle: c_void_p, path: str) -> int:
        """The size of an open file."""
        status = _Stat()
        self.call(path, "nfs_fstat64", handle, byref(status))
        return int(status.size)

    def free_bytes(self) -> int:
        """What the server has room for."""
        found = _StatVfs()
        self.call("", "nfs_statvfs64", b"/", byref(found))
        return int(found.frsize or found.bsize) * int(found.bavail)

    def names(self, path: str) -> list[tuple[str, int, int]]:
        """Name, type (an NFS `ftype`) and size of everything in a folder."""
        folder = c_void_p()
        with self._lock:
            self.call(path, "nfs_opendir", _name(path), byref(folder))
            found = []
            while entry := self._library.nfs_readdir(self._context, folder):
                dirent = entry.contents
                if dirent.name not in (b".", b".."):
                    found.append((os.fsdecode(dirent.name), dirent.type, dirent.size))
            self._library.nfs_closedir(self._context, folder)
        return found

    def open(self, path: str) -> c_void_p:
        """Open a file for reading; `close` gives the handle back."""
        return self._opened(path, "nfs_open", os.O_RDONLY)

    def create(self, path: str) -> c_void_p:
        """Create a file that is not there and open it for writing."""
        return self._opened(path, "nfs_create", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)

    def pwrite(self, handle: c_void_p, path: str, offset: int, data: memoryview) -> int:
        """Write the beginning of `data`, as much as is sent at once; returns its bytes."""
        piece = data[: self.transfer_bytes]
        if not self._writes_small:
            try:
                content = bytes(piece)
                return self.call(path, "nfs_pwrite", handle, offset, len(content), content)
            except OSError:
                text = self._library.nfs_get_error(self._context) or b""
                if _NOT_ENCODED not in text:
                    raise
                self._writes_small = True
        with self._lock:
            self._check_connected(path)
            file = (self._library, self._context, handle)
            status = pipelining.write(*file, piece, offset=offset, piece_bytes=_SMALL_WRITE_BYTES)
            if status < 0:
                raise self._failure(-status, path)
        return len(piece)

    def close(self, handle: c_void_p, path: str) -> None:
        """Close a file; what fails then has no consequence for what was read or synced."""
        with self._lock:
            if not self.broken:
                self._library.nfs_close(self._context, handle)
            self.open_paths.discard(path)
            self._end_if_unused()

    def retire(self) -> None:
        """No more files will be opened."""
        with self._lock:
            self._retired = True
            self._end_if_unused()

    def _opened(self, path: str, function: str, *arguments: int) -> c_void_p:
        handle = c_void_p()
        with self._lock:
            self.call(path, function, _name(path), *arguments, byref(handle))
            self.open_paths.add(path)
        return handle

    def _end_if_unused(self) -> None:
        if self._retired and not self.open_paths and self._context:
            self._library.nfs_destroy_context(self._context)
            self._context = c_void_p()
            self.broken = True

    def _set_up(self, url: NfsUrl) -> None:
        """Set the time limit, turn client caches and endless reconnecting off, and mount."""
        settings = f"nfs://server/export/?{url.query}".encode()
        self._library.nfs_destroy_url(self._library.nfs_parse_url_dir(self._context, settings))
        # Its own name for a client has the second in it: of two contexts of the same second the
        # server would take the later one for the earlier one restarted, and close all its files.
        name = f"cloudfs-bench {os.getpid()} {uuid.uuid4().hex}"
        self._library.nfs4_set_client_name(self._context, name.encode())
        self._library.nfs_set_timeout(self._context, _TIMEOUT_MS)
        self._library.nfs_set_autoreconnect(self._context, 0)
        self._library.nfs_set_dircache(self._context, 0)
        try:
            self.call(url.path, "nfs_mount", os.fsencode(url.server), os.fsencode(url.path))
        except OSError as error:
            self.retire()
            port = "" if url.port is None else f":{url.port}"
            raise TargetError(
                f"nfs://{url.server}{port}{url.path}: the server refuses or does not answer "
                f"({error.strerror}): check the address, the port and the path, and that the "
                "export allows this machine (as a user: with the option `insecure`)"
            ) from error

    def _transfer_bytes(self) -> int:
        # Over version 4 libnfs does not ask the server, and says 0.
        functions = (self._library.nfs_get_readmax, self._library.nfs_get_writemax)
        limits = (int(function(self._context)) for function in functions)
        return min([_TRANSFER_BYTES, *(limit for limit in limits if limit)])

    def _check_connected(self, path: str) -> None:
        if self.broken:
            raise OSError(errno.ENOTCONN, _NO_CONNECTION, path)

    def _failure(self, number: int, path: str) -> OSError:
        text = self._library.nfs_get_error(self._context) or b""
        if number == errno.EPIPE or (_SERVICE_FAILED in text and number == errno.EIO):
            # A context without its connection crashes when it is used again.
            self.broken = True
            return OSError(errno.ENOTCONN, _NO_CONNECTION, path)
        if number == errno.EINTR:  # what libnfs says for its own time limit
            number = errno.ETIMEDOUT
        return OSError(number, os.strerror(number), path)


def _name(path: str) -> bytes:
    return b"/" + os.fsencode(path)
