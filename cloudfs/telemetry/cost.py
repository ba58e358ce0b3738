"""Cost estimate for the requests and bytes of a mount, from public list prices of one month.

A contract, another region or storage class, free tiers and taxes make the real bill different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloudfs_backends.url import AZ, FILE, GS, S3

PRICES_OF: Final = "2025-06"
"""The month whose list prices these are."""

_PER: Final = 1000
_GB: Final = 10**9
_AZURE_PUBLIC: Final = ".blob.core.windows.net"


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices of the service `of`, in US dollars for 1,000 requests of each kind."""

    of: str
    get: float
    head: float
    list: float

    def requests_usd(self, requests: Mapping[str, int]) -> float:
        """Return what these requests cost; kinds without a price cost nothing."""
        prices = {"get": self.get, "head": self.head, "list": self.list}
        return sum(price * requests.get(kind, 0) for kind, price in prices.items()) / _PER


PRICES: Final[Mapping[str, Prices]] = {
    S3: Prices("S3 Standard in us-east-1", get=0.0004, head=0.0004, list=0.005),
    GS: Prices("Cloud Storage Standard in one region", get=0.0004, head=0.0004, list=0.005),
    AZ: Prices("Blob Storage, hot, LRS, East US", get=0.0004, head=0.0004, list=0.005),
}


@dataclass(frozen=True, slots=True)
class Payer:
    """The account that pays: `url` and `identity` are the store's, the rest are options."""

    url: str
    identity: str
    anonymous: bool
    requester_pays: bool


def estimate(
    payer: Payer, requests: Mapping[str, int], received_bytes: int, egress_price: float
) -> dict[str, Any]:
    """Return the estimate, or `unknown` with the reason as text.

    `egress_price` is in US dollars per GB (10^9 bytes) of `received_bytes`.
    """
    unknown = _why_unknown(payer)
    if unknown:
        return {"unknown": unknown}
    prices = PRICES[_scheme(payer)]
    requests_usd = prices.requests_usd(requests)
    egress_usd = received_bytes / _GB * egress_price
    return {
        "currency": "USD",
        "requests_usd": round(requests_usd, 6),
        "egress_usd": round(egress_usd, 6),
        "total_usd": round(requests_usd + egress_usd, 6),
        "basis": _basis(prices, egress_price),
        "prices_of": PRICES_OF,
    }


def _basis(prices: Prices, egress_price: float) -> str:
    """Return the prices that were used, as text."""
    requests = f"get {prices.get:g}, head {prices.head:g}, list {prices.list:g} USD"
    return f"{prices.of}: {requests} for 1,000 requests; {egress_price:g} USD for a GB received"


def _why_unknown(payer: Payer) -> str:
    scheme = _scheme(payer)
    if scheme == FILE:
        return "a folder has no price"
    if scheme not in PRICES or _is_elsewhere(payer):
        return "the prices of this endpoint are not known"
    if payer.anonymous and not payer.requester_pays:
        return "requests without a signature are paid by the owner of the bucket"
    return ""


def _is_elsewhere(payer: Payer) -> bool:
    """Return whether the endpoint is not the cloud's own: then the identity names it."""
    if _scheme(payer) == AZ:
        return not payer.identity.endswith(_AZURE_PUBLIC)
    return payer.identity != payer.url


def _scheme(payer: Payer) -> str:
    return payer.url.partition("://")[0]
