"""Backends by URL scheme, and the opening of a store.

A backend's module, and with it its SDK, is imported when a URL of its scheme is opened.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, fields
from typing import Final

from cloudfs_backends.api import ObjectStore, StoreOptions
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.executor import WorkerThreads
from cloudfs_backends.common.http_errors import with_advice
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import InvalidRequestError
from cloudfs_backends.url import AZ, FILE, GS, S3, parse_url
from cloudfs_backends.wrappers.retry import NO_RETRIES, RetryPolicy
from cloudfs_backends.wrappers.store import PipelinedStore

_COMMON: Final = frozenset({"max_downloads", "connect_timeout_s", "read_timeout_s"})


@dataclass(frozen=True, slots=True)
class _Backend:
    """`open_client` of `module` takes (StoreUrl, StoreOptions).

    `extra` is the optional dependency group of its SDK, "" when the base installation has it.
    `options` are the fields of `StoreOptions` that it uses, beside the common ones.
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
    """Return the store at `url`, whose requests are retried. No request is made yet.

    Raises `UrlError`, or `InvalidRequestError` when a package is missing or an option has no
    meaning for this store. May be called outside the trio loop.
    """
    return _open(url, options, retry or RetryPolicy())


def open_inspector(url: str, options: StoreOptions | None = None) -> StoreInspector:
    """Return the store at `url` for diagnosis: its requests are not retried. As `open_store`."""
    return _open(url, options, NO_RETRIES)


def _open(url: str, options: StoreOptions | None, retry: RetryPolicy) -> PipelinedStore:
    options = options or StoreOptions()
    checked = parse_url(url)
    backend = _BACKENDS[checked.scheme]
    _check_options(checked.scheme, backend, options)
    try:
        with warnings.catch_warnings():
            # SDKs warn of Python versions whose support ends some day: no matter for a mount.
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
    client: StoreClient = module.open_client(checked, options)
    return PipelinedStore(client, WorkerThreads(options.max_downloads), retry)


def _check_options(scheme: str, backend: _Backend, options: StoreOptions) -> None:
    """Refuse options that would be ignored: a mistake that would go unnoticed."""
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
