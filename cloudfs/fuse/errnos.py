"""Errnos of exceptions: the one table of them."""

from __future__ import annotations

import errno
from typing import Final

from cloudfs.vfs import errors as vfs
from cloudfs_backends import errors as store
from cloudfs_cache.api import CacheClosedError

_ERRNOS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (vfs.NoSuchEntryError, errno.ENOENT),
    (vfs.NotADirectoryEntryError, errno.ENOTDIR),
    (vfs.IsADirectoryEntryError, errno.EISDIR),
    (vfs.StaleObjectError, errno.ESTALE),
    (store.ObjectNotFoundError, errno.ENOENT),
    (store.ObjectChangedError, errno.ESTALE),
    (store.AccessDeniedError, errno.EACCES),
    (store.CredentialsError, errno.EACCES),
    (store.BucketNotFoundError, errno.EIO),
    (store.ThrottledError, errno.EIO),
    (store.UnavailableError, errno.EIO),
    (store.InvalidRequestError, errno.EIO),
    (store.StoreError, errno.EIO),
    (CacheClosedError, errno.EIO),
)


def errno_of(error: Exception) -> int | None:
    """Return the errno of an expected error; None for anything else, which is a bug."""
    for kind, number in _ERRNOS:
        if isinstance(error, kind):
            return number
    return None
