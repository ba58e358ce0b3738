"""Whether the endpoint is reached, and whether its clock and this machine's agree."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

import trio

from cloudfs.doctor import fixes
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, skipped, warning
from cloudfs.doctor.probes import network
from cloudfs.doctor.probes.failures import NetworkError, Trouble, is_address
from cloudfs.doctor.probes.network import Answer, Target
from cloudfs.doctor.probes.proxies import Proxy, proxy_for
from cloudfs.errors import ExitCode
from cloudfs.telemetry.redact import bare_url
from cloudfs.units import format_duration
from cloudfs_backends.errors import StoreError
from cloudfs_backends.url import FILE

# S3 and Azure refuse requests that are signed 15 minutes off. Less is enough for tokens and SAS:
# they begin and end at a fixed time, and what is made for Google may be off by some minutes only.
SKEW_WARNED_S: Final = 60.0
SKEW_FAILED_S: Final = 300.0

_DATE_UNIT_S: Final = 1.0
_UNTRUSTED: Final = frozenset({Trouble.SELF_SIGNED, Trouble.UNKNOWN_ISSUER})
_CLOCK_FIX: Final = "set this machine's clock: turn NTP on, with 'timedatectl set-ntp true'"
_STEPS: Final = {"name": "name", "tcp": "TCP", "tunnel": "tunnel", "tls": "TLS", "http": "HTTP"}


async def reach(context: Context) -> Finding:
    """Go to the endpoint step by step, as an anonymous client."""
    store = context.store
    # In a thread because an SDK may look for its configuration first.
    endpoint = await trio.to_thread.run_sync(lambda: store.endpoint, abandon_on_cancel=True)
    if endpoint is None:
        return skipped("a folder needs no network")
    if not is_address(endpoint):
        # The SDK could not tell where it would go, and says why when it has to go there.
        await store.probe()
        return ok("the store answers")
    proxy = proxy_for(endpoint, context.environ)
    bundle = fixes.named_bundle(context)
    target = Target(endpoint, proxy, bundle and bundle[1])
    try:
        context.answer = await trio.to_thread.run_sync(
            partial(network.ask, target), abandon_on_cancel=True
        )
    except NetworkError as error:
        if error.trouble in _UNTRUSTED and await _is_trusted_by_sdk(context):
            return ok(f"{bare_url(endpoint)}: the SDK's own settings trust its certificate")
        return _unreached(error, context, bare_url(endpoint), proxy)
    return _reached(context.answer, bare_url(endpoint), proxy)


async def _is_trusted_by_sdk(context: Context) -> bool:
    """Whether the SDK gets beyond the certificate: its configuration files may name the CA."""
    try:
        await context.store.probe()
    except StoreError as error:
        return not fixes.is_about_certificate(error)
    return True


def _unreached(
    error: NetworkError, context: Context, endpoint: str, proxy: Proxy | None
) -> Finding:
    via = "" if error.trouble is Trouble.PROXY else _via(proxy)
    return failure(
        ExitCode.UNREACHABLE,
        f"{error}{via}",
        fixes.of_network(error.trouble, context),
        endpoint=endpoint,
        proxy=proxy and proxy.shown,
        trouble=error.trouble.name.lower().replace("_", "-"),
    )


def _reached(answer: Answer, endpoint: str, proxy: Proxy | None) -> Finding:
    steps = [f"{_STEPS[name]} {format_duration(s)}" for name, s in answer.steps.items()]
    return ok(
        f"{endpoint}{_via(proxy)}: {', '.join(steps)}",
        endpoint=endpoint,
        proxy=proxy and proxy.shown,
        http_code=answer.status,
        steps_s={name: round(seconds, 6) for name, seconds in answer.steps.items()},
    )


def _via(proxy: Proxy | None) -> str:
    return f", through the proxy {proxy.shown} of {proxy.variable}" if proxy else ""


async def clock(context: Context) -> Finding:
    """Compare the clocks by the Date of the endpoint's answer."""
    await trio.lowlevel.checkpoint()
    if context.scheme == FILE:
        return skipped("a folder needs no clock")
    if context.answer is None:
        return skipped("there was no answer to take the time from")
    try:
        told = parsedate_to_datetime(context.answer.date or "").timestamp()
    except ValueError:
        return skipped("the endpoint's answers do not tell the time")
    # A Date is cut to seconds: on average it is half a second old.
    ahead_s = context.answer.asked_at - told - _DATE_UNIT_S / 2
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
