"""The finding about an identity and its remaining time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudfs.doctor.checks.store import describe
from cloudfs.doctor.findings import Result
from cloudfs.errors import ExitCode
from cloudfs_backends.common.introspection import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lasting(left: timedelta | None) -> Identity:
    return Identity("lab", "SAS token", "environment", None if left is None else NOW + left)


@pytest.mark.parametrize(
    ("left", "result", "lasts"),
    [
        (None, Result.OK, ""),
        (timedelta(hours=5), Result.OK, "expires in 5h"),
        (timedelta(hours=1), Result.OK, "expires in 1h"),
        (timedelta(minutes=59), Result.WARNING, "expires in 59m"),
        (timedelta(0), Result.FAILURE, "expired 1s ago"),
        (timedelta(days=-2), Result.FAILURE, "expired 2d ago"),
    ],
)
def test_how_long_it_lasts(left: timedelta | None, result: Result, lasts: str) -> None:
    found = describe(lasting(left), NOW)
    assert found.result is result
    assert all(word in found.text for word in ("lab", "SAS token", "environment", lasts))
    assert ("expire" in found.text) is bool(lasts)
    assert found.exit_code == (ExitCode.CREDENTIALS if result is Result.FAILURE else ExitCode.OK)
    assert ("environment" in found.fix) is (result is not Result.OK)


def test_notes_follow() -> None:
    noted = Identity("lab", "user", "a login", notes=("One fact.", "another"))
    assert describe(noted, NOW).text == "lab (user, from a login); One fact; another"


def test_anonymous() -> None:
    anonymous = Identity("anonymous", "none", "--no-sign-request")
    assert describe(anonymous, NOW).text == "anonymous (--no-sign-request)"
