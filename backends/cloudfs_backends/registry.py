"""From a URL to an open store: which module serves a scheme, and what is wrapped around it.

A backend's module, and with it its SDK, is imported when a URL asks for it. This module knows no
backend's details.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, fields
from typing import Final

from cloudfs_backends.api import InvalidRequestError, ObjectStore, StoreOptions
from cloudfs_backends.common.http_errors import with_advice
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.url import AZ, FILE, GS, S3, parse_url
from cloudfs_backends.wrappers.metered import MeteredStore
from cloudfs_backends.wrappers.retry import RetryingStore, RetryPolicy

_COMMON: Final = frozenset({"max_downloads", "connect_timeout_s", "read_timeout_s"})


@dataclass(frozen=True, slots=True)
class _Backend:
    """`open_store` of `module` takes (StoreUrl, StoreOptions).

    `extra` is the extra of the distribution with its packages, "" when the base has them all.
    `options` are the fields of `StoreOptions` that mean something here, beside the common ones.
    """

    module: str
    extra: str
    options: frozenset[str]


_BACKENDS: Final = {
    S3: _Backend(
        "cloudfs_backends.s3.client",
        "",
        frozenset(
            {"endpoint_url", "region", "profile", "no_sign_request", "force_path_style"}
            | {"requester_pays", "sse_customer_key"}
        ),
    ),
    GS: _Backend(
        "cloudfs_backends.gcs.client",
        "gcs",
        frozenset({"endpoint_url", "no_sign_request", "user_project"}),
    ),
    AZ: _Backend(
        "cloudfs_backends.azure.client",
        "azure",
        frozenset({"endpoint_url", "no_sign_request", "azure_account"}),
    ),
    FILE: _Backend("cloudfs_backends.local.client", "", frozenset()),
}


def open_store(
    url: str, options: StoreOptions | None = None, retry: RetryPolicy | None = None
) -> ObjectStore:
    """Return the store at `url`, with retries and statistics. No request is made yet.

    Raises `UrlError`, or `InvalidRequestError` when a package is missing or an option has no
    meaning for this store. May be called outside the trio loop.
    """
    # Metering is inside: what counts as a request is what the store was asked.
    return RetryingStore(MeteredStore(open_inspector(url, options)), retry)


def open_inspector(url: str, options: StoreOptions | None = None) -> StoreInspector:
    """Return the bare store at `url`, which answers questions about itself; as `open_store`."""
    options = options or StoreOptions()
    checked = parse_url(url)
    backend = _BACKENDS[checked.scheme]
    _check_options(checked.scheme, backend, options)
    try:
        with warnings.catch_warnings():
            # An SDK says so when it will not support this Python some day: no matter for a mount.
            warnings.simplefilter("ignore", FutureWarning)
            module = importlib.import_module(backend.module)
    except ImportError as error:
        if not backend.extra or (error.name or "").startswith("cloudfs_backends"):
            raise
        scheme = checked.scheme
        raise with_advice(
            InvalidRequestError(f"{scheme}:// needs packages that are not there: {error}"),
            f"install them: pip install 'cloudfs-mount[{backend.extra}]'",
        ) from error
    store: StoreInspector = module.open_store(checked, options)
    return store


def _check_options(scheme: str, backend: _Backend, options: StoreOptions) -> None:
    """An option that would do nothing is a mistake, and one that nobody would notice."""
    for field in fields(options):
        name = field.name
        if name in backend.options or name in _COMMON or getattr(options, name) == field.default:
            continue
        takers = " or ".join(f"{taker}://" for taker, b in _BACKENDS.items() if name in b.options)
        flag = "--" + name.replace("_", "-")
        raise with_advice(
            InvalidRequestError(f"{flag} means nothing for {scheme}://"),
            f"leave it away: it is for {takers}",
        )
