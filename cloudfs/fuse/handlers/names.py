"""Names and attributes: LOOKUP, FORGET, GETATTR, READLINK, the extended attributes, STATFS."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from typing import Final

import pyfuse3

from cloudfs.fuse import attributes
from cloudfs.fuse.errnos import errno_of
from cloudfs.fuse.handlers.base import Handlers, request
from cloudfs.vfs.metadata.names import NAME_BYTES_MAX

_STATFS_BLOCK_BYTES: Final = 4096
_STATFS_BLOCKS: Final = (1 << 50) // _STATFS_BLOCK_BYTES


class NameHandlers(Handlers):
    """Handlers of requests about names and attributes."""

    @request("lookup")
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name; a missing one is answered with a negative entry instead of ENOENT."""
        with self._bounded("lookup", partial(self._about_name, parent_inode, name), ctx):
            try:
                inode = await self._fs.lookup(parent_inode, name)
            except Exception as error:
                if errno_of(error) != errno.ENOENT:
                    raise
                return attributes.encode_missing(self._fs.negative_ttl_s)
        return attributes.encode(inode, self._fs.ttls_s(inode), self._ownership)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Give references back. Comes in storms and has no answer: must stay cheap."""
        for ino, lookups in inode_list:
            self._fs.forget(ino, lookups)

    @request("getattr")
    async def getattr(
        self, inode: int, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        """Return the attributes of an inode that the kernel references."""
        with self._bounded("getattr", partial(self._about, inode), ctx):
            found = await self._fs.attributes(inode)
        return attributes.encode(found, self._fs.ttls_s(found), self._ownership)

    @request("readlink")
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """Refuse: objects are never symbolic links."""
        raise pyfuse3.FUSEError(errno.EINVAL)

    @request("getxattr")
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """Return `user.cloudfs.etag` or `user.cloudfs.cached`; nothing else exists."""
        with self._bounded("getxattr", partial(self._about, inode), ctx):
            value = await self._fs.xattr(inode, name)
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return value

    @request("listxattr")
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> tuple[bytes, ...]:
        """Return the names of the extended attributes."""
        return self._fs.xattr_names(inode)

    @request("statfs")
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Report 1 PiB, of which nothing can be written: a bucket has no size."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _STATFS_BLOCK_BYTES
        data.f_blocks = _STATFS_BLOCKS
        data.f_namemax = NAME_BYTES_MAX
        return data
