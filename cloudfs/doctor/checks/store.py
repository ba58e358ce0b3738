"""The checks of the bucket: identity, listing, region and features."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

import trio

from cloudfs.doctor import fixes
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, skipped, warning
from cloudfs.errors import ExitCode
from cloudfs.units import format_count, format_duration, format_size
from cloudfs_backends.api import ListPage
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.errors import CredentialsError, StoreError
from cloudfs_backends.url import FILE, parse_url

EXPIRES_SOON: Final = timedelta(hours=1)

ANONYMOUS: Final = "anonymous"
"""The identity of a client without credentials."""

_PAGE: Final = 1000
_PAGES_MAX: Final = 5
"""Pages to search for an object with bytes: folder markers are empty."""


async def identity(context: Context) -> Finding:
    """Identify this client.

    An unknown identity is a warning if there are credentials: the identity service may be out of
    reach where the bucket is not.
    """
    try:
        found = await context.store.identify()
    except CredentialsError:
        raise
    except StoreError as error:
        return warning(f"cannot tell who this is: {error}", fixes.store_fix(error, context))
    return describe(found, datetime.now(UTC))


def describe(found: Identity, now: datetime) -> Finding:
    """Return the finding about an identity, with its remaining time at `now`."""
    is_anonymous = found.name == ANONYMOUS
    proof = found.source if is_anonymous else f"{found.kind}, from {found.source}"
    words = [f"{found.name} ({proof})", *(note.rstrip(".") for note in found.notes)]
    facts = {
        "name": found.name,
        "kind": found.kind,
        "source": found.source,
        "notes": list(found.notes),
        "expires_at": found.expires_at and found.expires_at.isoformat(),
    }
    renew = f"get new ones first: nothing renews what was found in {found.source}"
    if found.expires_at is None:
        return ok("; ".join(words), **facts)
    left = found.expires_at - now
    lasts = format_duration(max(1, round(abs(left.total_seconds()))))
    if left <= timedelta(0):
        text = "; ".join([*words, f"expired {lasts} ago"])
        return failure(ExitCode.CREDENTIALS, text, renew, **facts)
    text = "; ".join([*words, f"expires in {lasts}"])
    return warning(text, renew, **facts) if left < EXPIRES_SOON else ok(text, **facts)


async def listing(context: Context) -> Finding:
    """List the prefix, and choose an object with bytes as the sample."""
    store = context.store
    # The probe follows redirects to the region, so that one request is timed below.
    await store.probe()
    started = trio.current_time()
    page = await store.list_page("", limit=_PAGE)
    seconds = trio.current_time() - started
    count = len(page.objects)
    context.objects = page.objects
    if page.next_token is None:
        context.listed_bytes = sum(found.size for found in page.objects)
    await _find_sample(context, page)
    facts = {"objects": count, "is_complete": page.next_token is None, "seconds": round(seconds, 6)}
    if not page.objects and page.next_token is None:
        return warning(f"there is no object under {store.url}", _empty_fix(context), **facts)
    found = format_count(count, "object") + (" and more" if page.next_token else "")
    return ok(f"{found}, first page in {format_duration(seconds)}", **facts)


async def _find_sample(context: Context, page: ListPage) -> None:
    for _ in range(_PAGES_MAX):
        context.sample = next((found for found in page.objects if found.size), None)
        if context.sample is not None or page.next_token is None:
            return
        page = await context.store.list_page("", token=page.next_token, limit=_PAGE)


def _empty_fix(context: Context) -> str:
    if context.scheme == FILE:
        return "is it the right folder? A mount of it will be empty"
    if parse_url(context.settings.url).prefix:
        return "is the prefix right? It is case-sensitive, and names a folder, never one object"
    return "is it the right bucket? A mount of it will be empty"


async def region(context: Context) -> Finding:
    """Compare the region of the bucket with --region. A mount does not need it."""
    if context.scheme == FILE:
        return skipped("a folder has no region")
    try:
        location = await context.bucket_location()
    except StoreError as error:
        return warning(f"the store does not say: {error}", "a mount works without knowing it")
    found, configured = location.region, context.settings.region
    facts = {"region": found, "configured": configured, "endpoint": location.endpoint}
    if found is None:
        return ok("the store does not tell", **facts)
    if configured is not None and configured != found:
        text = f"the bucket is in {found}, not in {configured}: every start is redirected"
        return warning(text, f"say --region {found}", **facts)
    return ok(found, **facts)


async def features(context: Context) -> Finding:
    """Report the capabilities of the store."""
    await trio.lowlevel.checkpoint()
    able = context.store.capabilities
    copies = able.copy_bytes_max
    words = {
        "conditional writes": able.conditional_put,
        "atomic renames": able.atomic_rename,
        "appending": able.append,
        f"copies within the store up to {format_size(copies)}" if copies else "copies": copies > 0,
    }
    can = [word for word, has in words.items() if has]
    lacks = [f"no {word}" for word, has in words.items() if not has]
    return ok(", ".join([*can, *lacks]), **asdict(able))
