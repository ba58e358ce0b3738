"""Directories: OPENDIR, READDIR, RELEASEDIR."""

from __future__ import annotations

from functools import partial

import pyfuse3

from cloudfs.fuse import attributes
from cloudfs.fuse.handlers.base import Handlers, request
from cloudfs.vfs.inode import Inode


class DirectoryHandlers(Handlers):
    """Handlers of requests about open directories."""

    @request("opendir")
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """List a directory; the handle keeps the entries of this moment."""
        with self._bounded("opendir", partial(self._about, inode), ctx):
            return await self._fs.open_directory(inode)

    @request("readdir")
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Reply entries from position `start_id` on, with attributes, until the reply is full."""

        def emit(name: bytes, inode: Inode, next_id: int) -> bool:
            entry = attributes.encode(inode, self._fs.ttls_s(inode), self._ownership)
            return pyfuse3.readdir_reply(token, pyfuse3.FileNameT(name), entry, next_id)

        self._fs.read_directory(fh, start_id, emit)

    @request("releasedir")
    async def releasedir(self, fh: int) -> None:
        """Close a directory handle."""
        self._fs.release_directory(fh)
