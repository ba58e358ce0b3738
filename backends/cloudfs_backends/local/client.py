"""A folder as a bucket: `file:///path`.

Paths below the folder are the keys; an empty folder is an object of size 0 whose key ends with "/".
The etag is made of mtime, ctime, size and inode: rewriting or replacing a file changes it, even
when the mtime is restored (ctime cannot be set), and so does a chmod, at the price of a needless
download. Two writes of one size within one tick of the kernel's file clock (4 ms, on kernels before
6.13) are seen as one version.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections import OrderedDict, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

from cloudfs_backends.api import Capabilities, ListPage, ObjectInfo, Sink, StoreOptions
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.introspection import BucketLocation, Identity
from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.local.walk import WalkEntry, resolve, walk
from cloudfs_backends.url import StoreUrl

_CHUNK_BYTES: Final = 512 * 1024
_CURSORS_MAX: Final = 8

_BY_ERRNO: Final[dict[int | None, type[StoreError]]] = {
    errno.ENOENT: ObjectNotFoundError,
    errno.ENOTDIR: ObjectNotFoundError,
    errno.EISDIR: ObjectNotFoundError,
    errno.ELOOP: ObjectNotFoundError,
    errno.ENAMETOOLONG: ObjectNotFoundError,
    errno.ENXIO: ObjectNotFoundError,  # a socket
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
}


def open_client(url: StoreUrl, options: StoreOptions) -> StoreClient:
    """Return the client; nothing is read yet."""
    return LocalClient(url, options)


class LocalClient:
    """One folder as a `StoreClient`. Files outside the folder are never served."""

    def __init__(self, url: StoreUrl, options: StoreOptions) -> None:
        self._url = url
        self._root = os.fsencode(url.bucket)
        self._cursors = _Cursors()
        # Buffers are reused: fresh memory costs more than the copy into it.
        self._buffers: deque[bytearray] = deque(maxlen=options.max_downloads)

    @property
    def url(self) -> str:
        return str(self._url)

    @property
    def identity(self) -> str:
        return self.url

    @property
    def endpoint(self) -> str | None:
        return None

    @property
    def capabilities(self) -> Capabilities:
        """A listing has a file's real mtime."""
        return Capabilities(metadata_in_list=True)

    def probe(self) -> None:
        self.list_page("", delimiter="/", limit=1)

    def head(self, key: str) -> ObjectInfo:
        with self._translated("head", key):
            if key.endswith("/"):
                return self._head_marker(key)
            return _info(key, os.stat(self._path(key)), must_be_file=True)

    def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`. The delimiter is "/" or none."""
        if delimiter not in {"", "/"}:
            raise InvalidRequestError(f"delimiter {delimiter!r} is not supported", operation="list")
        with self._translated("list", prefix):
            if not os.path.isdir(self._root):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder")
            names = self._cursors.take((prefix, delimiter, token)) or walk(
                self._root,
                os.fsencode(prefix),
                delimited=bool(delimiter),
                after=os.fsencode(token or ""),
            )
            page = list(itertools.islice(names, limit))
            following = next(names, None)
        objects = [_info(os.fsdecode(n.key), n.status) for n in page if n.status is not None]
        prefixes = [os.fsdecode(n.key) for n in page if n.status is None]
        next_token = None
        if following is not None and page:
            next_token = os.fsdecode(page[-1].key)
            rest = itertools.chain([following], names)
            self._cursors.put((prefix, delimiter, next_token), rest)
        return ListPage(tuple(objects), tuple(prefixes), next_token)

    def get_range(self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink) -> None:
        with self._opened(key) as (descriptor, status):
            version = etag or _etag(status)
            if _etag(status) != version or stop > status.st_size:
                raise _changed(key)
            with self._buffer() as buffer:
                while start < stop:
                    window = buffer[: stop - start]
                    with self._translated("get", key):
                        count = os.preadv(descriptor, [window], start)
                        # After the read: bytes that were read before a change are valid.
                        now = os.fstat(descriptor)
                    if count == 0 or _etag(now) != version:
                        raise _changed(key)
                    sink(window[:count])
                    start += count

    def identify(self) -> Identity:
        return Identity(f"uid {os.geteuid()}", "user", "this process")

    def locate(self) -> BucketLocation:
        return BucketLocation(endpoint=self._url.bucket, region=None, byte_path="pread")

    def close(self) -> None:
        self._buffers.clear()
        self._cursors.clear()

    def _head_marker(self, key: str) -> ObjectInfo:
        marker = os.fsencode(key)
        if resolve(self._root, marker) is None:
            raise FileNotFoundError(errno.ENOENT, "not a path inside the folder")
        first = next(walk(self._root, marker, delimited=True, after=b""), None)
        if first is None or first.key != marker or first.status is None:
            raise FileNotFoundError(errno.ENOENT, "not an empty folder")
        return _info(key, first.status)

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, os.stat_result]]:
        with self._translated("get", key):
            # The path is resolved, so a link at its end is new; a pipe must not block the open.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._path(key), flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ObjectNotFoundError("not a regular file", operation="get", key=key)
            yield descriptor, status
        finally:
            os.close(descriptor)

    @contextmanager
    def _buffer(self) -> Iterator[memoryview]:
        try:
            buffer = self._buffers.pop()
        except IndexError:
            buffer = bytearray(_CHUNK_BYTES)
        try:
            yield memoryview(buffer)
        finally:
            self._buffers.append(buffer)

    def _path(self, key: str) -> bytes:
        path = None if key.endswith("/") else resolve(self._root, os.fsencode(key))
        if path is None:
            raise FileNotFoundError(errno.ENOENT, "not a path inside the folder")
        return path

    @contextmanager
    def _translated(self, operation: str, key: str) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            raise self._translate(error, operation, key) from error

    def _translate(self, error: OSError, operation: str, key: str) -> StoreError:
        error_class = _BY_ERRNO.get(error.errno, UnavailableError)
        message = error.strerror or str(error)
        if error_class is ObjectNotFoundError and not os.path.isdir(self._root):
            error_class, message = BucketNotFoundError, f"{self._url.bucket} is not a folder"
        return error_class(message, operation=operation, key=key)


class _Cursors:
    """Suspended walks of listings, with which the next page continues without a new walk.

    Safe to use from any thread. Without its cursor a page is found by its token.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursors: OrderedDict[tuple[str, str, str | None], Iterator[WalkEntry]] = OrderedDict()

    def take(self, position: tuple[str, str, str | None]) -> Iterator[WalkEntry] | None:
        with self._lock:
            return self._cursors.pop(position, None)

    def put(self, position: tuple[str, str, str | None], names: Iterator[WalkEntry]) -> None:
        with self._lock:
            self._cursors[position] = names
            while len(self._cursors) > _CURSORS_MAX:
                self._cursors.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._cursors.clear()


def _info(key: str, status: os.stat_result, *, must_be_file: bool = False) -> ObjectInfo:
    is_file = stat.S_ISREG(status.st_mode)
    if must_be_file and not is_file:
        raise FileNotFoundError(errno.ENOENT, "not a regular file")
    return ObjectInfo(
        key=key,
        size=status.st_size if is_file else 0,
        etag=_etag(status),
        mtime_ns=status.st_mtime_ns,
        has_metadata=True,
    )


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def _changed(key: str) -> ObjectChangedError:
    return ObjectChangedError("the file was changed", operation="get", key=key)
