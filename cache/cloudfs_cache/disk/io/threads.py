"""Worker threads for blocking work on one disk, with a time limit.

A thread cannot be taken back from a disk that does not answer: it is left behind, and the caller
that lent it buffers learns when it has ended after all. The threads of one disk have a limit of
their own, so a stalled disk holds a few of them and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Generic, TypeVar

import trio
from outcome import Outcome

from cloudfs_cache.api import DiskStalledError

Result = TypeVar("Result")


def _nothing() -> None:
    pass


class DiskThreads:
    """Worker threads for one disk. Trio loop only."""

    def __init__(self, threads: int) -> None:
        self._limiter = trio.CapacityLimiter(threads)
        self._inside = 0
        self._left = trio.Event()

    @property
    def busy(self) -> bool:
        """Whether a thread is inside, perhaps one that was left behind."""
        return self._inside > 0

    @property
    def inside(self) -> int:
        """How many threads are inside."""
        return self._inside

    @property
    def waiting(self) -> int:
        """How much work waits for a thread."""
        return self._limiter.statistics().tasks_waiting

    async def wait_idle(self) -> None:
        """Return once no thread is inside."""
        while self._inside:
            self._left = trio.Event()
            await self._left.wait()

    async def run(
        self,
        work: Callable[[], Result],
        *,
        limit_s: float,
        on_late: Callable[[], None] = _nothing,
    ) -> Result:
        """Run `work` in a thread and return its result, or raise what it raised.

        Raises DiskStalledError after `limit_s` seconds; `on_late` is then called on the loop when
        the thread ends, and until then it may still use what `work` refers to. The same holds when
        the caller is cancelled.
        """
        use: _Use[Result] = _Use(on_late)
        try:
            with trio.fail_after(limit_s):
                await self._limiter.acquire_on_behalf_of(use)
                self._start(work, use)
                await use.ended.wait()
        except trio.TooSlowError:
            if not use.handed_in:
                use.leave()
                raise DiskStalledError(f"no answer within {limit_s:g} s") from None
            # The thread has ended: it was this process that did not run meanwhile.
            with trio.CancelScope(shield=True):
                await use.ended.wait()
        except trio.Cancelled:
            use.leave()
            raise
        assert use.outcome is not None
        return use.outcome.unwrap()

    def _start(self, work: Callable[[], Result], use: _Use[Result]) -> None:
        """Like trio.to_thread.run_sync, which does not say whether a thread was started when it
        is cancelled."""
        token = trio.lowlevel.current_trio_token()

        def end(outcome: Outcome[Result]) -> None:
            self._inside -= 1
            self._limiter.release_on_behalf_of(use)
            self._left.set()
            use.end(outcome)

        def deliver(outcome: Outcome[Result]) -> None:
            use.handed_in = True
            # A thread may come back after the loop has ended.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(end, outcome)

        try:
            trio.lowlevel.start_thread_soon(work, deliver)
        except BaseException:
            self._limiter.release_on_behalf_of(use)
            raise
        self._inside += 1
        use.started = True


class _Use(Generic[Result]):
    """One use of a thread: whether it still holds its arguments, and the callback for its end."""

    def __init__(self, on_late: Callable[[], None]) -> None:
        self.started = False
        self.handed_in = False
        self.ended = trio.Event()
        self.outcome: Outcome[Result] | None = None
        self._on_late = on_late
        self._left = False

    def leave(self) -> None:
        """Stop waiting: the thread is left behind."""
        self._left = True
        if not self.started or self.ended.is_set():
            self._on_late()

    def end(self, outcome: Outcome[Result]) -> None:
        """Note that the thread has ended."""
        self.outcome = outcome
        self.ended.set()
        if self._left:
            self._on_late()
