"""Threads on a disk that does not answer: they are left, and say so exactly once when they end."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from outcome import Outcome

from cloudfs_cache.api import DiskStalledError
from cloudfs_cache.disk.io.threads import DiskThreads


class Hanging:
    """Work that ends when it is told to. `late` counts how often its end was reported."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.late = 0

    def __call__(self) -> str:
        self.begun.set()
        assert self.go_on.wait(30)
        return "done"

    def on_late(self) -> None:
        self.late += 1


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(20):
            await test()

    trio.run(bounded)


def fails() -> None:
    raise OSError(5, "EIO")


def test_results_and_errors_come_back() -> None:
    async def test() -> None:
        threads, work = DiskThreads(2), Hanging()
        work.go_on.set()
        assert await threads.run(work, limit_s=10, on_late=work.on_late) == "done"
        with pytest.raises(OSError, match="EIO"):
            await threads.run(fails, limit_s=10, on_late=work.on_late)
        assert (threads.busy, work.late) == (False, 0)
        await threads.wait_idle()

    run(test)


def test_a_thread_that_hangs_is_left_and_reported_once() -> None:
    async def test() -> None:
        threads, work = DiskThreads(2), Hanging()
        with pytest.raises(DiskStalledError, match=r"within 0\.05 s"):
            await threads.run(work, limit_s=0.05, on_late=work.on_late)
        assert (threads.busy, work.late) == (True, 0)
        work.go_on.set()
        await threads.wait_idle()
        assert (threads.busy, work.late) == (False, 1)
        assert await threads.run(lambda: 7, limit_s=10) == 7
        assert work.late == 1

    run(test)


def test_one_that_never_started_is_reported_at_once() -> None:
    async def test() -> None:
        threads, hanging, second = DiskThreads(1), Hanging(), Hanging()
        with pytest.raises(DiskStalledError):
            await threads.run(hanging, limit_s=0.05, on_late=hanging.on_late)
        with pytest.raises(DiskStalledError):
            await threads.run(second, limit_s=0.05, on_late=second.on_late)
        assert (second.late, second.begun.is_set()) == (1, False)
        hanging.go_on.set()
        await threads.wait_idle()
        assert (hanging.late, second.late, second.begun.is_set()) == (1, 1, False)
        assert await threads.run(lambda: 7, limit_s=10) == 7

    run(test)


def test_a_caller_that_is_cancelled_is_told_too() -> None:
    async def test() -> None:
        threads, work = DiskThreads(1), Hanging()
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                await threads.run(work, limit_s=10, on_late=work.on_late)

            nursery.start_soon(call)
            await trio.to_thread.run_sync(work.begun.wait)
            nursery.cancel_scope.cancel()
        assert work.late == 0
        work.go_on.set()
        await threads.wait_idle()
        assert work.late == 1

    run(test)


@pytest.fixture
def handed_in(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a thread has told the loop that it has ended, which the loop may not know yet."""
    event = threading.Event()
    genuine = trio.lowlevel.start_thread_soon

    def watched(work: Callable[[], object], deliver: Callable[[Outcome[object]], None]) -> None:
        def then(outcome: Outcome[object]) -> None:
            deliver(outcome)
            event.set()

        genuine(work, then)

    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", watched)
    return event


@pytest.mark.parametrize("attempt", range(10))
def test_an_end_beside_a_cancellation_is_reported_once(
    attempt: int, handed_in: threading.Event
) -> None:
    """The loop learns of both in one step, and takes them in any order."""
    del attempt

    async def test() -> None:
        threads, work = DiskThreads(1), Hanging()
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                await threads.run(work, limit_s=10, on_late=work.on_late)

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            work.go_on.set()
            assert handed_in.wait(20)
            nursery.cancel_scope.cancel()
        await threads.wait_idle()
        assert work.late == 1

    run(test)


@pytest.mark.parametrize("attempt", range(10))
@pytest.mark.parametrize("first", ["the end", "the deadline", "neither"])
def test_an_end_at_the_deadline_is_reported_once(
    first: str, attempt: int, handed_in: threading.Event
) -> None:
    """With neither first, the loop learns of both in one step: then it was the loop that was late,
    for instance because the process was stopped, and not the disk."""
    del attempt

    async def test(clock: trio.testing.MockClock) -> None:
        threads, work = DiskThreads(1), Hanging()
        outcome: list[str] = []

        async def call() -> None:
            try:
                outcome.append(await threads.run(work, limit_s=5, on_late=work.on_late))
            except DiskStalledError:
                outcome.append("stalled")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            if first == "the deadline":
                clock.jump(6)
                await trio.testing.wait_all_tasks_blocked()
            work.go_on.set()
            assert handed_in.wait(20)
            if first == "the end":
                await trio.testing.wait_all_tasks_blocked()
            clock.jump(6)
        await threads.wait_idle()
        late = first == "the deadline"
        assert (outcome, work.late) == (["stalled"] if late else ["done"], late)

    clock = trio.testing.MockClock()
    trio.run(test, clock, clock=clock)
