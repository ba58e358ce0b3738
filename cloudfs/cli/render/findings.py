"""The findings of `cloudfs doctor` as text: a line each, its fix below, and the verdict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import click

from cloudfs.doctor.findings import Result
from cloudfs.doctor.report import Report, ReportEntry
from cloudfs.errors import printable

_COLOURS: Final = {Result.OK: "green", Result.WARNING: "yellow", Result.FAILURE: "red"}
_RESULT_WIDTH: Final = len("warning") + 2
_NAME_WIDTH: Final = len("fusermount") + 2


class FindingLines:
    """The lines of findings in their order, each below the heading of its section."""

    def __init__(self) -> None:
        self._section = ""

    def of(self, entry: ReportEntry) -> Iterator[str]:
        """Yield the lines of the next finding."""
        if entry.section != self._section:
            if self._section:
                yield ""
            yield _style(entry.section, bold=True)
            self._section = entry.section
        finding = entry.finding
        result = _coloured(finding.result, finding.result)
        padding = " " * (_RESULT_WIDTH - len(finding.result))
        yield f"{result}{padding}{entry.check:<{_NAME_WIDTH}}{printable(finding.text)}"
        if finding.fix:
            yield f"{' ' * (_RESULT_WIDTH + _NAME_WIDTH)}fix: {printable(finding.fix)}"


def verdict_line(report: Report) -> str:
    """Return the last line of the report."""
    return _coloured(report.verdict, Result.FAILURE if report.exit_code else Result.OK)


def _coloured(text: str, result: Result) -> str:
    skipped = result is Result.SKIPPED or None
    return _style(printable(text), fg=_COLOURS.get(result), dim=skipped)


def _style(text: str, **style: Any) -> str:
    """Return styled text, without NO_COLOR; click strips the style where there is no terminal."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)
