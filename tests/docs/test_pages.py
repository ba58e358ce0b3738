"""Form of the documentation: marks of commands, links, and the names of pages in other texts."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import yaml

from cloudfs.cli.main import cloudfs
from tests.docs import worlds
from tests.docs.pages import ROOT, Block, Page, everything, manual

LANGUAGES = {"sh", "text", "toml", "ini", "yaml", "json", "python", "promql"}
WORDS_OF_A_REASON = 3
_COMMAND = re.compile(r"(\$|cloudfs|sudo|pip|python3?|make|systemctl|apt-get) \S")
_PARSERS: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "json": json.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "python": ast.parse,
}


def test_every_block_has_a_language_of_the_few() -> None:
    wrong = [
        f"{at}: {block.language}" for at, block in _blocks() if block.language not in LANGUAGES
    ]
    assert not wrong, "\n".join(wrong)


def test_every_command_is_run_or_excused_with_a_reason() -> None:
    wrong = [at for at, block in _commands() if not _is_marked(block)]
    assert not wrong, "\n".join(wrong)


def test_no_command_hides_where_output_is_shown() -> None:
    wrong = [
        f"{at}: {line}"
        for at, block in _blocks()
        if block.language == "text"
        for line in block.text.splitlines()
        if _COMMAND.match(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_mark_stands_above_a_block_that_it_can_be_of() -> None:
    wrong = []
    for page in manual():
        fences = {block.line: block for block in page.blocks}
        for number, line in enumerate(page.lines, start=1):
            if mark := re.match(r"\s*<!-- (run|not run|output)\b", line):
                block = fences.get(number + 1)
                language = "text" if mark[1] == "output" else "sh"
                if block is None or block.language != language:
                    wrong.append(f"{page.name}:{number}: {line}")
    assert not wrong, "\n".join(wrong)


def test_output_is_that_of_a_command_that_is_run() -> None:
    wrong = []
    for page in manual():
        ran = [block for world in worlds.WORLDS for block in page.of_world(world)]
        outputs = [page.output_of(block) for block in ran]
        shown = [block for block in page.blocks if block.mark == "output"]
        wrong += [f"{page.name}:{block.line}" for block in shown if block not in outputs]
    assert not wrong, "\n".join(wrong)


def test_commands_are_sound_also_where_they_are_not_run() -> None:
    wrong = [f"{at}: {problem}" for at, block in _commands() for problem in _unknown(block.text)]
    for page in manual():
        text = "\n".join(block.text for block in page.blocks if block.language == "sh")
        checked = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False, timeout=10
        )
        wrong += [f"{page.name}: {line}" for line in checked.stderr.splitlines()]
    assert not wrong, "\n".join(wrong)


def test_files_are_sound() -> None:
    wrong = []
    for at, block in _blocks():
        try:
            _PARSERS.get(str(block.language), str)(block.text)
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            wrong.append(f"{at}: {error}")
    assert not wrong, "\n".join(wrong)


def test_links_lead_somewhere() -> None:
    wrong = [
        f"{page.name}:{link.line}: {link.target}"
        for page in everything()
        for link in page.links
        if not re.match(r"https?:|mailto:", link.target) and not _exists(page, link.target)
    ]
    assert not wrong, "\n".join(wrong)


def test_texts_name_pages_and_headings_that_exist() -> None:
    wrong = [
        f"{at}: {name}"
        for at, line in _texts()
        for name in re.findall(r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?", line)
        if not _exists(Page(ROOT / "README.md"), name)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_text_tells_to_install_the_foreign_project_of_this_name() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        name = tomllib.load(file)["project"]["name"]
    assert name != "cloudfs"
    told = re.compile(r"\b(?:pip|pipx|tool) install\b.*?[\s'\"](cloudfs[\w-]*)|\b(cloudfs)\[[a-z]")
    wrong = [
        f"{at}: {line.strip()}"
        for at, line in _texts()
        for found in told.finditer(line)
        if name not in found.groups()
    ]
    assert not wrong, "\n".join(wrong)


def test_the_readme_lists_every_page() -> None:
    readme = Page(ROOT / "README.md")
    linked = {link.target.partition("#")[0] for link in readme.links}
    assert {page.name for page in everything()} - linked - {"README.md"} == set()


def _blocks() -> Iterator[tuple[str, Block]]:
    """Yield every block of the manual, with its location."""
    for page in manual():
        for block in page.blocks:
            yield f"{page.name}:{block.line}", block


def _texts() -> Iterator[tuple[str, str]]:
    """Yield every line that is installed, run or shown to users, with its location."""
    folders = ("cloudfs", "cache", "backends", "benchmarks", "docs", "scripts", "systemd")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted([*paths, *(page.path for page in everything()), ROOT / "pyproject.toml"]):
        if path.suffix not in (".png", ".pyc"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                yield f"{path.relative_to(ROOT)}:{number}", line


def _commands() -> list[tuple[str, Block]]:
    return [(at, block) for at, block in _blocks() if block.language == "sh"]


def _is_marked(block: Block) -> bool:
    return block.world in worlds.WORLDS or len(block.reason.split()) >= WORDS_OF_A_REASON


def _exists(page: Page, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (page.path.parent / name).resolve() if name else page.path
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in Page(path).anchors


def _unknown(text: str) -> Iterator[str]:
    """Yield the verbs and flags of cloudfs in a text of commands that do not exist."""
    for words in _simple_commands(text):
        if words[:1] == ["sudo"]:
            words.pop(0)
        if words and Path(words[0]).name == "cloudfs":
            yield from _unknown_of(words[1:])


def _unknown_of(words: list[str]) -> Iterator[str]:
    command: click.Command = cloudfs
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        verb = words.pop(0)
        if verb not in command.commands:
            yield f"cloudfs {verb}"
            return
        command = command.commands[verb]
    known = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in known | {"--", "--help", "--version"}:
            yield f"{command.name} {flag}"


def _simple_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command; lines whose quotes continue in the next one are skipped."""
    without_files = re.sub(r"<<-?'?(\w+)'?(.*)\n(?:.*\n)*?\s*\1\n", r"\2\n", text)
    for line in without_files.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            continue
        for apart, group in itertools.groupby(words, key=lambda word: set(word) <= set("();|&")):
            if not apart:
                yield list(group)
