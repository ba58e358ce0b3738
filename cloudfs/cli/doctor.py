"""`cloudfs doctor`: examine the store at a URL as a mount would use it, and say what mends it.

It does not know the checks: it shows whatever they find.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from cloudfs import logs, options
from cloudfs.cli import flags
from cloudfs.cli.errors import printable
from cloudfs.config import Resolution, resolve
from cloudfs.options import Heading

if TYPE_CHECKING:
    from cloudfs.doctor.examination import Examined, Show
    from cloudfs.doctor.report import Report

_HEADINGS: Final = frozenset({Heading.BUCKET, Heading.ENDPOINT})
_OPTIONS: Final = tuple(
    option
    for option in options.OPTIONS
    if option.heading in _HEADINGS or option.name in {"config", "debug"}
)
_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red"}
_RESULT_WIDTH: Final = len("warning") + 2
_NAME_WIDTH: Final = len("versions") + 2


@click.pass_context
def _doctor(context: click.Context, /, url: str, *, as_json: bool, **_: Any) -> int:
    """Examine the bucket or prefix URL (s3://bucket/prefix, file:///folder) as a mount would use
    it: is it reached, who is this machine to it, what may it read.

    Prints a line for each check, and below it how to mend what is not well. Nothing is changed.
    docs/doctor.md says what the checks mean. Ends with code 0 unless a check has failed.
    """
    given = flags.given(context)
    resolution = resolve(url, None, flags=given, environ=os.environ)
    _set_up_logs(debug=resolution.settings.debug)
    report = _examine(resolution, _mount_command(url, given), _ignore if as_json else _show)
    if as_json:
        click.echo(json.dumps(report.as_document(), indent=2))
    else:
        click.echo(_coloured(report.verdict, "failure" if report.exit_code else "ok"))
    return report.exit_code


def _examine(resolution: Resolution, mount_command: str, show: Show) -> Report:
    import trio  # noqa: PLC0415 - it and the checks are heavy, and not for --help

    from cloudfs.doctor.checks import STORE_CHECKS  # noqa: PLC0415
    from cloudfs.doctor.context import Context  # noqa: PLC0415
    from cloudfs.doctor.examination import examine  # noqa: PLC0415
    from cloudfs.doctor.report import Report  # noqa: PLC0415
    from cloudfs.doctor.secrecy import Censor  # noqa: PLC0415

    subject = Context(resolution, os.environ)
    examined = trio.run(examine, subject, STORE_CHECKS, show)
    censor = Censor(os.environ)
    return Report(resolution.settings.url, censor.clean(mount_command), examined)


def _set_up_logs(*, debug: bool) -> None:
    """Show the log with --debug only: what matters of it is in the findings."""
    if debug:
        logs.setup(debug=True, log_file=None)
    else:
        logging.getLogger().addHandler(logging.NullHandler())
        logging.captureWarnings(capture=True)


def _mount_command(url: str, given: Mapping[str, str | tuple[str, ...]]) -> str:
    """Return the mount with the options that were typed here; DIR is for the user to fill in."""
    words = ["cloudfs", "mount"]
    for name, value in given.items():
        option = options.BY_NAME[name]
        if name != "debug":
            words += [option.flag] if option.is_switch else [option.flag, str(value)]
    return f"{shlex.join([*words, url])} DIR"


def _ignore(_: Examined) -> None:
    """Show nothing: the document comes at the end."""


def _show(examined: Examined) -> None:
    finding = examined.finding
    result = str(finding.result)
    padding = " " * (_RESULT_WIDTH - len(result))
    name = examined.check.ljust(_NAME_WIDTH)
    click.echo(f"{_coloured(result, result)}{padding}{name}{printable(finding.text)}")
    if finding.fix:
        click.echo(f"{' ' * (_RESULT_WIDTH + _NAME_WIDTH)}fix: {printable(finding.fix)}")


def _coloured(text: str, result: str) -> str:
    """Return `text` in the colour of a result; click takes it away where there is no terminal."""
    if os.environ.get("NO_COLOR"):
        return printable(text)
    return click.style(printable(text), fg=_COLOURS.get(result), dim=result == "skipped" or None)


command = flags.GroupedCommand(
    "doctor",
    callback=_doctor,
    params=[
        click.Argument(["url"], metavar="URL"),
        *map(flags.flag, _OPTIONS),
        flags.GroupedOption(
            ["--json", "as_json"],
            heading="Output",
            is_flag=True,
            help="Print the findings as a document.",
        ),
    ],
    help=_doctor.__doc__,
    short_help="Examine a store and say what mends it.",
)
