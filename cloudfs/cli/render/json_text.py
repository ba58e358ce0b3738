"""JSON output of the commands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import msgspec


def text(document: object, indent: int | None = 2) -> str:
    """Return what `--json` prints of structs and values; without `indent` on one line."""
    return json.dumps(_finite(msgspec.to_builtins(document)), indent=indent)


def _finite(value: object) -> object:
    """Return `value` with infinity as `indefinite`: JSON has no number for it."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "indefinite" if value > 0 else None
    return value
