"""Runs checks one after the other: skips what cannot be told any more, and bounds the time.

It knows neither what is checked nor who shows the findings.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import trio

from cloudfs.doctor import fixes
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result, failure, skipped, warning
from cloudfs.errors import ExitCode
from cloudfs.telemetry.redact import Redactor
from cloudfs_backends.api import StoreError

log = logging.getLogger(__name__)

ALL_S_MAX: Final = 60.0
"""How long all the checks may take together."""

_CLOSE_S_MAX: Final = 1.0


class Section(enum.StrEnum):
    """What is examined; also the headings that people are shown."""

    MACHINE = "this machine"
    STORE = "the store"


Found: TypeAlias = Finding | Sequence[Finding]
"""A check may find several things at once."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to find out. `run` returns what it found; a `StoreError` is a failure, too.

    It is skipped when a check that it `needs` has failed, or was skipped for that reason. It is
    given up after `limit_s`: a failure (with `late_code`) if it is `vital`, which means that a
    mount needs it, too; `late_fix` mends what took so long.
    """

    name: str
    run: Callable[[Context], Awaitable[Found]]
    needs: frozenset[str] = frozenset()
    limit_s: float = 10.0
    vital: bool = True
    section: Section = Section.STORE
    late_code: ExitCode = ExitCode.UNREACHABLE
    late_fix: str = fixes.SLOW


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that a check has found, and how long the check took."""

    check: str
    finding: Finding
    seconds: float
    section: Section = Section.STORE


Show: TypeAlias = Callable[[Examined], None]


async def examine(context: Context, checks: Sequence[Check], show: Show) -> list[Examined]:
    """Run the checks in their order, `show` each as it ends, and close what they opened."""
    redactor = Redactor(context.environ)
    deadline = trio.current_time() + ALL_S_MAX
    causes: dict[str, str] = {}
    done: list[Examined] = []
    try:
        for check in checks:
            started = trio.current_time()
            cause = next((causes[name] for name in check.needs if name in causes), "")
            if started >= deadline:
                cause = cause or "the time limit"
            if cause:
                findings: Sequence[Finding] = [skipped(f"not tried, because of {cause}")]
            else:
                findings = await _bounded(check, context, deadline - started)
            if cause or any(finding.result is Result.FAILURE for finding in findings):
                causes[check.name] = cause or check.name
            seconds = trio.current_time() - started
            for finding in findings:
                clean = _redacted(finding, redactor)
                done.append(Examined(check.name, clean, seconds, check.section))
                log.debug("%s took %.3f s: %s", check.name, seconds, clean.facts)
                show(done[-1])
    finally:
        await _close(context)
    return done


async def _bounded(check: Check, context: Context, left_s: float) -> Sequence[Finding]:
    limit_s = min(check.limit_s, left_s)
    with trio.move_on_after(limit_s):
        try:
            found = await check.run(context)
        except StoreError as error:
            found = fixes.failure_of(error, context)
        return [found] if isinstance(found, Finding) else found
    text = f"no result within {limit_s:.0f} s"
    if check.vital:
        return [failure(check.late_code, text, check.late_fix)]
    return [warning(text, check.late_fix)]


def _redacted(finding: Finding, redactor: Redactor) -> Finding:
    return replace(
        finding,
        text=redactor.redact(finding.text),
        fix=redactor.redact(finding.fix),
        facts=redactor.redact_all(finding.facts),
    )


async def _close(context: Context) -> None:
    """Let go of the connections, unless something of a check that was given up holds them."""
    if context.opened is not None:
        with trio.move_on_after(_CLOSE_S_MAX, shield=True):
            await context.opened.aclose()
