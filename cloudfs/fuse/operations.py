"""Kernel requests: decode, call the filesystem, encode. No policy, and no request without an end.

Every handler runs inside `request`, which counts it and turns exceptions into errnos: a bug is
logged with its traceback and answered EIO, because any other exception than FUSEError would end
the mount for everybody.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import stat
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import pyfuse3
import trio

from cloudfs.fuse.deadlines import RequestWatch
from cloudfs.fuse.errnos import errno_of
from cloudfs.fuse.interrupts import dying_reader_of, is_dying
from cloudfs.telemetry.counters import RequestMetrics
from cloudfs.vfs.filesystem import FileSystem
from cloudfs.vfs.handles import FileHandle
from cloudfs.vfs.inodes import Inode
from cloudfs.vfs.metadata.names import NAME_BYTES_MAX
from cloudfs_backends.api import StoreError
from cloudfs_cache.api import Buffer, WaitsFor

log = logging.getLogger(__name__)

_BLKSIZE_BYTES = 128 << 10
_STATFS_BLOCK_BYTES = 4096
_STATFS_BLOCKS = (1 << 50) // _STATFS_BLOCK_BYTES
_FOREVER_S = 10 * 365 * 86400.0
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND | os.O_CREAT
_QUIET = {errno.ENOENT, errno.ESTALE}
_BUG_ADVICE = "report it with the lines of the daemon's log"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns what is shown, and with which permission bits."""

    uid: int
    gid: int
    file_mode: int
    dir_mode: int


def request(
    operation: str,
) -> Callable[
    [Callable[Concatenate[Operations, Arguments], Coroutine[Any, Any, Result]]],
    Callable[Concatenate[Operations, Arguments], Coroutine[Any, Any, Result]],
]:
    """Count a handler's requests and answer its exceptions with an errno."""

    def wrap(
        handler: Callable[Concatenate[Operations, Arguments], Coroutine[Any, Any, Result]],
    ) -> Callable[Concatenate[Operations, Arguments], Coroutine[Any, Any, Result]]:
        @functools.wraps(handler)
        async def answered(
            self: Operations, /, *args: Arguments.args, **kwargs: Arguments.kwargs
        ) -> Result:
            started = time.perf_counter()
            metrics = self.metrics
            metrics.inflight += 1
            number = errno.ECANCELED
            try:
                result = await handler(self, *args, **kwargs)
                number = 0
            except pyfuse3.FUSEError as error:
                number = error.errno
                raise
            except Exception as error:
                number = self.translate(operation, error)
                raise pyfuse3.FUSEError(number) from None
            else:
                return result
            finally:
                metrics.inflight -= 1
                metrics.record(operation, time.perf_counter() - started, number)

        return answered

    return wrap


class Operations(pyfuse3.Operations):
    """The handlers that pyfuse3 calls, on the trio loop."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        filesystem: FileSystem,
        ownership: Ownership,
        metrics: RequestMetrics,
        watch: RequestWatch,
    ) -> None:
        super().__init__()
        self.metrics = metrics
        self._device: tuple[int, int] | None = None
        self.initialised = trio.Event()
        self._fs = filesystem
        self._ownership = ownership
        self._watch = watch
        self._reported: weakref.WeakSet[StoreError] = weakref.WeakSet()

    def init(self) -> None:
        """The kernel and libfuse have agreed: the mount answers as soon as this returns."""
        self.initialised.set()

    def mounted_as(self, device: tuple[int, int]) -> None:
        """Take the device (major, minor) of the mount; direct reads find their readers by it."""
        self._device = device

    def translate(self, operation: str, error: Exception) -> int:
        """Return the errno of an exception and log what an operator must know, once each."""
        number = errno_of(error)
        if number is None:
            log.error("bug in %s: please report it", operation, exc_info=error)
            self.metrics.last_errors.add(operation, "", errno.EIO, f"bug: {error!r}", _BUG_ADVICE)
            return errno.EIO
        # One error is raised in every reader that waited for it.
        if isinstance(error, StoreError) and error not in self._reported:
            self._reported.add(error)
            line = f"{error.describe()} (answered {errno.errorcode[number]})"
            log.log(logging.INFO if number in _QUIET else logging.WARNING, "%s", line)
            cause, advice = error.cause(), error.advice
            self.metrics.last_errors.add(operation, error.key, number, cause, advice)
        return number

    def _about(self, ino: int) -> tuple[str, WaitsFor]:
        """What a waiting metadata request is about, for people who ask what it waits for."""
        return self._fs.path_of(ino), WaitsFor.STORE

    def _about_name(self, parent: int, name: bytes) -> tuple[str, WaitsFor]:
        return f"{self._fs.path_of(parent)}/{os.fsdecode(name)}".removeprefix("./"), WaitsFor.STORE

    def _about_open(self, ino: int) -> tuple[str, WaitsFor]:
        return self._fs.path_of(ino), self._fs.open_waits_for(ino)

    def _about_read(self, handle: FileHandle, offset: int, size: int) -> tuple[str, WaitsFor]:
        path = self._fs.path_of(handle.inode.ino)
        return path, self._fs.read_waits_for(handle, offset, size)

    @request("lookup")
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name; a missing one is answered with an inode of 0 so the kernel remembers it."""
        about = partial(self._about_name, parent_inode, name)
        with self._watch.waiting("lookup", about, partial(is_dying, ctx.pid)):
            try:
                inode = await self._fs.lookup(parent_inode, name)
            except Exception as error:
                if errno_of(error) != errno.ENOENT:
                    raise
                return self._missing()
        return self._attributes(inode)

    @request("getattr")
    async def getattr(
        self, inode: int, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        """Attributes of an inode the kernel holds."""
        dying = partial(is_dying, ctx.pid) if ctx is not None else None
        with self._watch.waiting("getattr", partial(self._about, inode), dying):
            found = await self._fs.attributes(inode)
        return self._attributes(found)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Give references back. Comes in storms and has no answer: must stay cheap."""
        for ino, lookups in inode_list:
            self._fs.tree.forget(ino, lookups)

    @request("open")
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file. Its pages stay valid across opens: an inode is one version for ever."""
        if flags & _WRITE_FLAGS:
            raise pyfuse3.FUSEError(errno.EROFS)
        about = partial(self._about_open, inode)
        with self._watch.waiting("open", about, partial(is_dying, ctx.pid)):
            handle = await self._fs.open(inode, flags)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(handle), keep_cache=True)

    # pyfuse3 declares bytes, and takes any contiguous buffer: a view saves a copy of every byte.
    @request("read")
    async def read(self, fh: int, off: int, size: int) -> Buffer:  # type: ignore[override]
        """Answer inline when memory has the bytes: no checkpoint until the reply is sent."""
        handle = self._fs.file(fh)
        data = self._fs.read_nowait(handle, off, size)
        if data is None:
            dying = None
            if handle.direct and self._device is not None:
                dying = partial(dying_reader_of, handle.inode.ino, self._device)
            about = partial(self._about_read, handle, off, size)
            with self._watch.waiting("read", about, dying):
                data = await self._fs.read(handle, off, size)
        self.metrics.read_bytes += len(data)
        return data

    @request("release")
    async def release(self, fh: int) -> None:
        """Close a file handle."""
        self._fs.release(fh)

    async def flush(self, fh: int) -> None:
        """Nothing is ever written; ENOSYS tells the kernel not to ask again."""
        raise pyfuse3.FUSEError(errno.ENOSYS)

    @request("opendir")
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """List a directory; the handle keeps the entries of this moment."""
        about = partial(self._about, inode)
        with self._watch.waiting("opendir", about, partial(is_dying, ctx.pid)):
            return await self._fs.open_directory(inode)

    @request("readdir")
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Reply entries from position `start_id` on, with attributes, until the reply is full."""
        directory = self._fs.directory(fh)
        inode = directory.inode
        dots = ((b".", inode), (b"..", inode.parent or inode))
        for position, (name, dot) in enumerate(dots):
            if position >= start_id and not self._reply(token, name, dot, position + 1):
                return
        entries = directory.entries
        for position in range(max(0, start_id - len(dots)), len(entries)):
            entry = entries[position]
            child = self._fs.enter(directory, entry)
            if not self._reply(token, entry.name, child, position + len(dots) + 1):
                self._fs.tree.inodes.drop_unreferenced(child)
                return
            child.lookups += 1

    @request("releasedir")
    async def releasedir(self, fh: int) -> None:
        """Close a directory handle."""
        self._fs.release_directory(fh)

    @request("statfs")
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """A bucket has no size: report 1 PiB, of which nothing can be written."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _STATFS_BLOCK_BYTES
        data.f_blocks = _STATFS_BLOCKS
        data.f_namemax = NAME_BYTES_MAX
        return data

    @request("getxattr")
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """`user.cloudfs.etag` and `user.cloudfs.cached`; nothing else exists."""
        about = partial(self._about, inode)
        with self._watch.waiting("getxattr", about, partial(is_dying, ctx.pid)):
            value = await self._fs.xattr(inode, name)
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return value

    @request("listxattr")
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> tuple[bytes, ...]:
        """The names of the extended attributes."""
        return self._fs.xattr_names(inode)

    @request("readlink")
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """Objects are never symbolic links."""
        raise pyfuse3.FUSEError(errno.EINVAL)

    def _missing(self) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = pyfuse3.InodeT(0)
        entry.entry_timeout = min(self._fs.tree.negative_ttl_s, _FOREVER_S)
        return entry

    def _reply(self, token: pyfuse3.ReaddirToken, name: bytes, inode: Inode, next_id: int) -> bool:
        return pyfuse3.readdir_reply(
            token, pyfuse3.FileNameT(name), self._attributes(inode), next_id
        )

    def _attributes(self, inode: Inode) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = pyfuse3.InodeT(inode.ino)
        entry.st_uid, entry.st_gid = self._ownership.uid, self._ownership.gid
        entry.st_blksize = _BLKSIZE_BYTES
        ttl = min(self._fs.tree.entry_ttl_s(inode), _FOREVER_S)
        entry.entry_timeout = ttl
        entry.attr_timeout = ttl if self._fs.tree.attributes_final(inode) else 0
        info = inode.info
        if info is None:
            entry.st_mode = pyfuse3.ModeT(stat.S_IFDIR | self._ownership.dir_mode)
            entry.st_nlink = 2
            return entry
        entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | self._ownership.file_mode)
        entry.st_nlink = 0 if inode.superseded else 1
        entry.st_size = info.size
        entry.st_blocks = -(-info.size // 512)
        entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = info.mtime_ns
        return entry


def _refuse_writes(operation: str) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
    """A handler for an operation that changes something: the mount takes no writes."""

    async def refuse(self: Operations, *_args: object) -> NoReturn:
        self.metrics.record(operation, 0.0, errno.EROFS)
        raise pyfuse3.FUSEError(errno.EROFS)

    refuse.__name__ = operation
    return refuse


for _operation in (
    "setattr", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link", "create",
    "write", "setxattr", "removexattr",
):  # fmt: skip
    setattr(Operations, _operation, _refuse_writes(_operation))
