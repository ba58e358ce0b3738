"""The frame of every request handler: counted, bounded in time, its exceptions turned into errnos.

A bug is logged with its traceback and answered EIO, because any other exception than FUSEError
would end the mount for everybody.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import time
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import pyfuse3
import trio

from cloudfs.fuse.attributes import Ownership
from cloudfs.fuse.deadlines import About, RequestWatch
from cloudfs.fuse.errnos import errno_of
from cloudfs.fuse.interrupts import is_dying
from cloudfs.telemetry.counters import RequestMetrics
from cloudfs.vfs.filesystem import FileSystem
from cloudfs_backends.errors import StoreError
from cloudfs_cache.api import WaitsFor

log = logging.getLogger(__name__)

_QUIET: Final = {errno.ENOENT, errno.ESTALE}
_BUG_ADVICE: Final = "report it with the lines of the daemon's log"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
AnyHandlers = TypeVar("AnyHandlers", bound="Handlers")


def request(
    operation: str,
) -> Callable[
    [Callable[Concatenate[AnyHandlers, Arguments], Coroutine[Any, Any, Result]]],
    Callable[Concatenate[AnyHandlers, Arguments], Coroutine[Any, Any, Result]],
]:
    """Count a handler's requests and answer its exceptions with an errno."""

    def wrap(
        handler: Callable[Concatenate[AnyHandlers, Arguments], Coroutine[Any, Any, Result]],
    ) -> Callable[Concatenate[AnyHandlers, Arguments], Coroutine[Any, Any, Result]]:
        @functools.wraps(handler)
        async def answered(
            self: AnyHandlers, /, *args: Arguments.args, **kwargs: Arguments.kwargs
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


class Handlers(pyfuse3.Operations):
    """The state that all handlers share. pyfuse3 calls them on the trio loop."""

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
        self._files = filesystem.files
        self._ownership = ownership
        self._watch = watch
        self._reported: weakref.WeakSet[StoreError] = weakref.WeakSet()

    def init(self) -> None:
        """Note that the kernel and libfuse have agreed: from now on the mount answers."""
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

    def _bounded(
        self, operation: str, about: About, ctx: pyfuse3.RequestContext | None
    ) -> AbstractContextManager[None]:
        """Return the bounds of a metadata request: the deadline, and the life of the caller."""
        dying = None if ctx is None else partial(is_dying, ctx.pid)
        return self._watch.waiting(operation, about, dying)

    def _about(self, ino: int) -> tuple[str, WaitsFor]:
        """Return the path that a waiting metadata request is about, and what it waits for."""
        return self._fs.path_of(ino), WaitsFor.STORE

    def _about_name(self, parent: int, name: bytes) -> tuple[str, WaitsFor]:
        return f"{self._fs.path_of(parent)}/{os.fsdecode(name)}".removeprefix("./"), WaitsFor.STORE
