"""File names and key parts: one table of rules, no state.

A key is split at "/". A part that POSIX cannot hold as a file name is hidden, and with it
everything below it: the empty part (`a//b`, a leading or doubled slash), `.` and `..`, a part with
a NUL, and a part of more than 255 bytes. Bytes that are not UTF-8 survive (PEP 383).
"""

from __future__ import annotations

import os
from typing import Final

NAME_BYTES_MAX: Final = 255


def hidden_reason(part: str) -> str | None:
    """Return why a key part cannot be a file name, or None when it can."""
    if part == "":
        return "an empty part (`//`)"
    if part in {".", ".."}:
        return f"the part `{part}`"
    if "\0" in part:
        return "a NUL byte"
    if len(part) > NAME_BYTES_MAX // 4 and len(os.fsencode(part)) > NAME_BYTES_MAX:
        return f"a part of more than {NAME_BYTES_MAX} bytes"
    return None


def to_name(part: str) -> bytes:
    """Return the file name of a key part that is not hidden."""
    return os.fsencode(part)


def to_part(name: bytes) -> str:
    """Return the key part of a file name."""
    return os.fsdecode(name)
