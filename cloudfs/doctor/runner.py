"""Sequential execution of checks, with dependencies and time limits."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import trio

from cloudfs.doctor import fixes
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result, failure, skipped, warning
from cloudfs.doctor.report import ReportEntry, Section
from cloudfs.errors import ExitCode
from cloudfs.telemetry.redact import Redactor
from cloudfs_backends.errors import StoreError

log = logging.getLogger(__name__)

ALL_S_MAX: Final = 60.0
"""The time limit of all checks together."""

_CLOSE_S_MAX: Final = 1.0


Findings: TypeAlias = Finding | Sequence[Finding]
"""A check may have several findings."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `run` returns its findings; a `StoreError` that it raises is a failure.

    It is skipped when a check that it `needs` has failed, or was skipped for that reason. It is
    cancelled after `timeout_s`: a failure with `timeout_code` if a mount depends on it as well
    (`required`), else a warning, with `timeout_fix`.
    """

    name: str
    run: Callable[[Context], Awaitable[Findings]]
    needs: frozenset[str] = frozenset()
    timeout_s: float = 10.0
    required: bool = True
    section: Section = Section.STORE
    timeout_code: ExitCode = ExitCode.UNREACHABLE
    timeout_fix: str = fixes.SLOW


Show: TypeAlias = Callable[[ReportEntry], None]


async def run_checks(context: Context, checks: Sequence[Check], show: Show) -> list[ReportEntry]:
    """Run the checks in their order, `show` each finding at once, and close the store."""
    redactor = Redactor(context.environ)
    deadline = trio.current_time() + ALL_S_MAX
    causes: dict[str, str] = {}
    entries: list[ReportEntry] = []
    try:
        for check in checks:
            started = trio.current_time()
            cause = next((causes[name] for name in check.needs if name in causes), "")
            if started >= deadline:
                cause = cause or "the time limit"
            if cause:
                findings: Sequence[Finding] = [skipped(f"not tried, because of {cause}")]
            else:
                findings = await _run(check, context, deadline - started)
            if cause or any(finding.result is Result.FAILURE for finding in findings):
                causes[check.name] = cause or check.name
            seconds = trio.current_time() - started
            for finding in findings:
                clean = _redacted(finding, redactor)
                entries.append(ReportEntry(check.name, clean, seconds, check.section))
                log.debug("%s took %.3f s: %s", check.name, seconds, clean.facts)
                show(entries[-1])
    finally:
        await _close(context)
    return entries


async def _run(check: Check, context: Context, left_s: float) -> Sequence[Finding]:
    timeout_s = min(check.timeout_s, left_s)
    with trio.move_on_after(timeout_s):
        try:
            findings = await check.run(context)
        except StoreError as error:
            findings = fixes.store_failure(error, context)
        return [findings] if isinstance(findings, Finding) else findings
    text = f"no result within {timeout_s:.0f} s"
    if check.required:
        return [failure(check.timeout_code, text, check.timeout_fix)]
    return [warning(text, check.timeout_fix)]


def _redacted(finding: Finding, redactor: Redactor) -> Finding:
    return replace(
        finding,
        text=redactor.redact(finding.text),
        fix=redactor.redact(finding.fix),
        facts=redactor.redact_all(finding.facts),
    )


async def _close(context: Context) -> None:
    """Close the store; give up if a check that was cancelled keeps its connections busy."""
    if context.opened_store is not None:
        with trio.move_on_after(_CLOSE_S_MAX, shield=True):
            await context.opened_store.aclose()
