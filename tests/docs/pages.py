"""Documentation pages: blocks, marks, links and anchors."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]

_COMMENT: Final = re.compile(r"\s*<!-- (.+) -->\s*")
_MARKDOWN: Final = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A block of code; `line` is that of its fence, `mark` the comment directly above it.

    `language` is None for a block that is only indented.
    """

    line: int
    language: str | None
    text: str
    mark: str

    @property
    def world(self) -> str:
        """The world that a test runs it in; "" when none does."""
        verb, _, rest = self.mark.partition(": ")
        return rest if verb == "run" else ""

    @property
    def reason(self) -> str:
        """The reason why no test runs it; "" when one does, or the page has none."""
        verb, _, rest = self.mark.partition(": ")
        return rest if verb == "not run" else ""


@dataclass(frozen=True)
class Link:
    line: int
    target: str


@dataclass(frozen=True)
class Page:
    """A Markdown file of the repository."""

    path: Path

    @property
    def name(self) -> str:
        return os.path.relpath(self.path, ROOT)

    @cached_property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def _tokens(self) -> list[Token]:
        return _MARKDOWN.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            self._block(token) for token in self._tokens if token.type in ("fence", "code_block")
        ]

    @cached_property
    def links(self) -> list[Link]:
        found = []
        for token in self._tokens:
            for child in token.children or ():
                target = child.attrGet("href") or child.attrGet("src")
                if target is not None:
                    found.append(Link((token.map or [0])[0] + 1, str(target)))
        return found

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        found: set[str] = set()
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "heading_open":
                name = _anchor(token)
                number = 0
                while (unique := f"{name}-{number}" if number else name) in found:
                    number += 1
                found.add(unique)
        return found

    def of_world(self, world: str) -> list[Block]:
        return [block for block in self.blocks if block.language == "sh" and block.world == world]

    def output_of(self, block: Block) -> Block | None:
        """Return the block with the output of `block`, None when the page shows none."""
        place = self.blocks.index(block) + 1
        after = self.blocks[place] if place < len(self.blocks) else None
        return after if after is not None and after.mark == "output" else None

    def _block(self, token: Token) -> Block:
        assert token.map is not None
        first = token.map[0]
        above = _COMMENT.fullmatch(self.lines[first - 1]) if first else None
        return Block(
            line=first + 1,
            language=token.info.strip() if token.type == "fence" else None,
            text=token.content,
            mark=above[1] if above else "",
        )


def _anchor(heading: Token) -> str:
    shown = "".join(
        child.content for child in heading.children or () if child.type in ("text", "code_inline")
    )
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")


def manual() -> list[Page]:
    """Return the pages for users, whose commands are run."""
    return [Page(ROOT / "README.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]


def everything() -> list[Page]:
    """Return the manual and the pages for developers."""
    return [*manual(), Page(ROOT / "ARCHITECTURE.md"), Page(ROOT / "CHANGELOG.md")]
