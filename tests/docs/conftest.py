"""Fixture: the network that all pages are run in, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs import worlds
from tests.docs.worlds import Loopback


@pytest.fixture(scope="package")
def network() -> Iterator[Loopback]:
    if reason := worlds.cannot_run(worlds.BUCKET):
        pytest.skip(reason)
    with worlds.loopback() as made:
        yield made
