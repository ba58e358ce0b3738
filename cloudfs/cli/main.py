"""The `cloudfs` command: its verbs, one module each, and its exit codes.

Nothing heavy (trio, an SDK, pyfuse3) is imported before a verb needs it, so `--help` and
`--version` respond at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from cloudfs import __version__
from cloudfs.cli import errors
from cloudfs.cli.arguments import completion
from cloudfs.cli.arguments.groups import Commands
from cloudfs.cli.commands import bench, cache, config, doctor, mount, status, umount, warmup


@click.group(
    cls=Commands,
    commands=[
        *(mount.command, umount.command, status.command, warmup.command, cache.command),
        *(config.command, doctor.command, bench.command, completion.command),
    ],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="cloudfs %(version)s")
@click.pass_context
def cloudfs(context: click.Context) -> None:
    """Mount an object-store bucket as a directory and read it at the speed of a local SSD."""
    assert isinstance(context.command, Commands)
    context.command.require_verb(context)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (`sys.argv` by default) and exit with an `ExitCode`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    sys.exit(errors.run(lambda: _invoke(given)))


def _invoke(arguments: list[str]) -> object:
    """Run a verb as `click.Group.main` does, without its texts for interrupts and broken pipes."""
    if instruction := os.environ.get(completion.VARIABLE):
        return completion.answer(cloudfs, instruction)
    try:
        with cloudfs.make_context("cloudfs", arguments) as context:
            return cloudfs.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
