"""Decorators of coroutine tests: each runs in a trio loop of its own and may not hang."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import trio
import trio.testing

_TIMEOUT_S = 60.0

Test = Callable[..., Coroutine[Any, Any, None]]


def in_trio(test: Test) -> Callable[..., None]:
    """Run `test` in trio, in real time; fixtures reach it as usual."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def bounded() -> None:
            with trio.fail_after(_TIMEOUT_S):
                await test(*args, **kwargs)

        trio.run(bounded)

    return run


def in_trio_autojump(test: Test) -> Callable[..., None]:
    """Run `test` on a clock that jumps as soon as all tasks wait; for tests without threads."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(functools.partial(test, *args, **kwargs), clock=clock)

    return run
