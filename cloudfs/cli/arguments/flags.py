"""The option table as click options: flags, grouped help and the typed values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from cloudfs.cli.arguments import completion
from cloudfs.cli.errors import say
from cloudfs.config import options, sources, types
from cloudfs.config.option import Heading, Option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_HELP: Final = "Help"


class GroupedOption(click.Option):
    """An option with a heading in the help."""

    def __init__(self, names: list[str], *, heading: str, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help is grouped by the headings of its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, then the options without one."""
        sections: dict[str, list[tuple[str, str]]] = {str(heading): [] for heading in Heading}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                heading = parameter.heading if isinstance(parameter, GroupedOption) else _HELP
                sections.setdefault(heading, []).append(record)
        sections[_HELP] = sections.pop(_HELP, [])  # the last one
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def mount_parameters() -> list[click.Parameter]:
    """Return the arguments and flags of a command that takes what `cloudfs mount` takes."""
    return [*map(_parameter, options.OPTIONS), _words()]


def _parameter(option: Option) -> click.Parameter:
    """Return the click parameter of a row: an optional argument, or a flag."""
    if option.argument:
        return click.Argument(
            [option.name],
            metavar=f"[{option.type.metavar}]",
            required=False,
            shell_complete=partial(_complete, option),
        )
    return _flag(option)


def _words() -> GroupedOption:
    """Return `-o`, the form of options in mount(8) and fstab."""
    return GroupedOption(
        ["-o", "words"],
        heading=Heading.MOUNT,
        multiple=True,
        metavar="OPT[,OPT...]",
        help="Options as mount(8) and fstab spell them, such as ro,max_downloads=16.",
    )


def _flag(option: Option) -> GroupedOption:
    """Return the click option of a row. Values stay text: `config.settings` parses every source."""
    default = option.default_shown()
    return GroupedOption(
        [*filter(None, [option.short]), option.flag],
        heading=option.heading,
        is_flag=option.is_switch,
        multiple=option.repeated,
        metavar=option.type.metavar or None,
        help=f"{option.description} [default: {default}]" if default else option.description,
        shell_complete=partial(_complete, option),
    )


def _complete(
    option: Option, context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    if option.type is types.CONFIG:
        return completion.configurations(context, parameter, incomplete)
    return completion.values(option, incomplete)


def given(context: click.Context) -> dict[str, str | tuple[str, ...]]:
    """Return the flags of the command line, by option name, as text."""
    typed = click.core.ParameterSource.COMMANDLINE
    return {
        name: _text(options.BY_NAME[name], value)
        for name, value in context.params.items()
        if name in options.BY_NAME
        and not options.BY_NAME[name].argument
        and context.get_parameter_source(name) is typed
    }


def _text(option: Option, value: Any) -> str | tuple[str, ...]:
    if option.repeated:
        return tuple(value)
    return "true" if option.is_switch else str(value)


def warn_of_unknown_variables(environ: Mapping[str, str]) -> None:
    """Print a warning for each `CLOUDFS_*` variable that is no option.

    It may be misspelt or not meant for cloudfs, so it is no reason to refuse the command.
    """
    for name, fix in sources.unknown_variables(environ):
        say(f"unknown variable {name} is ignored: {fix}")
