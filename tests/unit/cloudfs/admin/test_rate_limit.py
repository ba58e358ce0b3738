from __future__ import annotations

import pytest
import trio

from cloudfs.admin.rate_limit import TokenBucket
from tests.contract.in_trio import in_trio_autojump


@in_trio_autojump
async def test_what_passes_is_bounded_by_the_rate() -> None:
    bucket = TokenBucket(100)
    for _ in range(11):
        await bucket.wait()
        bucket.take(100)
    await bucket.wait()
    # The first second's worth is there from the beginning.
    assert trio.current_time() == pytest.approx(10, abs=0.1)


@in_trio_autojump
async def test_one_large_take_is_made_up_for() -> None:
    bucket = TokenBucket(100)
    bucket.take(150)
    assert not bucket.is_overdrawn
    bucket.take(1000)
    assert bucket.is_overdrawn
    await bucket.wait()
    assert trio.current_time() == pytest.approx(10.5, abs=0.1)
    assert not bucket.is_overdrawn


@in_trio_autojump
async def test_idle_time_is_not_saved_up() -> None:
    bucket = TokenBucket(100)
    await trio.sleep(1000)
    bucket.take(100)
    bucket.take(100)
    await bucket.wait()
    assert trio.current_time() == pytest.approx(1001, abs=0.1)


@in_trio_autojump
async def test_no_rate_no_limit() -> None:
    bucket = TokenBucket(None)
    bucket.take(1 << 50)
    await bucket.wait()
    assert not bucket.is_overdrawn
    assert trio.current_time() == 0
