"""What is said of an identity, and of how long it lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudfs.doctor.checks.store import describe
from cloudfs.doctor.findings import Result
from cloudfs.errors import ExitCode
from cloudfs_backends.common.introspection import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHO = "lab (SAS token, from environment)"


def lasting(left: timedelta | None) -> Identity:
    return Identity("lab", "SAS token", "environment", None if left is None else NOW + left)


@pytest.mark.parametrize(
    ("left", "result", "text"),
    [
        (None, Result.OK, WHO),
        (timedelta(hours=5), Result.OK, f"{WHO}; expires in 5h"),
        (timedelta(hours=1), Result.OK, f"{WHO}; expires in 1h"),
        (timedelta(minutes=59), Result.WARNING, f"{WHO}; expires in 59m"),
        (timedelta(0), Result.FAILURE, f"{WHO}; expired 1s ago"),
        (timedelta(days=-2), Result.FAILURE, f"{WHO}; expired 2d ago"),
    ],
)
def test_how_long_it_lasts(left: timedelta | None, result: Result, text: str) -> None:
    found = describe(lasting(left), NOW)
    assert (found.result, found.text) == (result, text)
    assert found.exit_code == (ExitCode.CREDENTIALS if result is Result.FAILURE else ExitCode.OK)
    fix = "get new ones first: nothing renews what was found in environment"
    assert found.fix == ("" if result is Result.OK else fix)


def test_notes_follow() -> None:
    noted = Identity("lab", "user", "a login", notes=("One fact.", "another"))
    assert describe(noted, NOW).text == "lab (user, from a login); One fact; another"


def test_nobody() -> None:
    nobody = Identity("anonymous", "none", "--no-sign-request")
    assert describe(nobody, NOW).text == "anonymous (--no-sign-request)"
