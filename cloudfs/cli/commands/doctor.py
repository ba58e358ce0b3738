"""`cloudfs doctor`: examine a machine and a store as a mount would use them, and say what mends
them.

It does not know the checks: it shows whatever they find.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import threading
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import click

from cloudfs.cli.arguments import flags
from cloudfs.config import options
from cloudfs.config.settings import NO_MOUNTPOINT, NO_URL, MountSettings, Resolution, resolve
from cloudfs.errors import ExitCode, UserError, printable
from cloudfs.telemetry import logs

if TYPE_CHECKING:
    from cloudfs.doctor.report import Report
    from cloudfs.doctor.runner import Examined, Show

_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red"}
_SETTLE_S_MAX: Final = 5.0
_RESULT_WIDTH: Final = len("warning") + 2
_NAME_WIDTH: Final = len("fusermount") + 2


@click.pass_context
def _doctor(context: click.Context, /, *, as_json: bool, quick: bool, **parameters: Any) -> int:
    """Examine this machine and the bucket or prefix URL (s3://bucket/prefix, file:///folder) as a
    mount at MOUNTPOINT would use them: everything that `cloudfs mount` takes can be written here.
    Without a URL only the machine is examined.

    Prints a line for each finding, and below it the fix. Nothing is mounted or changed.
    docs/troubleshooting.md says what the checks mean. Ends with code 0 unless a check has failed.
    """
    given, words = flags.given(context), parameters["words"]
    settle = partial(
        resolve,
        parameters["url"],
        parameters["mountpoint"],
        flags=given,
        words=words,
        environ=os.environ,
        required=(),
    )
    resolution = _settled(settle)
    _set_up_logs(debug=resolution.settings.debug)
    command = _mount_command(resolution.settings, given, parameters)
    report = _examine(resolution, command, _ignore if as_json else _Printer().show, quick=quick)
    if as_json:
        click.echo(json.dumps(report.as_document(), indent=2))
    else:
        click.echo(f"\n{_coloured(report.verdict, 'failure' if report.exit_code else 'ok')}")
    return report.exit_code


def _settled(settle: Callable[[], Resolution]) -> Resolution:
    """Return the settings. Links in their paths are looked at, and a disk there may hang."""
    outcomes: SimpleQueue[Resolution | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(settle())
        except BaseException as error:
            outcomes.put(error)

    # A daemon thread: none of those that are waited for at the end.
    threading.Thread(target=work, daemon=True).start()
    try:
        outcome = outcomes.get(timeout=_SETTLE_S_MAX)
    except Empty:
        fix = "see 'dmesg', and give other places for --cache-dir, --log-file and the mountpoint"
        message = f"a disk among the options does not answer within {_SETTLE_S_MAX:g} s: {fix}"
        raise UserError(ExitCode.TIMEOUT, message) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _examine(resolution: Resolution, mount_command: str, show: Show, *, quick: bool) -> Report:
    import trio  # noqa: PLC0415 - it and the checks are heavy, and not for --help

    from cloudfs.doctor.checks.registry import MACHINE_CHECKS, STORE_CHECKS  # noqa: PLC0415
    from cloudfs.doctor.context import Context  # noqa: PLC0415
    from cloudfs.doctor.report import Report  # noqa: PLC0415
    from cloudfs.doctor.runner import examine  # noqa: PLC0415
    from cloudfs.telemetry.redact import Censor  # noqa: PLC0415

    url, mountpoint = resolution.settings.url, resolution.settings.mountpoint
    subject = Context(resolution, os.environ, quick=quick)
    checks = MACHINE_CHECKS if url == NO_URL else (*MACHINE_CHECKS, *STORE_CHECKS)
    examined = trio.run(examine, subject, checks, show)
    command = Censor(os.environ).clean(mount_command)
    return Report(url, command, examined, None if mountpoint == NO_MOUNTPOINT else str(mountpoint))


def _set_up_logs(*, debug: bool) -> None:
    """Show the log with --debug only: what matters of it is in the findings."""
    if debug:
        logs.setup(None, "text", debug=True)
    else:
        logging.getLogger().addHandler(logging.NullHandler())
        logging.captureWarnings(capture=True)


def _mount_command(
    settings: MountSettings,
    given: Mapping[str, str | tuple[str, ...]],
    parameters: Mapping[str, Any],
) -> str:
    """Return the mount with what was typed here; DIR is for the user to fill in."""
    words = ["cloudfs", "mount"]
    for name, values in given.items():
        option = options.BY_NAME[name]
        if option.is_switch:
            words += [] if name == "debug" else [option.flag]
            continue
        for value in [values] if isinstance(values, str) else values:
            words += [option.flag, value]
    for word in parameters["words"]:
        words += ["-o", word]
    if settings.mountpoint == NO_MOUNTPOINT:
        # The URL is written even where it has another source: a mountpoint cannot stand alone.
        return f"{shlex.join([*words, parameters['url'] or settings.url])} DIR"
    typed = [parameters[name] for name in ("url", "mountpoint")]
    return shlex.join([*words, *(text for text in typed if text is not None)])


def _ignore(_: Examined) -> None:
    """Show nothing: the document comes at the end."""


class _Printer:
    """Prints each finding as it comes, below the heading of its section."""

    def __init__(self) -> None:
        self._section = ""

    def show(self, examined: Examined) -> None:
        """Print a finding, and what mends it."""
        if examined.section != self._section:
            click.echo(f"{'' if not self._section else chr(10)}{_bold(examined.section)}")
            self._section = examined.section
        finding = examined.finding
        result = str(finding.result)
        padding = " " * (_RESULT_WIDTH - len(result))
        name = examined.check.ljust(_NAME_WIDTH)
        click.echo(f"{_coloured(result, result)}{padding}{name}{printable(finding.text)}")
        if finding.fix:
            click.echo(f"{' ' * (_RESULT_WIDTH + _NAME_WIDTH)}fix: {printable(finding.fix)}")


def _bold(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)


def _coloured(text: str, result: str) -> str:
    """Return `text` in the colour of a result; click takes it away where there is no terminal."""
    if os.environ.get("NO_COLOR"):
        return printable(text)
    return click.style(printable(text), fg=_COLOURS.get(result), dim=result == "skipped" or None)


command = flags.GroupedCommand(
    "doctor",
    callback=_doctor,
    params=[
        *map(flags.parameter, options.OPTIONS),
        flags.words(),
        flags.GroupedOption(
            ["--quick"],
            heading="Examination",
            is_flag=True,
            help="Leave out what moves many bytes: the speed of the disks and the bandwidth.",
        ),
        flags.GroupedOption(
            ["--json", "as_json"],
            heading="Examination",
            is_flag=True,
            help="Print the findings as a document.",
        ),
    ],
    help=_doctor.__doc__,
    short_help="Examine machine and store, and say what mends them.",
)
