"""All findings as one document, and the exit code and the verdict that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloudfs.doctor.findings import Result
from cloudfs.doctor.runner import Examined
from cloudfs.errors import ExitCode
from cloudfs.units import format_count

SCHEMA: Final = 2

_WITH_STORE: Final = "give its URL, or the --config that has one"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found out about the store at `url`, and the machine it would be mounted on.

    Without a URL only the machine was examined. `mountpoint` is None when none was given;
    `mount_command` is how to mount it.
    """

    url: str
    mount_command: str
    examined: Sequence[Examined]
    mountpoint: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The code of the first failure, which is the cause of most that follow."""
        codes = (one.finding.exit_code for one in self.examined)
        return next((code for code in codes if code), ExitCode.OK)

    @property
    def verdict(self) -> str:
        """The last line: what to do now."""
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
            "checks": [_as_document(one) for one in self.examined],
        }

    def _count(self, result: Result) -> int:
        return sum(one.finding.result is result for one in self.examined)


def _as_document(one: Examined) -> dict[str, Any]:
    finding = one.finding
    return {
        "section": one.section.name.lower(),
        "check": one.check,
        "result": str(finding.result),
        "finding": finding.text,
        "fix": finding.fix or None,
        "exit_code": int(finding.exit_code),
        "seconds": round(one.seconds, 6),
        "facts": dict(finding.facts),
    }
