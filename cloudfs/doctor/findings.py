"""What a check has found: a result, one line about it, and one line that mends it.

It knows neither the checks nor who shows their findings.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cloudfs.errors import ExitCode

Facts: TypeAlias = Mapping[str, object]
"""What was measured, for programs: values that JSON has."""


class Result(enum.StrEnum):
    """How a check has ended."""

    OK = "ok"
    WARNING = "warning"
    """A mount works, though not as well as it could."""
    FAILURE = "failure"
    """A mount does not work, or its reads cannot be relied on."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `text` and `fix` are one line each, without secrets.

    Whatever is not well has a `fix`, and a failure the `exit_code` that `mount` would end with.
    """

    result: Result
    text: str
    fix: str = ""
    exit_code: ExitCode = ExitCode.OK
    facts: Facts = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.fix) != (self.result in {Result.WARNING, Result.FAILURE}):
            raise ValueError(f"a fix is for what is not well: {self}")
        if bool(self.exit_code) != (self.result is Result.FAILURE):
            raise ValueError(f"an exit code is for failures: {self}")


def ok(text: str, **facts: object) -> Finding:
    """Return the finding of a check that has nothing to complain about."""
    return Finding(Result.OK, text, facts=facts)


def warning(text: str, fix: str, **facts: object) -> Finding:
    """Return the finding that something is not as good as it could be."""
    return Finding(Result.WARNING, text, fix, facts=facts)


def failure(exit_code: ExitCode, text: str, fix: str, **facts: object) -> Finding:
    """Return the finding that something does not work."""
    return Finding(Result.FAILURE, text, fix, exit_code, facts)


def skipped(text: str) -> Finding:
    """Return the finding that there was nothing to check."""
    return Finding(Result.SKIPPED, text)
