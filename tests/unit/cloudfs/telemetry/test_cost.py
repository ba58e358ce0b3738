"""Cost estimates, and when there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloudfs.telemetry.cost import PRICES, Payer, estimate

S3 = Payer("s3://bucket/train/", "s3://bucket/train/", anonymous=False, requester_pays=False)
AZURE = replace(S3, url="az://data/", identity="az://data at https://lab.blob.core.windows.net")
REQUESTS = {"get": 1_000_000, "head": 1000, "list": 2000}


def test_requests_and_bytes_have_their_prices() -> None:
    cost = estimate(S3, REQUESTS, 5 * 10**9, 0.09)
    assert cost["requests_usd"] == pytest.approx(0.4 + 0.0004 + 0.01)
    assert cost["egress_usd"] == pytest.approx(0.45)
    assert cost["total_usd"] == pytest.approx(cost["requests_usd"] + cost["egress_usd"])
    assert cost["currency"] == "USD"
    assert PRICES["s3"].of in cost["basis"]
    assert "0.09 USD for a GB received" in cost["basis"]


@pytest.mark.parametrize("payer", [S3, replace(S3, url="gs://b/", identity="gs://b/"), AZURE])
def test_nothing_asked_costs_nothing(payer: Payer) -> None:
    assert estimate(payer, {}, 0, 0.09)["total_usd"] == 0


def test_every_price_is_one() -> None:
    for prices in PRICES.values():
        assert 0 < prices.get <= prices.list < 1
        assert prices.head > 0


@pytest.mark.parametrize(
    ("payer", "reason"),
    [
        (replace(S3, url="file:///x", identity="file:///x"), "a folder has no price"),
        (replace(S3, identity="s3://bucket/train/ at http://minio:9000"), "this endpoint"),
        (replace(AZURE, identity="az://data at http://127.0.0.1:10000/lab"), "this endpoint"),
        (replace(S3, url="memory://x", identity="memory://x"), "this endpoint"),
        (replace(S3, anonymous=True), "paid by the owner"),
    ],
)
def test_what_is_not_known_is_said(payer: Payer, reason: str) -> None:
    (unknown,) = estimate(payer, REQUESTS, 1, 0.09).values()
    assert reason in unknown


def test_who_pays_for_others_buckets_pays() -> None:
    assert estimate(replace(S3, requester_pays=True), REQUESTS, 0, 0)["total_usd"] > 0
