"""Sizes on the command line: `200MB`, `1.5GiB`, `4096`."""

from __future__ import annotations

import argparse
import re

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)}
_UNITS |= {f"{prefix}IB": 1024**power for power, prefix in enumerate("KMGT", 1)}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_size(text: str) -> int:
    """Bytes from a number with an optional unit (KB, MB, GB, TB or KiB, MiB, GiB, TiB)."""
    match = _PATTERN.fullmatch(text.strip())
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 200MB or 2GiB")
    return int(float(match[1]) * unit)
