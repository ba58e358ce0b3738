"""`cloudfs completion`: shell completion of mountpoints, configurations and option values.

Click writes the script and completes verbs and flags.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from cloudfs.config import files, types
from cloudfs.config.option import Option
from cloudfs.errors import UserError
from cloudfs.system import mountpoints as table

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE: Final = "_CLOUDFS_COMPLETE"
"""Set by the completion script when it runs `cloudfs` for the candidates."""

_NAME: Final = "cloudfs"
_SHELLS: Final = ("bash", "zsh", "fish")
_PATH_TYPES: Final = {types.FILE: "file", types.CACHE_DIRECTORY: "dir", types.MOUNTPOINT: "dir"}


@click.command("completion", short_help="Print what makes a shell complete commands.")
@click.argument("shell", type=click.Choice(_SHELLS), metavar="|".join(_SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that makes bash, zsh or fish complete cloudfs with the tab key.

    For bash: eval "$(cloudfs completion bash)" in ~/.bashrc.
    """
    from click import shell_completion  # noqa: PLC0415 - only for this verb

    found = shell_completion.get_completion_class(shell)
    assert found is not None
    root = context.find_root().command
    click.echo(found(root, {}, _NAME, VARIABLE).source())


def answer(root: click.Command, instruction: str) -> int:
    """Print the candidates in the form that the script expects, and return the exit code.

    An invalid command line has none, and prints no error.
    """
    from click import shell_completion  # noqa: PLC0415 - only for this

    try:
        return shell_completion.shell_complete(root, {}, _NAME, VARIABLE, instruction)
    except UserError:
        return 1


def mountpoints(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the mounts of this machine, from the mount table; none is accessed."""
    return _items([str(mount.path) for mount in table.cloudfs_mounts()], incomplete)


def paths(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the mounts of this machine; the shell completes files if there is none."""
    return [_shell_paths("file", incomplete), *mountpoints(context, parameter, incomplete)]


def configurations(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of configurations; the shell completes files if there is none."""
    names = (path.stem for path in files.discover(os.environ))
    named = _items(dict.fromkeys(filter(files.is_name, names)), incomplete)
    return [_shell_paths("file", incomplete), *named]


def values(option: Option, incomplete: str) -> list[CompletionItem]:
    """Return the candidates for the value of an option."""
    if option.type in _PATH_TYPES:
        return [_shell_paths(_PATH_TYPES[option.type], incomplete)]
    return _items(option.type.choices, incomplete)


def _shell_paths(kind: str, incomplete: str) -> CompletionItem:
    """Return the item that makes the shell complete files or directories."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for this

    return CompletionItem(incomplete, type=kind)


def _items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for this

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
