"""One booted systemd for the tests of a module, with the shipped units installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systemd import booted, why_not_booted
from tests.systemd.installed import Installed, installed_on


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    if reason := why_not_booted():
        pytest.skip(f"no systemd can be booted here: {reason}")
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        yield installed_on(machine)


@pytest.fixture
def node(_running: Installed) -> Iterator[Installed]:
    """A machine with the units, a bucket of files at `bucket`, and nothing mounted."""
    _running.clean()
    yield _running
    _running.clean()


@pytest.fixture(scope="session")
def units() -> Path:
    """The folder of the shipped units."""
    return Path(__file__).parents[2] / "systemd"
