"""The checks of the network: reachability of the endpoint, and the difference of the clocks."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

import trio

from cloudfs.doctor import fixes
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, skipped, warning
from cloudfs.doctor.probes import network
from cloudfs.doctor.probes.network import HeadResponse, ProbedEndpoint
from cloudfs.doctor.probes.network_errors import NetworkError, NetworkFailure, is_address
from cloudfs.doctor.probes.proxies import Proxy, proxy_for
from cloudfs.errors import ExitCode
from cloudfs.telemetry.redact import bare_url
from cloudfs.units import format_duration
from cloudfs_backends.errors import StoreError
from cloudfs_backends.url import FILE

# S3 and Azure refuse requests whose signature is 15 minutes off. Tokens and SAS tolerate less: they
# begin and end at a fixed time, and assertions for Google may be off by a few minutes only.
SKEW_WARNED_S: Final = 60.0
SKEW_FAILED_S: Final = 300.0

_DATE_UNIT_S: Final = 1.0
_UNTRUSTED: Final = frozenset({NetworkFailure.SELF_SIGNED, NetworkFailure.UNKNOWN_ISSUER})
_CLOCK_FIX: Final = "set this machine's clock: turn NTP on, with 'timedatectl set-ntp true'"
_STEPS: Final = {"name": "name", "tcp": "TCP", "tunnel": "tunnel", "tls": "TLS", "http": "HTTP"}


async def reach(context: Context) -> Finding:
    """Connect to the endpoint step by step, as an anonymous client."""
    store = context.store
    # In a thread because an SDK may look for its configuration first.
    endpoint = await trio.to_thread.run_sync(lambda: store.endpoint, abandon_on_cancel=True)
    if endpoint is None:
        return skipped("a folder needs no network")
    if not is_address(endpoint):
        # The SDK cannot resolve its endpoint, and its error comes with the first request.
        await store.probe()
        return ok("the store answers")
    proxy = proxy_for(endpoint, context.environ)
    bundle = fixes.configured_ca_bundle(context)
    address = ProbedEndpoint(endpoint, proxy, bundle and bundle[1])
    try:
        context.response = await trio.to_thread.run_sync(
            partial(network.send_head, address), abandon_on_cancel=True
        )
    except NetworkError as error:
        if error.failure in _UNTRUSTED and await _is_trusted_by_sdk(context):
            return ok(f"{bare_url(endpoint)}: the SDK's own settings trust its certificate")
        return _unreached(error, context, bare_url(endpoint), proxy)
    return _reached(context.response, bare_url(endpoint), proxy)


async def _is_trusted_by_sdk(context: Context) -> bool:
    """Whether the SDK accepts the certificate: its configuration files may name the CA."""
    try:
        await context.store.probe()
    except StoreError as error:
        return not fixes.is_about_certificate(error)
    return True


def _unreached(
    error: NetworkError, context: Context, endpoint: str, proxy: Proxy | None
) -> Finding:
    via = "" if error.failure is NetworkFailure.PROXY else _via(proxy)
    return failure(
        ExitCode.UNREACHABLE,
        f"{error}{via}",
        fixes.network_fix(error.failure, context),
        endpoint=endpoint,
        proxy=proxy and proxy.shown,
        trouble=error.failure.name.lower().replace("_", "-"),
    )


def _reached(response: HeadResponse, endpoint: str, proxy: Proxy | None) -> Finding:
    steps = [f"{_STEPS[name]} {format_duration(s)}" for name, s in response.steps.items()]
    return ok(
        f"{endpoint}{_via(proxy)}: {', '.join(steps)}",
        endpoint=endpoint,
        proxy=proxy and proxy.shown,
        http_code=response.status,
        steps_s={name: round(seconds, 6) for name, seconds in response.steps.items()},
    )


def _via(proxy: Proxy | None) -> str:
    return f", through the proxy {proxy.shown} of {proxy.variable}" if proxy else ""


async def clock(context: Context) -> Finding:
    """Compare the clocks by the Date header of the endpoint's response."""
    await trio.lowlevel.checkpoint()
    if context.scheme == FILE:
        return skipped("a folder needs no clock")
    if context.response is None:
        return skipped("there was no answer to take the time from")
    try:
        date = parsedate_to_datetime(context.response.date or "").timestamp()
    except ValueError:
        return skipped("the endpoint's answers do not tell the time")
    # A Date is cut to seconds: on average it is half a second old.
    ahead_s = context.response.asked_at - date - _DATE_UNIT_S / 2
    text = f"this machine's clock is {_direction(ahead_s)}"
    facts = {"ahead_s": round(ahead_s, 1)}
    if abs(ahead_s) > SKEW_FAILED_S:
        refused = f"{text}: requests and tokens are refused"
        return failure(ExitCode.CREDENTIALS, refused, _CLOCK_FIX, **facts)
    if abs(ahead_s) > SKEW_WARNED_S:
        return warning(f"{text}: tokens may be refused", _CLOCK_FIX, **facts)
    return ok(text, **facts)


def _direction(ahead_s: float) -> str:
    if abs(ahead_s) <= _DATE_UNIT_S:
        return "within a second of the store's"
    way = "ahead of" if ahead_s > 0 else "behind"
    return f"{format_duration(round(abs(ahead_s)))} {way} the store's"
