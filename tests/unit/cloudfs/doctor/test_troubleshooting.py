"""Messages that docs/troubleshooting.md quotes must still be in the source."""

from __future__ import annotations

import ast
import errno
import os
import re
from functools import cache

import pytest

from tests.cli.conftest import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = ("cloudfs", "cache/cloudfs_cache", "backends/cloudfs_backends")
GAP = "\0"
"""Stands for what is filled in."""

_ROW = re.compile(r"^\| (.*?) \| .* \| .*\|$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"%[-+.0-9]*[a-z]")
_NO_MESSAGE = re.compile(r"--[a-z-]+( \d+)?|num_workers|degraded|ls|df|find /|ls /")
"""What the page marks in a symptom that is an option or a command and not a message."""


@cache
def said() -> tuple[str, ...]:
    """Every text in the source, with gaps, and those of the C library."""
    found = {os.strerror(number) for number in errno.errorcode}
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.add("".join(map(_part, node.values)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(_PLACEHOLDER.sub(GAP, node.value))
    return tuple(found)


def _part(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else GAP


def is_said(fragment: str) -> bool:
    """Whether one text has the parts between the dots, in their order."""
    parts = [re.escape(part.strip()) for part in fragment.split("...") if part.strip()]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    return any(pattern.search(text) for text in said())


def quoted() -> list[str]:
    """What stands between backquotes in the first column of a table of symptoms."""
    tables = PAGE.read_text(encoding="utf-8").split("\n| symptom | cause | fix |\n")[1:]
    rows = [row for table in tables for row in _ROW.findall(table.partition("\n\n")[0])]
    fragments = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    return [text for text in dict.fromkeys(fragments) if not _NO_MESSAGE.fullmatch(text)]


def test_the_page_quotes_messages() -> None:
    assert len(quoted()) > 50


@pytest.mark.parametrize("fragment", quoted())
def test_every_message_is_still_said(fragment: str) -> None:
    assert is_said(fragment), f"nothing in {', '.join(SOURCES)} says so any more"


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("... holds something else", True),
        ("cache directory ... has no room", True),
        ("has no room ... cache directory", False),
        ("Stale file handle", True),
        ("waited ... s for the store: given up (EIO)", True),
        ("a message that is not in the source", False),
    ],
)
def test_what_counts_as_said(fragment: str, *, expected: bool) -> None:
    assert is_said(fragment) is expected
