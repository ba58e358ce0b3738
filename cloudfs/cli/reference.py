"""docs/options.md, written from the table of options: `python -m cloudfs.cli.reference`.

It does not know the options themselves.
"""

from __future__ import annotations

from typing import Final

import click

from cloudfs.config import options
from cloudfs.config.option import Heading, Option

_PREFACE: Final = """\
# Options of `cloudfs mount`

Generated from `cloudfs/config/options.py` by
`python -m cloudfs.cli.reference > docs/options.md`.

A value is taken from the first of: the flag, `-o`, the `CLOUDFS_*` variable (an empty one counts as
unset), the TOML file given with `--config`, the default. [configuration.md](configuration.md) says
more about these sources, and how to see which one a value comes from.

The table names each option by its flag; `URL` and `MOUNTPOINT` have none, their place on the
command line says what they are. The key is that of the TOML file, where `-` may also be written
`_`, and the word of `-o`, where the two arguments have none. `ro` is short for `read-only`, a comma
inside a value is written `\\,`, and the words that mount(8) handles itself are ignored. Credentials
are refused in `-o`, because every user of the machine can read them there; the file has no keys for
them either.

An option marked "repeatable" takes several values: give the flag or the word several times, put
commas between the values of the variable (`\\,` for one inside a value), or write an array in the
TOML file. Values of one source are never joined to those of another.

Sizes are bytes, or `8MiB`, `8M`, `1.5GiB` (powers of 1024; `8MB` is a power of 1000). Durations are
seconds, or `500ms`, `30s`, `5m`, `2h`, `1d`, `indefinite`. Modes are octal, and strings in TOML.
Paths are absolute, except after a flag. Switches take `true` or `false` outside of flags. In
`DIR:SIZE` the part after the last colon is a size only if it reads as one; a directory whose name
ends so is written with a `/` at its end.

The TOML file may also have `[[policy]]` tables, which say how the files that match a pattern are
cached: see [cache.md](cache.md).
"""
_HEAD: Final = "| flag | variable | key | default | meaning |\n|---|---|---|---|---|"


def render_markdown() -> str:
    """Return docs/options.md."""
    parts = [_PREFACE]
    for heading in Heading:
        rows = [_markdown_row(option) for option in options.OPTIONS if option.heading is heading]
        parts.append("\n".join([f"## {heading}\n", _HEAD, *rows]) + "\n")
    return "\n".join(parts)


def _markdown_row(option: Option) -> str:
    flag = " ".join(dict.fromkeys(part for part in (option.flag, option.type.metavar) if part))
    flags = f"`{option.short}`, `{flag}`" if option.short else f"`{flag}`"
    meaning = option.description
    if accepted := option.range_shown():
        meaning += f" Accepted: {accepted}."
    if option.repeated:
        meaning += " Repeatable."
    key = "" if option.name == "config" else f"`{option.key}`"
    cells = (flags, f"`{option.variable}`", key, option.default_shown(), meaning)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Escape what would end a cell of a table, even between backquotes."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    click.echo(render_markdown(), nl=False)
