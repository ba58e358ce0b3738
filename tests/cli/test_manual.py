from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cloudfs.cli import manual
from cloudfs.cli.main import cloudfs
from cloudfs.config import options
from cloudfs.errors import ExitCode

PAGES = Path(__file__).parents[2] / "docs" / "man"


def shown(page: Path) -> str:
    """A page as man(1) shows it, without bold; groff must have nothing to say of it."""
    groff = shutil.which("groff")
    assert groff is not None, "groff is not installed: run scripts/setup.sh"
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n", str(page)],
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_page_is_current() -> None:
    command = "python -m cloudfs.cli.manual > docs/man/cloudfs.1"
    assert (PAGES / "cloudfs.1").read_text() == manual.render(), f"run: {command}"


def test_the_page_has_every_verb_option_and_exit_code() -> None:
    text = shown(PAGES / "cloudfs.1")
    for name in cloudfs.commands:
        assert re.search(rf"^ +cloudfs {name}\b", text, re.MULTILINE)
    for option in options.OPTIONS:
        assert option.flag in text
        assert option.variable in text
        assert f"TOML key {option.key};" in text or option.name == "config"
    for code in ExitCode:
        assert re.search(rf"^ +{code.value} +[A-Z`a-z]", text, re.MULTILINE)
    assert "\\" not in text
    assert "`" not in text


@pytest.mark.parametrize("page", ["cloudfs.1", "mount.cloudfs.8"])
def test_a_page_can_be_shown(page: str) -> None:
    text = shown(PAGES / page)
    sections = re.findall(r"^[A-Z][A-Z ]+$", text, re.MULTILINE)
    assert sections[:2] == ["NAME", "SYNOPSIS"]
    assert {"DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} <= {*sections}
