"""Formatted figures: sizes, rates, ratios, latencies, bars and columns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import click

from cloudfs.units import format_duration, format_size

BAR_WIDTH: Final = 20
_DAY_S: Final = 86400

Paint: TypeAlias = Callable[[str, str], str]
"""Takes a text and its role, such as `ok`; returns it in the colour of that, or as it is."""

_COLOURS: Final[Mapping[str, dict[str, Any]]] = {
    "title": {"bold": True},
    "label": {"fg": "cyan"},
    "ok": {"fg": "green"},
    "degraded": {"fg": "yellow", "bold": True},
    "problem": {"fg": "red", "bold": True},
}


def plain(text: str, _role: str) -> str:
    """Return the text without a colour."""
    return text


def coloured(text: str, role: str) -> str:
    """Return the text in the colour of its role; an unknown one is a problem."""
    return click.style(text, **_COLOURS.get(role, _COLOURS["problem"]))


def size(value: float) -> str:
    """Return bytes with three digits."""
    return format_size(int(value))


def rate(bytes_per_s: float) -> str:
    """Return bytes per second."""
    return f"{format_size(int(bytes_per_s))}/s"


def share(ratio: float | None) -> str:
    """Return a ratio as a percentage rounded down, so that 100 % is everything; `-` for None."""
    return "-" if ratio is None else f"{math.floor(ratio * 1000) / 10:.1f} %"


def ratio(part: float, whole: float) -> float | None:
    """Return a part of a whole; None of nothing."""
    return part / whole if whole else None


def bar(part: float, whole: float) -> str:
    """Return a bar of fixed width that is filled by this part."""
    filled = min(BAR_WIDTH, round(BAR_WIDTH * part / whole)) if whole > 0 else 0
    return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}]"


def latency(seconds: float | None) -> str:
    """Return a duration with up to three digits; `-` for None."""
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return "> 1m"
    return "0ms" if seconds < 0.000001 else format_duration(seconds)


def percentile(counts: Sequence[int], bounds_s: Sequence[float], part: float) -> float | None:
    """Return the duration that this part (0 to 1) of a histogram's requests did not exceed.

    Interpolated within its bucket, so no more exact than the bucket is wide; infinite beyond the
    last bound, and None when nothing was counted.
    """
    rank = part * sum(counts)
    if not rank:
        return None
    below, lower = 0, 0.0
    for count, upper in zip(counts, bounds_s, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return math.inf


def clock(moment: float) -> str:
    """Return the local time of a Unix time, with its date when that is not of the last day."""
    day = "" if abs(time.time() - moment) < _DAY_S else "%Y-%m-%d "
    return time.strftime(f"{day}%H:%M:%S", time.localtime(moment))


def counts(of: Mapping[str, int]) -> str:
    """Return `3 EIO, 1 ENOENT`, the most frequent first."""
    most_first = sorted(of.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in most_first)


def shortened(text: str, width: int) -> str:
    """Return the text, with its middle left out when it is longer than `width`."""
    if len(text) <= width:
        return text
    kept = width - 1
    return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"


def columns(rows: Iterable[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return rows as lines, each column as wide as it must be; the first `left` are words."""
    return ["  ".join(cells).rstrip() for cells in padded(rows, left=left)]


def padded(rows: Iterable[Sequence[str]], *, left: int) -> list[list[str]]:
    """Return the cells of `columns`, each as wide as its column."""
    table = [list(row) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return [
        [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in table
    ]
