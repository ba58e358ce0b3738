"""Pieces of HTML. Whatever is handed in as text is foreign and comes out escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Collection, Iterable, Sequence

from cloudfs_benchmarks.bench.report.numbers import one_line
from cloudfs_benchmarks.bench.report.plots import Picture


def text(words: str) -> str:
    """Text in one line that is no markup, also within attributes."""
    return html.escape(one_line(words), quote=True)


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph; `kind` is a class of the style sheet."""
    attribute = f' class="{text(kind)}"' if kind else ""
    return f"<p{attribute}>{text(words)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """A list of texts."""
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def code(words: str) -> str:
    """A command line to copy."""
    return f"<pre><code>{text(words)}</code></pre>"


def table(
    caption: str,
    head: Sequence[str],
    lines: Iterable[Sequence[str]],
    *,
    words: Collection[int] = (),
) -> str:
    """A table that scrolls sideways where it does not fit; the first cell of a line names it.

    Columns are of numbers but for the first and those of `words`.
    """
    titles = "".join(
        f'<th scope="col"{_column(index, words)}>{text(title)}</th>'
        for index, title in enumerate(head)
    )
    body = "".join(f"<tr>{_cells(line, words)}</tr>" for line in lines)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}">'
        f"<table><caption>{text(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def image(picture: Picture) -> str:
    """A PNG within the page. `OSError` when its file cannot be read."""
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return (
        f'<figure tabindex="0" role="group" aria-label="{text(picture.title)}">'
        f'<img src="data:image/png;base64,{data}" alt="{text(picture.alt_text)}"></figure>'
    )


def section(anchor: str, title: str, parts: Sequence[str]) -> str:
    """A titled part of the page; nothing without parts."""
    if not parts:
        return ""
    body = "\n".join(parts)
    return f'<section id="{text(anchor)}"><h2>{text(title)}</h2>\n{body}\n</section>'


def _cells(line: Sequence[str], words: Collection[int]) -> str:
    first, *rest = line
    cells = "".join(
        f"<td{_column(index, words)}>{text(cell)}</td>" for index, cell in enumerate(rest, 1)
    )
    return f'<th scope="row" class="words">{text(first)}</th>{cells}'


def _column(index: int, words: Collection[int]) -> str:
    return ' class="words"' if index == 0 or index in words else ""
