"""docs/options.md, written from the table of options: `python -m cloudfs.cli.reference`.

It does not know the options themselves.
"""

from __future__ import annotations

from typing import Final

import click

from cloudfs import options

_PREFACE: Final = """\
# Options of `cloudfs mount`

Generated from `cloudfs/options.py` by
`python -m cloudfs.cli.reference > docs/options.md`.

A value is taken from the first of: the flag, `-o`, the `CLOUDFS_*` variable (an empty one counts as
unset), the TOML file given with `--config`, the default. The TOML key is the flag without its
dashes. In `-o` the same word is used, with `-` or `_`; `ro` is `read-only`, a comma inside a value
is written `\\,`, and the words that mount(8) handles itself are ignored. Credentials are refused in
`-o`, because every user of the machine can read them there.

Sizes are bytes, or `8MiB`, `8M`, `1.5GiB` (powers of 1024; `8MB` is a power of 1000). Durations are
seconds, or `500ms`, `30s`, `5m`, `2h`, `1d`, `indefinite`. Modes are octal, and strings in TOML.
Paths are absolute, except after a flag. Switches take `true` or `false` outside of flags.
"""


def render_markdown() -> str:
    """Return docs/options.md."""
    parts = [_PREFACE]
    for heading in options.Heading:
        rows = [_markdown_row(option) for option in options.OPTIONS if option.heading is heading]
        head = "| flag | variable | default | meaning |\n|---|---|---|---|"
        parts.append("\n".join([f"## {heading}\n", head, *rows]) + "\n")
    return "\n".join(parts)


def _markdown_row(option: options.Option) -> str:
    flag = " ".join(part for part in (option.flag, option.kind.metavar) if part)
    flags = f"`{option.short}`, `{flag}`" if option.short else f"`{flag}`"
    accepted = option.range_shown()
    meaning = f"{option.help} Accepted: {accepted}." if accepted else option.help
    return f"| {flags} | `{option.variable}` | {option.default_shown()} | {meaning} |"


if __name__ == "__main__":
    click.echo(render_markdown(), nl=False)
