"""What the Date of an answer says about this machine's clock."""

from __future__ import annotations

import pytest

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks.network import clock
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result
from cloudfs.doctor.probes.network import Answer
from cloudfs.errors import ExitCode
from tests.contract.in_trio import in_trio

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_S = 784111777.0


async def clock_of(date: str | None, asked_at: float) -> Finding:
    answer = Answer(status=200, date=date, asked_at=asked_at, steps={})
    return await clock(Context(resolve("s3://bucket", None, required=("url",)), {}, answer=answer))


@pytest.mark.parametrize(
    ("ahead_s", "result", "words"),
    [
        (0.0, Result.OK, "within a second of the store's"),
        (-0.9, Result.OK, "within a second of the store's"),
        (50.0, Result.OK, "50s ahead of the store's"),
        (-60.0, Result.OK, "1m behind the store's"),
        (-90.0, Result.WARNING, "1m 30s behind the store's: tokens may be refused"),
        (300.0, Result.WARNING, "5m ahead of the store's: tokens may be refused"),
        (301.0, Result.FAILURE, "5m 1s ahead of the store's: requests and tokens are refused"),
        (-86400.0, Result.FAILURE, "1d behind the store's: requests and tokens are refused"),
    ],
)
@in_trio
async def test_skew(ahead_s: float, result: Result, words: str) -> None:
    # The second of a Date has on average half passed when it is sent.
    found = await clock_of(DATE, DATE_S + 0.5 + ahead_s)
    assert (found.result, found.text) == (result, f"this machine's clock is {words}")
    assert found.facts == {"ahead_s": ahead_s}
    assert ("NTP" in found.fix) is (result is not Result.OK)
    code = ExitCode.CREDENTIALS if result is Result.FAILURE else ExitCode.OK
    assert found.exit_code is code


@pytest.mark.parametrize("date", [None, "", "yesterday"])
@in_trio
async def test_an_answer_without_a_date(date: str | None) -> None:
    assert await clock_of(date, DATE_S) == Finding(
        Result.SKIPPED, "the endpoint's answers do not tell the time"
    )
