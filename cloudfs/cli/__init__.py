"""The command line: one module per verb, and one place that turns errors into a line and a code.

It does not know how a verb does its work. Nothing heavy (trio, an SDK, pyfuse3) is imported before
a verb needs it, so `--help` and `--version` answer at once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from cloudfs import __version__
from cloudfs.cli import errors, mount, status, umount
from cloudfs.errors import ExitCode, UserError

_VERBS: Final = "mount, umount or status; 'cloudfs --help' says more"


class Commands(click.Group):
    """The verbs; one that does not exist is answered with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb and what is left for it."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], self.commands, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use {_VERBS}"
            raise UserError(ExitCode.USAGE, f"no such command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    commands=[mount.command, umount.command, status.command],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="cloudfs %(version)s")
@click.pass_context
def cloudfs(context: click.Context) -> None:
    """Mount an object-store bucket as a directory and read it at the speed of a local SSD."""
    if context.invoked_subcommand is None:
        raise UserError(ExitCode.USAGE, f"no command given: use {_VERBS}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (`sys.argv` by default) and exit with a code of docs/exit-codes.md."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    sys.exit(errors.run(lambda: _invoke(given)))


def _invoke(arguments: list[str]) -> object:
    """Do what `click.Group.main` does, less its own words for interrupts and broken pipes."""
    try:
        with cloudfs.make_context("cloudfs", arguments) as context:
            return cloudfs.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
