"""Owner thread of a blocking resource, for callers on the trio loop that wait within a limit.

The resource is made, used and closed in that thread alone, one piece of work after the other. It is
a daemon thread: work that never ends holds up neither the loop nor the end of the process.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import trio


class Closable(Protocol):
    """A resource that a thread can own."""

    def close(self) -> None:
        """Release the resource. Called in the thread, once, after the last piece of work."""


Owned = TypeVar("Owned", bound=Closable)
Result = TypeVar("Result")


class LateError(Exception):
    """The thread did not finish a piece of work in time, and has not since."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Any], object]
    late: bool = False
    done: trio.Event = field(default_factory=trio.Event)
    results: list[Any] = field(default_factory=list)
    failure: Exception | None = None


class OwnerThread(Generic[Owned]):
    """Runs work on the resource that `make` returns, called before the first piece. Loop only.

    When `make` raises, that piece of work raises its error, and the next one calls it again.
    """

    def __init__(self, name: str, make: Callable[[], Owned], *, limit_s: float) -> None:
        self._name = name
        self._make = make
        self._limit_s = limit_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._late = 0
        self._closed = False

    @property
    def late(self) -> bool:
        """Whether the thread is busy with work whose caller has given up."""
        return self._late > 0

    async def run(self, work: Callable[[Owned], Result]) -> Result:
        """Return what `work` returns or raise what it raises.

        Raises LateError after the time limit (the work may yet be done), and at once while the
        thread is still late or after `aclose`.
        """
        if self._late or self._closed:
            raise LateError
        if self._thread is None:
            token = trio.lowlevel.current_trio_token()
            self._thread = threading.Thread(
                target=self._serve, args=(token,), name=self._name, daemon=True
            )
            self._thread.start()
        job = _Job(work)
        self._jobs.put(job)
        with trio.move_on_after(self._limit_s):
            await job.done.wait()
        if not job.done.is_set():
            job.late = True
            self._late += 1
            raise LateError
        if job.failure is not None:
            raise job.failure
        result: Result = job.results[0]
        return result

    async def aclose(self) -> None:
        """Close the resource after the work that was handed in; wait for it within the limit."""
        self._closed = True
        if self._thread is None:
            return
        self._jobs.put(None)
        if not self._late:
            with trio.move_on_after(self._limit_s):
                await trio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)

    def _serve(self, token: trio.lowlevel.TrioToken) -> None:
        owned: Owned | None = None
        for job in iter(self._jobs.get, None):
            try:
                owned = self._make() if owned is None else owned
                job.results.append(job.work(owned))
            except Exception as error:  # whatever it is, the caller gets it
                job.failure = error
            try:
                token.run_sync_soon(self._ended, job)
            except trio.RunFinishedError:
                break
        if owned is not None:
            owned.close()

    def _ended(self, job: _Job) -> None:
        self._late -= job.late
        job.done.set()
