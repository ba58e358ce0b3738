"""User errors: one line with the problem and the fix, and an exit code.

Everything that ends a command because of its input or its environment is a `UserError`: the command
line prints its message on stderr and exits with its code. Any other exception is a bug and keeps
its traceback.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable


class ExitCode(enum.IntEnum):
    """The exit status of `cloudfs`, documented in docs/troubleshooting.md."""

    OK = 0
    BUG = 1
    USAGE = 2
    MOUNTPOINT = 3
    BUCKET = 4
    CREDENTIALS = 5
    UNREACHABLE = 6
    CACHE = 7
    FUSE = 8
    NOT_MOUNTED = 9
    TIMEOUT = 10
    INCOMPLETE = 11
    REGRESSION = 12


class UserError(Exception):
    """An error that the user can fix: `message` names the thing and the fix, in one line."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message


def printable(text: str) -> str:
    """Return `text` on one line and free of control characters.

    File names and answers of other processes may hold anything, terminal escapes included.
    """
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """Return `text` with backslash escapes for line breaks and all that cannot be printed."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean NAME?` for the known name nearest to `word`, "" when none is near."""
    name = nearest(word, known)
    return f"did you mean {name}?" if name else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest to `word`, "" when none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")
