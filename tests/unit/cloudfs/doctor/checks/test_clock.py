"""The check of the clocks by the Date of a response."""

from __future__ import annotations

import pytest

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks.network import clock
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result
from cloudfs.doctor.probes.network import HeadResponse
from cloudfs.errors import ExitCode
from tests.contract.in_trio import in_trio

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_S = 784111777.0


async def clock_of(date: str | None, asked_at: float) -> Finding:
    response = HeadResponse(status=200, date=date, asked_at=asked_at, steps={})
    return await clock(
        Context(resolve("s3://bucket", None, required=("url",)), {}, response=response)
    )


@pytest.mark.parametrize(
    ("ahead_s", "result", "named"),
    [
        (0.0, Result.OK, "within a second"),
        (-0.9, Result.OK, "within a second"),
        (50.0, Result.OK, "50s ahead"),
        (-60.0, Result.OK, "1m behind"),
        (-90.0, Result.WARNING, "1m 30s behind"),
        (300.0, Result.WARNING, "5m ahead"),
        (301.0, Result.FAILURE, "5m 1s ahead"),
        (-86400.0, Result.FAILURE, "1d behind"),
    ],
)
@in_trio
async def test_skew(ahead_s: float, result: Result, named: str) -> None:
    # On average a Date is half a second old when it is sent.
    found = await clock_of(DATE, DATE_S + 0.5 + ahead_s)
    assert found.result is result
    assert named in found.text
    assert found.facts == {"ahead_s": ahead_s}
    assert ("NTP" in found.fix) is (result is not Result.OK)
    code = ExitCode.CREDENTIALS if result is Result.FAILURE else ExitCode.OK
    assert found.exit_code is code


@pytest.mark.parametrize("date", [None, "", "yesterday"])
@in_trio
async def test_a_response_without_a_date(date: str | None) -> None:
    assert (await clock_of(date, DATE_S)).result is Result.SKIPPED
