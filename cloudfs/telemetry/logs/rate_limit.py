"""Log rate limiting: ten records of a kind per minute, then one line that counts the rest.

A store that fails or a disk that is full logs the same record thousands of times a minute.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

WINDOW_S: Final = 60.0
SHOWN_MAX: Final = 10
"""Records of one kind that are passed on in a window."""

_KINDS_MAX: Final = 256
_KEY_MAX: Final = 200
_MESSAGE_MAX: Final = 2000
_PARTICULARS: Final = re.compile(r"""'[^']*'|"[^"]*"|\S*\d\S*""")

_Key: TypeAlias = tuple[str, int, str]


@dataclass(slots=True)
class _Window:
    started: float
    shown: int = 0
    suppressed: int = 0
    last: logging.LogRecord | None = None


class RateLimitingHandler(logging.Handler):
    """Passes records to `target`, at most ten of a kind per minute.

    A kind is a logger, a level and the fingerprint of a message. The line that counts the
    suppressed records comes when the minute is over, or when the handler is closed. Records at
    DEBUG are never suppressed. At most 256 kinds are tracked at once. Closing it closes the target.
    """

    def __init__(
        self, target: logging.Handler, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._target = target
        self._clock = clock
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, or suppress and count it. Any thread, with the lock held."""
        if record.levelno < logging.INFO:
            self._target.handle(record)
            return
        now = self._clock()
        self.end_windows(now)
        window = self._window(_key(record), now)
        if window.shown < SHOWN_MAX:
            window.shown += 1
            self._target.handle(record)
            return
        window.suppressed += 1
        window.last = record
        self._start_timer(window.started + WINDOW_S - now)

    def end_windows(self, now: float) -> None:
        """End the windows that are over by `now`, and log what each suppressed."""
        with self._own_lock():
            while self._windows:
                key, window = next(iter(self._windows.items()))
                if now - window.started < WINDOW_S:
                    return
                del self._windows[key]
                self._summarize(window)

    def flush(self) -> None:
        """Flush the target. Suppressed records stay counted."""
        self._target.flush()

    def close(self) -> None:
        """Log what was suppressed, and close the target."""
        with self._own_lock():
            for window in self._windows.values():
                self._summarize(window)
            self._windows.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._target.close()
        super().close()

    def _own_lock(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock

    def _window(self, key: _Key, now: float) -> _Window:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _KINDS_MAX:
                self._summarize(self._windows.popitem(last=False)[1])
            window = self._windows[key] = _Window(now)
        return window

    def _summarize(self, window: _Window) -> None:
        last = window.last
        if last is None:
            return
        summary = logging.makeLogRecord(
            {
                "name": last.name,
                "levelno": last.levelno,
                "levelname": last.levelname,
                "msg": "%d more like this in the last %.0f s, the last one: %s",
                "args": (window.suppressed, WINDOW_S, last.getMessage()),
                "suppressed": window.suppressed,
            }
        )
        self._target.handle(summary)

    def _start_timer(self, seconds: float) -> None:
        # Started at need: a thread of the process that set this up does not survive a fork.
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(max(0.0, seconds), self._on_timer)
            self._timer.daemon = True
            self._timer.start()

    def _on_timer(self) -> None:
        with self._own_lock():
            self._timer = None
            now = self._clock()
            self.end_windows(now)
            pending = [w.started for w in self._windows.values() if w.suppressed]
            if pending:
                self._start_timer(min(pending) + WINDOW_S - now)


def _key(record: logging.LogRecord) -> _Key:
    # Not the template: that a disk works again must not count as one more failure of it.
    words = fingerprint(record.getMessage()[:_MESSAGE_MAX])
    return record.name, record.levelno, words[:_KEY_MAX]


def fingerprint(text: str) -> str:
    """Return a message without quoted names and words with digits (paths, request ids).

    Those differ where one cause affects many files.
    """
    return _PARTICULARS.sub("", text)
