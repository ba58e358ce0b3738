"""Deadlines of waiting requests, and the end of those whose caller is being killed.

One task checks all waiting requests once a second. A request that waits costs two operations on a
set here, and one that is answered at once costs none.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final, TypeAlias

import pyfuse3
import trio

from cloudfs_cache.api import WaitsFor

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 1.0

About: TypeAlias = Callable[[], tuple[str, WaitsFor]]
"""Returns the path that a request is about, and what it waits for now. Called on the loop."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A request that has waited for `waited_s` seconds; `name` is the path in the mount."""

    operation: str
    name: str
    waited_s: float
    waits_for: WaitsFor


@dataclass(slots=True, eq=False)
class _Waiting:
    operation: str
    about: About
    since: float
    scope: trio.CancelScope
    caller_dying: Callable[[], bool] | None
    errno: int = 0


class RequestWatch:
    """The requests that wait now, each for at most `deadline_s`."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._waiting: set[_Waiting] = set()
        self._idle = trio.Event()
        self._closed_with = 0

    async def wait_idle(self) -> None:
        """Return once no request waits."""
        while self._waiting:
            self._idle = trio.Event()
            await self._idle.wait()

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._waiting)

    def longest(self, most: int) -> list[Wait]:
        """Return up to `most` of the requests that wait, the longest first."""
        now = trio.current_time()
        entries = nsmallest(most, self._waiting, key=lambda entry: entry.since)
        found = []
        for entry in entries:
            name, waits_for = entry.about()
            found.append(Wait(entry.operation, name, now - entry.since, waits_for))
        return found

    @contextmanager
    def waiting(
        self, operation: str, about: About, caller_dying: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Run the body under the bounds; raises FUSEError EINTR or EIO when one is hit.

        `caller_dying` is called in a worker thread, about once a second.
        """
        if self._closed_with:
            raise pyfuse3.FUSEError(self._closed_with)
        entry = _Waiting(operation, about, trio.current_time(), trio.CancelScope(), caller_dying)
        self._waiting.add(entry)
        try:
            with entry.scope:
                yield
        finally:
            self._waiting.remove(entry)
            if not self._waiting:
                self._idle.set()
        if entry.scope.cancelled_caught:
            raise pyfuse3.FUSEError(entry.errno)

    async def watch_forever(self) -> None:
        """End the requests whose bound is hit. Runs until cancelled."""
        while True:
            await trio.sleep(_INTERVAL_S)
            for entry in list(self._waiting):
                await self._check(entry)

    def close(self, number: int) -> None:
        """Answer every request that waits, now or later, with this errno: the mount is going away.

        Later ones too: the kernel asks again, page by page, for what its read-ahead did not get.
        """
        self._closed_with = number
        for entry in list(self._waiting):
            self._end(entry, number)

    async def _check(self, entry: _Waiting) -> None:
        waited = trio.current_time() - entry.since
        if waited > self._deadline_s:
            log.warning("%s waited %.0f s for the store: given up (EIO)", entry.operation, waited)
            self._end(entry, errno.EIO)
        elif waited >= _INTERVAL_S and entry.caller_dying is not None:
            dying = await trio.to_thread.run_sync(entry.caller_dying, abandon_on_cancel=True)
            if dying and entry in self._waiting:
                self._end(entry, errno.EINTR)

    def _end(self, entry: _Waiting, number: int) -> None:
        entry.errno = number
        entry.scope.cancel()
