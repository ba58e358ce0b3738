"""The live view on a terminal: the status page, redrawn in place, with rates of the last minutes.

A daemon may hang, end and be started anew: that is shown above the last figures. `q` and Ctrl-C end
it. Importing this module imports rich.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final

from msgspec.structs import replace
from rich.console import Console
from rich.live import Live
from rich.text import Text

from cloudfs.cli.errors import TERMINATED
from cloudfs.cli.render import figures, page
from cloudfs.cli.render.figures import Paint
from cloudfs.cli.watch.poll import Poll, PolledMount
from cloudfs.cli.watch.stream import per_s_between
from cloudfs.status.document import AnyDocument
from cloudfs.units import format_duration

_ANSWER_S: Final = 0.25
_SILENCE_S: Final = 1.5
_REDRAW_S: Final = 0.5
_HISTORY: Final = 200
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_LABEL_WIDTH: Final = 13
_RATE_WIDTH: Final = 30
_FIRST: Final = ("mounted", "health", "now", "waiting", "jobs", "last errors")
"""These are seen in a low window, too."""


def show(mount: PolledMount, every_s: float) -> None:
    """Show the mount until the user ends it; the terminal is then as it was."""
    with ExitStack() as stack:
        stack.enter_context(_ends_on_sigterm())
        keys = stack.enter_context(_keys())
        console = Console()
        screen = stack.enter_context(
            Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False)
        )
        stack.enter_context(suppress(KeyboardInterrupt))
        view = View(mount, every_s)
        while True:
            view.poll_if_due()
            lines = view.lines(console.width, console.height, coloured=not console.no_color)
            screen.update(_drawn(lines), refresh=True)
            if keys.pressed(view.rest_s()) == "q":
                return


class View:
    """The lines on the screen."""

    def __init__(self, mount: PolledMount, every_s: float) -> None:
        self._mount = mount
        self._every_s = every_s
        self._due = time.monotonic()
        self._poll: Poll | None = None
        self._read: deque[float] = deque(maxlen=_HISTORY)
        self._received: deque[float] = deque(maxlen=_HISTORY)

    def poll_if_due(self) -> None:
        """Ask the daemon, once an interval."""
        if time.monotonic() < self._due:
            return
        earlier = self._poll.document if self._poll else None
        self._poll = self._mount.poll(_ANSWER_S)
        # A daemon that owes a reply is polled without a pause: each poll waits for it.
        self._due = time.monotonic() + (0.0 if self._poll.is_silent else self._every_s)
        document = self._poll.document
        if self._poll.absent is None and document is not None:
            read, received = per_s_between(earlier, document)
            self._read.append(read)
            self._received.append(received)

    def rest_s(self) -> float:
        """Return the seconds until the next poll or redraw."""
        return max(0.0, min(self._due - time.monotonic(), _REDRAW_S))

    def lines(self, width: int, height: int, *, coloured: bool) -> list[str]:
        """Return the lines that fit on the screen."""
        paint = figures.coloured if coloured else figures.plain
        found = [*self._head(paint), *self._rates(width), *self._page(paint, width)]
        if len(found) <= height:
            return found
        more = f"... {len(found) - height + 1} more lines: make the window higher"
        return [*found[: height - 1], paint(more, "label")]

    def _head(self, paint: Paint) -> Iterator[str]:
        now = time.strftime("%H:%M:%S")
        yield f"{now}  every {format_duration(self._every_s)}, q ends it"
        poll = self._poll
        if poll is None or poll.absent is None or not self._is_worth_showing(poll):
            return
        health = poll.absent.health
        age = f"; figures of {format_duration(round(poll.age_s))} ago" if poll.document else ""
        # How long one poll has waited says less than the age of the figures.
        reason = "" if poll.is_silent else f": {poll.absent.reason}"
        yield paint(f"{health.upper()}{reason}{age}", "problem")
        yield f"fix: {poll.absent.fix}"

    def _is_worth_showing(self, poll: Poll) -> bool:
        """A reply may take a moment; a daemon that has ended is reported at once."""
        return (
            not poll.is_silent or poll.document is None or poll.age_s > self._every_s + _SILENCE_S
        )

    def _rates(self, width: int) -> Iterator[str]:
        room = max(0, width - _LABEL_WIDTH - _RATE_WIDTH - 1)
        for label, rates in (("read", self._read), ("received", self._received)):
            if not rates:
                continue
            most = max(rates)
            shown = list(rates)[-room:] if room else []
            text = f"{figures.rate(rates[-1])}, most {figures.rate(most)}"
            yield f"{label.ljust(_LABEL_WIDTH)}{text.ljust(_RATE_WIDTH)} {_sparkline(shown, most)}"

    def _page(self, paint: Paint, width: int) -> list[str]:
        poll = self._poll
        if poll is None:
            return []
        document: AnyDocument = poll.document or poll.latest
        if poll.absent is not None and self._is_worth_showing(poll):
            document = replace(document, health=poll.absent.health)
        return page.lines(document, paint, min(width, page.WIDTH), _FIRST)


def _sparkline(rates: list[float], most: float) -> str:
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round(top * rate / most) if most else 0] for rate in rates)


def _drawn(lines: list[str]) -> Text:
    text = Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")
    text.end = ""
    return text


class _Keys:
    """Keys pressed on a terminal that does not wait for the end of a line."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def pressed(self, timeout_s: float) -> str:
        """Return the key that is pressed within the time, "" when none is."""
        if self._descriptor is None:
            time.sleep(timeout_s)
            return ""
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return ""
        key = os.read(self._descriptor, 1)
        if not key:
            # The terminal is gone: no key will be pressed.
            self._descriptor = None
        return key.decode("ascii", "replace")


@contextmanager
def _keys() -> Iterator[_Keys]:
    """Yield the keys of stdin; none when that is no terminal."""
    if not sys.stdin.isatty():
        yield _Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _ends_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block in order, so that the terminal is restored."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
