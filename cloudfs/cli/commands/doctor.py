"""`cloudfs doctor`: check a machine and a store as a mount would use them, and show the fixes."""

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
from cloudfs.cli.render.findings import FindingLines, verdict_line
from cloudfs.config import options
from cloudfs.config.settings import NO_MOUNTPOINT, NO_URL, MountSettings, Resolution, resolve
from cloudfs.doctor.report import Report, ReportEntry
from cloudfs.errors import ExitCode, UserError
from cloudfs.telemetry import logs

if TYPE_CHECKING:
    from cloudfs.doctor.runner import Show

_RESOLVE_S_MAX: Final = 5.0


@click.pass_context
def _doctor(context: click.Context, /, *, as_json: bool, quick: bool, **parameters: Any) -> int:
    """Examine this machine and the bucket or prefix URL (s3://bucket/prefix, file:///folder) as a
    mount at MOUNTPOINT would use them: everything that `cloudfs mount` takes can be written here.
    Without a URL only the machine is examined.

    Prints a line for each finding, and below it the fix. Nothing is mounted or changed.
    docs/troubleshooting.md says what the checks mean. Ends with code 0 unless a check has failed.
    """
    given, words = flags.given(context), parameters["words"]
    resolve_settings = partial(
        resolve,
        parameters["url"],
        parameters["mountpoint"],
        flags=given,
        words=words,
        environ=os.environ,
        required=(),
    )
    resolution = _within_timeout(resolve_settings)
    _set_up_logs(debug=resolution.settings.debug)
    command = _mount_command(resolution.settings, given, parameters)
    lines = FindingLines()

    def show(entry: ReportEntry) -> None:
        for line in () if as_json else lines.of(entry):
            click.echo(line)

    report = _examine(resolution, command, show, quick=quick)
    if as_json:
        click.echo(json.dumps(report.as_document(), indent=2))
    else:
        click.echo(f"\n{verdict_line(report)}")
    return report.exit_code


def _within_timeout(resolve_settings: Callable[[], Resolution]) -> Resolution:
    """Return the settings. Their paths are resolved, and a disk there may hang."""
    outcomes: SimpleQueue[Resolution | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(resolve_settings())
        except BaseException as error:
            outcomes.put(error)

    # A daemon thread: the interpreter does not wait for it at exit.
    threading.Thread(target=work, daemon=True).start()
    try:
        outcome = outcomes.get(timeout=_RESOLVE_S_MAX)
    except Empty:
        fix = "see 'dmesg', and give other places for --cache-dir, --log-file and the mountpoint"
        message = f"a disk among the options does not answer within {_RESOLVE_S_MAX:g} s: {fix}"
        raise UserError(ExitCode.TIMEOUT, message) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _examine(resolution: Resolution, mount_command: str, show: Show, *, quick: bool) -> Report:
    import trio  # noqa: PLC0415 - it and the checks are heavy, and not for --help

    from cloudfs.doctor.checks.registry import MACHINE_CHECKS, STORE_CHECKS  # noqa: PLC0415
    from cloudfs.doctor.context import Context  # noqa: PLC0415
    from cloudfs.doctor.runner import run_checks  # noqa: PLC0415
    from cloudfs.telemetry.redact import Redactor  # noqa: PLC0415

    url, mountpoint = resolution.settings.url, resolution.settings.mountpoint
    subject = Context(resolution, os.environ, quick=quick)
    checks = MACHINE_CHECKS if url == NO_URL else (*MACHINE_CHECKS, *STORE_CHECKS)
    entries = trio.run(run_checks, subject, checks, show)
    command = Redactor(os.environ).redact(mount_command)
    return Report(url, command, entries, None if mountpoint == NO_MOUNTPOINT else str(mountpoint))


def _set_up_logs(*, debug: bool) -> None:
    """Show the log with --debug only: the findings have what matters."""
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
    """Return the mount command with the same options; DIR stands for a missing mountpoint."""
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
        # The URL is written even where it has another source: DIR alone would be taken for it.
        return f"{shlex.join([*words, parameters['url'] or settings.url])} DIR"
    typed = [parameters[name] for name in ("url", "mountpoint")]
    return shlex.join([*words, *(text for text in typed if text is not None)])


command = flags.GroupedCommand(
    "doctor",
    callback=_doctor,
    params=[
        *flags.mount_parameters(),
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
    short_help="Examine machine and store, and show fixes.",
)
