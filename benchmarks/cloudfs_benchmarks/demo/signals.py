"""The first SIGINT, SIGTERM or SIGHUP ends the demo in order; later ones cannot cut that short.

Python signal handlers run between two bytecodes of the main thread. `SignalGate.deferred` keeps
that from happening between starting something and registering how it is stopped.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked the demo to end; no `Exception`, so that nothing handles it by accident."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_status(self) -> int:
        """What a shell reports for a command that this signal ended."""
        return 128 + self.signum


class SignalGate:
    """Raises `Stopped` in the main thread, once, and never inside `deferred` or after `close`."""

    def __init__(self) -> None:
        self._pending: int | None = None
        self._deferring = False
        self._closed = False

    def install(self) -> None:
        """Take over the three signals, for the rest of the process; main thread only."""
        for signum in _WATCHED:
            # Under nohup SIGHUP is ignored on purpose.
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_signal)

    def close(self) -> None:
        """From here on signals are ignored: what follows is bounded in time and must complete."""
        self._closed = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A signal that arrives inside takes effect on leaving."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        self._raise_pending()

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self._closed:
            return
        self._pending = signum
        if not self._deferring:
            self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending is not None and not self._closed:
            self._closed = True
            raise Stopped(self._pending)
