"""Findings of checks: a result, one line of text, and one line with the fix."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cloudfs.errors import ExitCode, UserError

Facts: TypeAlias = Mapping[str, object]
"""Measurements as JSON values, for programs."""


class Result(enum.StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    """A mount works, though not as well as it could."""
    FAILURE = "failure"
    """A mount does not work, or its reads cannot be relied on."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `text` and `fix` are one line each, without secrets.

    A warning and a failure have a `fix`; a failure also has the `exit_code` of `cloudfs mount`.
    """

    result: Result
    text: str
    fix: str = ""
    exit_code: ExitCode = ExitCode.OK
    facts: Facts = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.fix) != (self.result in {Result.WARNING, Result.FAILURE}):
            raise ValueError(f"a fix belongs to warnings and failures: {self}")
        if bool(self.exit_code) != (self.result is Result.FAILURE):
            raise ValueError(f"an exit code belongs to failures: {self}")


def ok(text: str, **facts: object) -> Finding:
    """Return the finding of a check that found no problem."""
    return Finding(Result.OK, text, facts=facts)


def warning(text: str, fix: str, **facts: object) -> Finding:
    """Return the finding of a mount that works, though not as well as it could."""
    return Finding(Result.WARNING, text, fix, facts=facts)


def failure(exit_code: ExitCode, text: str, fix: str, **facts: object) -> Finding:
    """Return the finding of a mount that does not work."""
    return Finding(Result.FAILURE, text, fix, exit_code, facts)


def user_error(error: UserError, **facts: object) -> Finding:
    """Return the failure of an error whose message is `problem: fix`."""
    problem, _, fix = error.message.rpartition(": ")
    return failure(error.exit_code, problem, fix, **facts)


def skipped(text: str) -> Finding:
    """Return the finding of a check that was not made."""
    return Finding(Result.SKIPPED, text)
