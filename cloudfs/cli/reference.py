"""Reference of the options in docs/configuration.md, generated from the table of options.

`python -m cloudfs.cli.reference docs/configuration.md` writes it between its marks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cloudfs.config import options
from cloudfs.config.option import Heading, Option

BEGIN: Final = "<!-- begin: python -m cloudfs.cli.reference docs/configuration.md -->"
END: Final = "<!-- end -->"
_HEAD: Final = "| flag | variable | key | default | meaning |\n|---|---|---|---|---|"


def render_markdown() -> str:
    """Return a table for each heading, without the marks around them."""
    parts = []
    for heading in Heading:
        rows = [_markdown_row(option) for option in options.OPTIONS if option.heading is heading]
        parts.append("\n".join([f"### {heading}\n", _HEAD, *rows]) + "\n")
    return "\n".join(parts)


def replaced(page: str) -> str:
    """Return the page with the tables between its marks; ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} with {END} below it")
    return f"{before}{BEGIN}\n\n{render_markdown()}\n{END}{after}"


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
    """Escape the bars, which would end a cell even between backquotes."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
