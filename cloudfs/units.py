"""Sizes, durations, modes and counts: parsers of option texts, and human-readable formats.

Every `parse_*` raises `ValueError` with what would have been accepted.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Final

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3

INDEFINITE: Final = math.inf

_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_SIZE: Final = re.compile(_NUMBER + r"\s*(?:([KMGTP])(I?B)?|B)?", re.IGNORECASE)
_DURATION: Final = re.compile(_NUMBER + r"\s*(ms|s|m|h|d)?")
_MODE: Final = re.compile(r"(?:0o)?([0-7]{1,4})")
_MULTIPLES: Final = "KMGTP"
_MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_SIZE_EXPECTED: Final = "write bytes or a size such as 8MiB, 8M or 1.5GiB"
_DURATION_EXPECTED: Final = "write seconds or a duration such as 30s, 5m, 500ms or indefinite"
_MODE_EXPECTED: Final = "write octal digits such as 0644"
_COUNT_EXPECTED: Final = "write a whole number"
_SWITCH_EXPECTED: Final = "write true or false"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def parse_size(text: str) -> int:
    """Return bytes. `M` and `MiB` are 1024**2, `MB` is 1000**2, a bare number is bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(_SIZE_EXPECTED)
    number, multiple, suffix = match.groups()
    base = 1000 if (suffix or "").upper() == "B" else 1024
    exponent = _MULTIPLES.index(multiple.upper()) + 1 if multiple else 0
    if "." in number and not exponent:
        raise ValueError(_SIZE_EXPECTED)
    return int(Fraction(number) * int(base**exponent))


def parse_duration(text: str) -> float:
    """Return seconds; `indefinite` is infinity."""
    stripped = text.strip().lower()
    if stripped == "indefinite":
        return INDEFINITE
    match = _DURATION.fullmatch(stripped)
    if match is None:
        raise ValueError(_DURATION_EXPECTED)
    number, unit = match.groups()
    return float(Fraction(number) * _MILLISECONDS[unit or "s"] / 1000)


def parse_mode(text: str) -> int:
    """Return permission bits written in octal, with or without a leading 0 or 0o."""
    match = _MODE.fullmatch(text.strip())
    if match is None:
        raise ValueError(_MODE_EXPECTED)
    return int(match.group(1), 8)


def parse_count(text: str) -> int:
    """Return a whole number that is not negative."""
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()):
        raise ValueError(_COUNT_EXPECTED)
    return int(stripped)


def parse_switch(text: str) -> bool:
    """Return the meaning of 1/true/yes/on or 0/false/no/off."""
    stripped = text.strip().lower()
    if stripped not in _TRUE | _FALSE:
        raise ValueError(_SWITCH_EXPECTED)
    return stripped in _TRUE


def format_size(size: int) -> str:
    """Return a human-readable size: exact if it is a round number of a unit, else three digits."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    if value == int(value):
        return f"{int(value)} {unit}"
    return f"{value:.2f} {unit}" if abs(value) < 10 else f"{value:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a human-readable duration: `250ms`, `30s`, `5m 3s`, `2d 4h` or `indefinite`."""
    if math.isinf(seconds):
        return "indefinite"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    return _two_largest(round(seconds))


def _two_largest(seconds: int) -> str:
    """Return the two largest units of a duration without those that are zero."""
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, _MILLISECONDS[unit] // 1000)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    return " ".join(part for part in parts[:2] if part)


def format_count(count: int, noun: str) -> str:
    """Return a number and its noun: `1 file`, `1,200 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
