"""Progress on stderr: bars on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import click

from cloudfs.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S: Final = 5.0
_FIRST_LINE_S: Final = 1.0
_BAR_EVERY_S: Final = 0.2
_SPEED_OVER_S: Final = 10.0
_BAR_WIDTH: Final = 20
_BAR_AND_TEXT: Final = 75
_TITLE_MIN: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One progress bar: `done` of `total`; a `total` of 0 is unknown."""

    title: str
    done: int
    total: int
    text: str


class Display(Protocol):
    """Shows rows, a growing number of them. `interval_s`: call it about so often."""

    interval_s: float

    def __call__(self, rows: Sequence[Row]) -> None:
        """Show the current progress."""


@contextmanager
def display() -> Iterator[Display]:
    """Yield the display for stderr; bars are removed afterwards."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console  # noqa: PLC0415 - slow, and only for terminals
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    console = Console(stderr=True)
    # A long path is cut: the figures need their room.
    room = max(_TITLE_MIN, console.width - _BAR_AND_TEXT)
    title = Column(no_wrap=True, max_width=room)
    columns = (
        TextColumn("{task.fields[row].title}", markup=False, table_column=title),
        BarColumn(_BAR_WIDTH),
        TextColumn("{task.fields[row].text}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bars:
        yield _Bars(bars)


class _Lines:
    """Prints the rows every `LINE_EVERY_S`, the first after a second."""

    interval_s = 0.5

    def __init__(self) -> None:
        self._next_at = time.monotonic() + _FIRST_LINE_S

    def __call__(self, rows: Sequence[Row]) -> None:
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + LINE_EVERY_S
        for row in rows:
            click.echo(printable(f"{row.title}: {row.text}"), err=True)


class _Bars:
    """Draws a bar for each row."""

    interval_s = _BAR_EVERY_S

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: list[TaskID] = []

    def __call__(self, rows: Sequence[Row]) -> None:
        while len(self._tasks) < len(rows):
            self._tasks.append(self._bars.add_task("", row=rows[len(self._tasks)]))
        for task, row in zip(self._tasks, rows, strict=True):
            clean = Row(printable(row.title), row.done, row.total, printable(row.text))
            self._bars.update(task, completed=row.done, total=row.total or None, row=clean)
        self._bars.refresh()


class Speed:
    """Bytes per second over the last seconds, of a count that only grows from 0 at `began`."""

    def __init__(self, began: float) -> None:
        self._samples = deque([(began, 0)])

    def add(self, count: int, now: float) -> float:
        """Add the current count, at `now` in seconds, and return the bytes per second."""
        self._samples.append((now, count))
        while now - self._samples[0][0] > _SPEED_OVER_S and len(self._samples) > 2:
            self._samples.popleft()
        first_at, first = self._samples[0]
        return (count - first) / (now - first_at) if now > first_at else 0.0
