"""The table of options as flags of a command: click's options, the grouped help, what was typed.

It does not know which command takes which options.
"""

from __future__ import annotations

from typing import Any, Final

import click

from cloudfs import options
from cloudfs.options import Heading, Option

_HELP: Final = "Help"


class GroupedOption(click.Option):
    """An option that the help shows below a heading."""

    def __init__(self, names: list[str], *, heading: str, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help is grouped by the headings of its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, then what belongs to none."""
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


def flag(option: Option) -> GroupedOption:
    """Return the click option of a row. Values stay text: `cloudfs.config` parses every source."""
    default = option.default_shown()
    return GroupedOption(
        [*filter(None, [option.short]), option.flag],
        heading=option.heading,
        is_flag=option.is_switch,
        multiple=option.repeated,
        metavar=option.kind.metavar or None,
        help=f"{option.help} [default: {default}]" if default else option.help,
    )


def given(context: click.Context) -> dict[str, str | tuple[str, ...]]:
    """Return what was typed, by option name, as text."""
    typed = click.core.ParameterSource.COMMANDLINE
    return {
        name: _text(options.BY_NAME[name], value)
        for name, value in context.params.items()
        if name in options.BY_NAME and context.get_parameter_source(name) is typed
    }


def _text(option: Option, value: Any) -> str | tuple[str, ...]:
    if option.repeated:
        return tuple(value)
    return "true" if option.is_switch else str(value)
