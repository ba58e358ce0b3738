"""`cloudfs config`: show the settings with their origins, and check configuration files.

Neither the store nor a mountpoint is accessed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cloudfs.cli.arguments import completion, flags
from cloudfs.cli.arguments.groups import Commands
from cloudfs.config import check, options, types
from cloudfs.config import files as config_files
from cloudfs.config.check import FileReport
from cloudfs.config.option import Option
from cloudfs.config.path_policy import PolicyTable
from cloudfs.config.settings import (
    DEFAULT_ORIGIN,
    NO_MOUNTPOINT,
    MountSettings,
    Resolution,
    resolve,
)
from cloudfs.config.types import CacheDirSpec
from cloudfs.errors import ExitCode, UserError, printable
from cloudfs.system import defaults

SCHEMA: Final = 1
DERIVED_ORIGIN: Final = "derived"

_UNSET: Final = "unset"
_JSON_TYPES: Final = frozenset({types.SWITCH, types.COUNT, types.PRICE})
"""Types whose values are JSON values; others are written as in the TOML file."""
_RESOLVED_AT_MOUNT: Final = frozenset(
    {"region", "profile", "azure_account", "max_cache_size", "min_free_space"}
)
"""Options whose default depends on the SDK or the disk when the mount starts."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One option: its value as in the TOML file (None: unset), its text, and its origin."""

    key: str
    value: object
    text: str
    origin: str


@click.group(
    "config",
    cls=Commands,
    invoke_without_command=True,
    short_help="Show the settings and where they come from; check files.",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Show the settings of a mount and where they come from, or check configuration files.

    docs/configuration.md says how flags, variables and files are combined.
    """
    assert isinstance(context.command, Commands)
    context.command.require_verb(context)


@click.pass_context
def _show(
    context: click.Context,
    /,
    url: str | None,
    mountpoint: str | None,
    *,
    words: tuple[str, ...],
    effective: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Show the options that are set, and by which flag, variable or file.

    Takes the options of 'cloudfs mount' and uses the same variables and files; URL and MOUNTPOINT
    may be missing.
    """
    given = flags.given(context)
    flags.warn_of_unknown_variables(os.environ)
    resolution = resolve(url, mountpoint, flags=given, words=words, environ=os.environ, required=())
    rows = [*_rows(resolution, effective=effective)]
    policies = resolution.settings.policies
    if as_json:
        click.echo(json.dumps(_document(rows, policies), indent=2))
        return
    for line in _lines([*rows, *_policy_rows(resolution)]):
        click.echo(line)
    if not rows and not policies:
        click.echo("nothing is set: with --effective every option is shown")


def _rows(resolution: Resolution, *, effective: bool) -> Iterator[_Row]:
    """Yield the options in the order of the table; those that are set nowhere if `effective`."""
    derived = _derived(resolution.settings)
    for option in options.OPTIONS:
        origin = resolution.origins[option.name]
        if option.negates or (origin == DEFAULT_ORIGIN and not effective):
            continue
        value = _value(resolution, option)
        if origin == DEFAULT_ORIGIN and option.name in derived:
            value, origin = derived[option.name], DERIVED_ORIGIN
        elif origin == DEFAULT_ORIGIN and option.name in _RESOLVED_AT_MOUNT:
            origin = DERIVED_ORIGIN
        shown = _shown(option, value)
        text = _text(option, shown)
        yield _Row(option.key, shown, f"{text} ({option.note})" if option.note else text, origin)


def _value(resolution: Resolution, option: Option) -> Any:
    """Return the value of an option in the settings, None when it is unset."""
    settings = resolution.settings
    if option.name == "config":
        return resolution.config_file
    if option.name == "mountpoint" and settings.mountpoint == NO_MOUNTPOINT:
        return None
    value = getattr(settings, option.field)
    return None if value in {"", ()} else value


def _derived(settings: MountSettings) -> dict[str, Any]:
    """Return the defaults that depend on this machine and this user."""
    found: dict[str, Any] = {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "cache_dir": (CacheDirSpec(defaults.cache_directory()),),
        "memory_limit": settings.memory_limit,
    }
    if settings.background and settings.mountpoint != NO_MOUNTPOINT:
        found["log_file"] = defaults.background_log_file(settings.mountpoint)
    return found


def _shown(option: Option, value: Any) -> object:
    """Return a value as it would be written in the TOML file."""
    if value is None or option.type in _JSON_TYPES:
        return value
    if isinstance(value, tuple):
        return [option.type.show(item) for item in value]
    return option.type.show(value)


def _text(option: Option, shown: object) -> str:
    if shown is None:
        return option.default_text or _UNSET
    if isinstance(shown, list):
        return ", ".join(shown)
    return option.type.show(shown) if isinstance(shown, int | float) else str(shown)


def _policy_rows(resolution: Resolution) -> Iterator[_Row]:
    for number, table in enumerate(resolution.settings.policies, start=1):
        name = f"policy {number}"
        yield _Row(name, None, str(table), f"{resolution.config_file}: [[policy]] {number}")


def _lines(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield the rows in columns."""
    cells = [(row.key, printable(row.text), printable(row.origin)) for row in rows]
    key_width, text_width = (max((len(row[i]) for row in cells), default=0) for i in (0, 1))
    for key, text, origin in cells:
        yield f"{key:<{key_width}}  {text:<{text_width}}  {origin}"


def _document(rows: Sequence[_Row], policies: Sequence[PolicyTable]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "options": [{"key": r.key, "value": r.value, "origin": r.origin} for r in rows],
        "policies": [_policy(table) for table in policies],
    }


def _policy(table: PolicyTable) -> dict[str, object]:
    """Return a policy as its table in the TOML file is written."""
    ttl, block = table.ttl_s, table.block_bytes
    values = {
        "match": table.match,
        "cache": table.cache,
        "pin": table.pin,
        "ttl": None if ttl is None else types.DURATION.show(ttl),
        "block-size": None if block is None else types.SIZE.show(block),
    }
    return {key: value for key, value in values.items() if value is not None}


@click.command("check", short_help="Check configuration files and variables.")
@click.argument(
    "files", nargs=-1, metavar="[NAME|FILE]...", shell_complete=completion.configurations
)
def _check(files: tuple[str, ...]) -> ExitCode:
    """Check configuration files: every problem is one line, FILE:LINE: problem: fix.

    Without arguments every file of ~/.config/cloudfs and /etc/cloudfs is checked, and the CLOUDFS_*
    variables. Ends with code 2 when there is a problem; warnings are none. Nothing is mounted and
    no bucket is asked.
    """
    problems: list[str] = []
    checked: list[FileReport] = []
    for path in _files(files, problems):
        checked.append(check.check_file(path))
        problems += checked[-1].problems
    problems += check.conflicts(checked)
    if not files:
        variables = check.check_variables(os.environ)
        problems += [f"environment: {problem}" for problem in variables]
    for line in [*problems, *_status_lines(checked, problems)]:
        click.echo(printable(line))
    if not checked and not problems:
        places = " or ".join(map(str, config_files.folders(os.environ)))
        click.echo(printable(f"there are no configuration files in {places}"))
    return ExitCode.USAGE if problems else ExitCode.OK


def _files(given: Sequence[str], problems: list[str]) -> Iterator[Path]:
    """Yield the files of names and paths; an unknown name is a problem."""
    if not given:
        yield from config_files.discover(os.environ)
    for text in given:
        try:
            is_name = config_files.is_name(text)
            yield config_files.find(text, os.environ) if is_name else Path(os.path.abspath(text))
        except UserError as error:
            problems.append(error.message)


def _status_lines(checked: Sequence[FileReport], problems: Sequence[str]) -> Iterator[str]:
    """Yield the warnings, and `ok` for each file without problem and warning."""
    for item in checked:
        yield from (f"{warning} (warning)" for warning in item.warnings)
        is_named = any(line.startswith((f"{item.path}:", f"{item.path} ")) for line in problems)
        if not item.warnings and not is_named:
            yield f"{item.path}: ok"


command.add_command(
    flags.GroupedCommand(
        "show",
        callback=_show,
        params=[
            *flags.mount_parameters(),
            flags.GroupedOption(
                ["--effective"],
                heading="Output",
                is_flag=True,
                help="Show every option, also those that are set nowhere.",
            ),
            flags.GroupedOption(
                ["--json", "as_json"],
                heading="Output",
                is_flag=True,
                help="Print a document.",
            ),
        ],
        help=_show.__doc__,
        short_help="Show the settings and where they come from.",
    )
)
command.add_command(_check)
