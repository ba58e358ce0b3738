"""The end of a command: at most one line on stderr, and an exit code.

An error that the user can fix (`UserError`, click's usage errors) is one line; any other exception
is a bug and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Final

import click

from cloudfs.errors import ExitCode, UserError, did_you_mean, printable

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
TERMINATED: Final = 143

REPORT: Final = "this is a bug: report the lines above with the output of 'cloudfs --version'"


def run(call: Callable[[], object]) -> int:
    """Run a command, print its error and return its exit code.

    `call` returns an exit code, or anything else for success. `SystemExit` passes through.
    """
    try:
        result = call()
        sys.stdout.flush()
    except UserError as error:
        say(error.message)
        return error.exit_code
    except click.ClickException as error:
        say(usage_line(error))
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except Exception:
        show_traceback()
        say(REPORT)
        return ExitCode.BUG
    return result if isinstance(result, int) else ExitCode.OK


def show_traceback() -> None:
    """Print the traceback of the current exception on stderr, without secrets."""
    from cloudfs.telemetry.redact import Redactor  # noqa: PLC0415 - its patterns are for bugs only

    click.echo(Redactor(os.environ).redact(traceback.format_exc()), err=True, nl=False)


def say(message: str) -> None:
    """Print `cloudfs: message` on stderr, as exactly one line."""
    click.echo(f"cloudfs: {printable(message)}", err=True)


def usage_line(error: click.ClickException) -> str:
    """Return a usage error as `what: fix`, the fix being the nearest name or the help."""
    context = getattr(error, "ctx", None)
    help_of = f"see '{context.command_path if context else 'cloudfs'} --help'"
    if isinstance(error, click.NoSuchOption):
        known = [] if context is None else _flags(context.command)
        hint = did_you_mean(error.option_name, known) or help_of
        return f"no such option {error.option_name}: {hint}"
    message = error.format_message().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}: {help_of}"


def _flags(command: click.Command) -> list[str]:
    return [flag for parameter in command.params for flag in parameter.opts]


def _forget_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
