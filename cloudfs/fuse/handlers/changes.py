"""Changes, all refused with EROFS: the mount is read-only."""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import pyfuse3

from cloudfs.fuse.handlers.base import Handlers


def _refused(operation: str) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
    """Return a handler that counts a request and refuses it."""

    async def refuse(self: Handlers, *_args: object) -> NoReturn:
        self.metrics.record(operation, 0.0, errno.EROFS)
        raise pyfuse3.FUSEError(errno.EROFS)

    return refuse


class ChangeHandlers(Handlers):
    """Handlers of requests that change names, attributes or bytes."""

    create = _refused("create")
    mknod = _refused("mknod")
    mkdir = _refused("mkdir")
    symlink = _refused("symlink")
    link = _refused("link")
    rename = _refused("rename")
    unlink = _refused("unlink")
    rmdir = _refused("rmdir")
    setattr = _refused("setattr")
    setxattr = _refused("setxattr")
    removexattr = _refused("removexattr")
    write = _refused("write")
