"""Open files: OPEN, READ, FLUSH, RELEASE."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import Final

import pyfuse3

from cloudfs.fuse.handlers.base import Handlers, request
from cloudfs.fuse.interrupts import dying_reader_of
from cloudfs.vfs.handles import FileHandle
from cloudfs_cache.api import Buffer, WaitsFor

_WRITE_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND | os.O_CREAT


class FileHandlers(Handlers):
    """Handlers of requests about open files."""

    @request("open")
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file. Its pages stay valid across opens: an inode is one version for ever."""
        if flags & _WRITE_FLAGS:
            raise pyfuse3.FUSEError(errno.EROFS)
        with self._bounded("open", partial(self._about_open, inode), ctx):
            handle = await self._fs.open(inode, flags)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(handle), keep_cache=True)

    # pyfuse3 declares bytes, and takes any contiguous buffer: a view saves a copy of every byte.
    @request("read")
    async def read(self, fh: int, off: int, size: int) -> Buffer:  # type: ignore[override]
        """Answer inline when memory has the bytes: no checkpoint until the reply is sent."""
        handle = self._files.get(fh)
        data = handle.content.read_nowait(off, size)
        if data is None:
            dying = None
            if handle.direct and self._device is not None:
                dying = partial(dying_reader_of, handle.inode.ino, self._device)
            about = partial(self._about_read, handle, off, size)
            with self._watch.waiting("read", about, dying):
                data = await self._fs.read(handle, off, size)
        self.metrics.read_bytes += len(data)
        return data

    async def flush(self, fh: int) -> None:
        """Refuse with ENOSYS: nothing is ever written, and the kernel does not ask again."""
        raise pyfuse3.FUSEError(errno.ENOSYS)

    @request("release")
    async def release(self, fh: int) -> None:
        """Close a file handle."""
        self._fs.release(fh)

    def _about_open(self, ino: int) -> tuple[str, WaitsFor]:
        return self._fs.path_of(ino), self._fs.open_waits_for(ino)

    def _about_read(self, handle: FileHandle, offset: int, size: int) -> tuple[str, WaitsFor]:
        return self._fs.path_of(handle.inode.ino), handle.content.waits_for(offset, size)
