"""The table of docs/metrics.md, written from the definitions.

`python -m cloudfs.status.prometheus.reference docs/metrics.md` puts it there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cloudfs.status.prometheus.definitions import DEFINITIONS
from cloudfs.status.prometheus.metric import MetricDefinition

BEGIN: Final = "<!-- begin: python -m cloudfs.status.prometheus.reference docs/metrics.md -->"
END: Final = "<!-- end -->"


def render_markdown() -> str:
    """Return the table, without the marks around it."""
    head = "| metric | type | labels | stability | meaning | the question it answers |"
    rows = [_row(definition) for definition in DEFINITIONS]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows]) + "\n"


def replaced(page: str) -> str:
    """Return the page with the table between its marks; ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} with {END} below it")
    return f"{before}{BEGIN}\n{render_markdown()}{END}{after}"


def _row(definition: MetricDefinition) -> str:
    labels = ", ".join(f"`{label}`" for label in definition.labels)
    cells = (
        f"`{definition.name}`",
        str(definition.type),
        labels,
        str(definition.stability),
        definition.help,
        definition.question,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
