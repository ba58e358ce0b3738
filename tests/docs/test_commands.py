"""Every command of the documentation that is marked so is run, as it is written."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.docs import worlds
from tests.docs.pages import Page, manual
from tests.docs.worlds import Loopback, not_printed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(worlds.TIME_LIMIT_S + 30)]

CASES = [
    pytest.param(page, world, id=f"{page.name}-{world}")
    for page in manual()
    for world in worlds.WORLDS
    if page.of_world(world)
]


@pytest.mark.parametrize(("page", "world"), CASES)
def test_the_commands_of_a_page_succeed_and_print_what_it_shows(
    page: Page, world: str, network: Loopback, tmp_path: Path
) -> None:
    if reason := worlds.cannot_run(world) or _lacking(page, world):
        pytest.skip(reason)
    outcome = worlds.run(page, world, network, tmp_path)
    assert outcome.status == 0, outcome.text
    assert list(outcome.output) == [block.line for block in page.of_world(world)], outcome.text
    assert not_printed(page, world, outcome) == []


def _lacking(page: Page, world: str) -> str | None:
    """Return the reason to skip a page whose scripts import an optional package."""
    asked = any("import torch" in block.text for block in page.of_world(world))
    missing = asked and importlib.util.find_spec("torch") is None
    return "torch is not installed" if missing else None
