"""A block's states: which transitions there are, and what each leaves behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.memory.block import Block, BlockState, CachedObject, Purpose, Run
from cloudfs_cache.memory.pool import BlockBuffer, BufferPool


def buffer() -> BlockBuffer:
    found = BufferPool(1).take()
    assert found is not None
    return found


def planned() -> Block:
    cached = CachedObject(ObjectVersion("s3://b", "k", "1", BLOCK_BYTES // 2))
    block = cached.plan(0, None, Purpose.DEMAND)
    Run([block], demand=True)
    return block


def filling() -> Block:
    block = planned()
    block.supply(buffer())
    return block


def full() -> Block:
    block = filling()
    block.advance(block.length)
    block.settle()
    return block


def gone() -> Block:
    block = planned()
    block.withdraw()
    return block


def fail(block: Block) -> None:
    block.fail(ConnectionError("gone"))


TRANSITIONS: dict[str, Callable[[Block], object]] = {
    "supply": lambda block: block.supply(buffer()),
    "advance": lambda block: block.advance(1),
    "settle": lambda block: (block.advance(block.length), block.settle()),
    "forfeit": lambda block: block.forfeit(),
    "withdraw": lambda block: block.withdraw(),
    "fail": fail,
    "evict": lambda block: block.evict(),
}
ALLOWED = {
    (planned, "supply"): BlockState.FILLING,
    (planned, "withdraw"): BlockState.GONE,
    (planned, "fail"): BlockState.GONE,
    (filling, "advance"): BlockState.FILLING,
    (filling, "settle"): BlockState.FULL,
    (filling, "forfeit"): BlockState.PLANNED,
    (filling, "fail"): BlockState.GONE,
    (full, "evict"): BlockState.GONE,
}


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("state", [planned, filling, full, gone])
def test_transitions(state: Callable[[], Block], name: str) -> None:
    block = state()
    after = ALLOWED.get((state, name))
    if after is None:
        with pytest.raises(AssertionError):
            TRANSITIONS[name](block)
        return
    TRANSITIONS[name](block)
    assert block.state is after
    assert (0 in block.owner) is (after is not BlockState.GONE)
    assert (block.buffer is not None) is (after in {BlockState.FILLING, BlockState.FULL})


def test_a_pinned_block_is_not_evicted() -> None:
    block = full()
    block.pin()
    with pytest.raises(AssertionError):
        block.evict()
    block.unpin()
    block.evict()


def test_a_block_can_be_planned_again_once_it_is_gone() -> None:
    block = full()
    block.evict()
    again = block.owner.plan(0, None, Purpose.AHEAD)
    assert again is not block
    assert list(block.owner) == [again]


def test_readers_are_woken_for_their_bytes_and_by_failures() -> None:
    async def test() -> None:
        block, had = filling(), []

        async def reader(needed: int) -> None:
            try:
                await block.wait_ready(needed)
            except ConnectionError:
                had.append("failed")
            else:
                had.append(needed)

        async with trio.open_nursery() as nursery:
            for needed in (10, 1000):
                nursery.start_soon(reader, needed)
            await trio.testing.wait_all_tasks_blocked()
            block.advance(100)
            await trio.testing.wait_all_tasks_blocked()
            assert had == [10]
            fail(block)
        assert had == [10, "failed"]

    trio.run(test)


def test_bytes_are_fresh_once() -> None:
    block = full()
    assert [block.deliver(0, 10), block.deliver(5, 20), block.deliver(0, 20)] == [10, 10, 0]
