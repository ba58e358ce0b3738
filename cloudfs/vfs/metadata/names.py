"""How keys become names and names become keys: one table of rules, no state.

A key is split at "/". A part that POSIX cannot hold as a file name is hidden, and with it
everything below it: the empty part (`a//b`, a leading or doubled slash), `.` and `..`, a part with
a NUL, and a part of more than 255 bytes. Bytes that are not UTF-8 survive (PEP 383).
"""

from __future__ import annotations

import os

NAME_BYTES_MAX = 255


def hidden_reason(part: str) -> str | None:
    """Why a key part cannot be a file name, or None when it can."""
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
    """The file name of a key part that is not hidden."""
    return os.fsencode(part)


def to_part(name: bytes) -> str:
    """The key part of a file name."""
    return os.fsdecode(name)
