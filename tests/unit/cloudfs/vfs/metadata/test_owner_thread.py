"""One thread that owns something: its errors reach the caller, its delays do not."""

from __future__ import annotations

import threading

import pytest
import trio

from cloudfs.vfs.metadata.owner_thread import LateError, OwnerThread
from tests.contract.in_trio import in_trio


class Owned:
    """Knows the threads that touched it."""

    def __init__(self) -> None:
        self.threads = {threading.get_ident()}
        self.closed = threading.Event()

    def touch(self) -> int:
        self.threads.add(threading.get_ident())
        return len(self.threads)

    def close(self) -> None:
        self.touch()
        self.closed.set()


@in_trio
async def test_one_thread_makes_uses_and_closes_it() -> None:
    made: list[Owned] = []

    def make() -> Owned:
        made.append(Owned())
        return made[0]

    owner = OwnerThread("owner", make, limit_s=30.0)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(owner.run, Owned.touch)
    with pytest.raises(ZeroDivisionError):
        await owner.run(lambda _: 1 / 0)
    await owner.aclose()
    (owned,) = made
    assert owned.closed.is_set()
    assert len(owned.threads) == 1
    assert threading.get_ident() not in owned.threads
    with pytest.raises(LateError):
        await owner.run(Owned.touch)


@in_trio
async def test_what_cannot_be_made_is_tried_again_by_the_next() -> None:
    attempts: list[int] = []

    def make() -> Owned:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not now")
        return Owned()

    owner = OwnerThread("owner", make, limit_s=30.0)
    with pytest.raises(OSError, match="not now"):
        await owner.run(Owned.touch)
    assert await owner.run(Owned.touch) == 1
    await owner.aclose()


@in_trio
async def test_while_it_is_late_no_caller_waits() -> None:
    gate, owned = threading.Event(), Owned()
    owner = OwnerThread("owner", lambda: owned, limit_s=0.05)
    with pytest.raises(LateError):
        await owner.run(lambda _: gate.wait(60))
    assert owner.late
    with trio.fail_after(10):
        for _ in range(10_000):
            with pytest.raises(LateError):
                await owner.run(Owned.touch)
    await owner.aclose()
    assert not owned.closed.is_set()
    gate.set()
    assert await trio.to_thread.run_sync(owned.closed.wait, 30)


@in_trio
async def test_a_caller_that_gives_up_leaves_the_thread_to_others() -> None:
    gate = threading.Event()
    owner = OwnerThread("owner", Owned, limit_s=30.0)
    with trio.move_on_after(0):
        await owner.run(lambda _: gate.wait(60))
    gate.set()
    assert await owner.run(Owned.touch) == 1
    assert not owner.late
    await owner.aclose()
