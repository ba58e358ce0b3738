"""The report of all findings: a document, an exit code and a verdict."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloudfs.doctor.findings import Finding, Result
from cloudfs.errors import ExitCode
from cloudfs.units import format_count

SCHEMA: Final = 2

_WITH_STORE: Final = "give its URL, or the --config that has one"


class Section(enum.StrEnum):
    """The sections of the report; also its headings."""

    MACHINE = "this machine"
    STORE = "the store"


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """One finding of a check, and the time that the check took."""

    check: str
    finding: Finding
    seconds: float
    section: Section = Section.STORE


@dataclass(frozen=True, slots=True)
class Report:
    """The findings about the machine, and about the store at `url` unless that is empty.

    `mountpoint` is None when none was given; `mount_command` is the command that mounts `url`.
    """

    url: str
    mount_command: str
    entries: Sequence[ReportEntry]
    mountpoint: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the first failure, which is the cause of most later ones."""
        codes = (entry.finding.exit_code for entry in self.entries)
        return next((code for code in codes if code), ExitCode.OK)

    @property
    def verdict(self) -> str:
        """The last line: the command that mounts, or the number of problems."""
        failures, warnings = self._count(Result.FAILURE), self._count(Result.WARNING)
        if failures:
            verdict = format_count(failures, "problem")
        elif warnings:
            verdict = f"it works, with {format_count(warnings, 'warning')}"
        else:
            verdict = "everything works"
        if not self.url:
            return f"{verdict}; the store was not examined: {_WITH_STORE}"
        return verdict if failures else f"{verdict}: {self.mount_command}"

    def as_document(self) -> dict[str, Any]:
        """Return the report for programs; docs/troubleshooting.md describes it."""
        return {
            "schema": SCHEMA,
            "url": self.url or None,
            "mountpoint": self.mountpoint,
            "verdict": self.verdict,
            "exit_code": int(self.exit_code),
            "checks": [_as_document(entry) for entry in self.entries],
        }

    def _count(self, result: Result) -> int:
        return sum(entry.finding.result is result for entry in self.entries)


def _as_document(entry: ReportEntry) -> dict[str, Any]:
    finding = entry.finding
    return {
        "section": entry.section.name.lower(),
        "check": entry.check,
        "result": str(finding.result),
        "finding": finding.text,
        "fix": finding.fix or None,
        "exit_code": int(finding.exit_code),
        "seconds": round(entry.seconds, 6),
        "facts": dict(finding.facts),
    }
