from __future__ import annotations

import io
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cloudfs.telemetry.logs import rate_limit
from cloudfs.telemetry.logs.rate_limit import SHOWN_MAX, RateLimitingHandler
from tests.support.mounting import wait_until


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Limited:
    """A logger behind a limit; `lines()` is what came through."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._stream = io.StringIO()
        self.limit = RateLimitingHandler(logging.StreamHandler(self._stream), clock=clock)
        self.logger = logging.Logger("cloudfs.test")
        self.logger.addHandler(self.limit)

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(clock: Clock) -> Iterator[Limited]:
    made = Limited(clock)
    yield made
    made.limit.close()


def test_repeats_are_counted_and_logged_when_the_window_is_over(
    limited: Limited, clock: Clock
) -> None:
    for number in range(SHOWN_MAX + 5):
        limited.logger.error("disk %d is full", number)
    limited.logger.error("another thing")
    clock.now = 61
    limited.logger.error("disk %d is full", 99)
    last = f"5 more like this in the last 60 s, the last one: disk {SHOWN_MAX + 4} is full"
    shown = [f"disk {number} is full" for number in range(SHOWN_MAX)]
    assert limited.lines() == [*shown, "another thing", last, "disk 99 is full"]


def test_tracebacks_are_repeats_too(limited: Limited) -> None:
    for _ in range(SHOWN_MAX + 5):
        try:
            raise ValueError("again")  # noqa: TRY301 - as above
        except ValueError:
            limited.logger.exception("bug")
    assert limited.lines().count("ValueError: again") == SHOWN_MAX


def test_closing_logs_what_was_suppressed(limited: Limited) -> None:
    for _ in range(SHOWN_MAX + 1):
        limited.logger.warning("again")
    limited.limit.close()
    assert limited.lines()[-1] == "1 more like this in the last 60 s, the last one: again"


def test_a_window_ends_without_another_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "WINDOW_S", 0.2)
    limited = Limited(time.monotonic)
    for _ in range(SHOWN_MAX + 3):
        limited.logger.warning("again")
    wait_until(lambda: len(limited.lines()) > SHOWN_MAX, 10, "no summary came")
    limited.limit.close()
    assert limited.lines()[-1].startswith("3 more like this")
    assert len(limited.lines()) == SHOWN_MAX + 1


def test_names_and_numbers_make_no_other_kind_and_words_do(limited: Limited) -> None:
    for number in range(SHOWN_MAX * 3):
        limited.logger.error("%s", f"get 'a b/{number}.h5' failed: request A{number}B: try again")
    for state in ("bypassed", "used again"):
        limited.logger.error("%s", f"the disk is {state}")
    assert limited.lines()[SHOWN_MAX:] == ["the disk is bypassed", "the disk is used again"]


def test_debug_and_other_levels_are_not_suppressed(limited: Limited) -> None:
    limited.logger.setLevel(logging.DEBUG)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        for _ in range(SHOWN_MAX + 2):
            limited.logger.log(level, "the same")
    assert len(limited.lines()) == 3 * SHOWN_MAX + 2


def test_the_kinds_are_bounded_and_no_first_record_is_lost(limited: Limited) -> None:
    for words in itertools.islice(itertools.product("abcdefghijklmno", repeat=3), 3000):
        limited.logger.warning("kind %s", "".join(words))
    assert len(limited.lines()) == 3000
    assert len(limited.limit._windows) == rate_limit._KINDS_MAX


def test_every_record_is_shown_or_counted_whichever_thread_logs(limited: Limited) -> None:
    def work() -> None:
        for _ in range(200):
            limited.logger.error("at once")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limited.limit.close()
    *shown, summary = limited.lines()
    assert shown == ["at once"] * SHOWN_MAX
    assert int(summary.split()[0]) == 1600 - SHOWN_MAX
