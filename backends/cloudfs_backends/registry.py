"""From a URL to an open store: which module serves a scheme, and what is wrapped around it.

A backend's module, and with it its SDK, is imported when a URL asks for it. This module knows no
backend's details.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from cloudfs_backends.api import InvalidRequestError, ObjectStore, StoreOptions
from cloudfs_backends.metered import MeteredStore
from cloudfs_backends.retry import RetryingStore, RetryPolicy
from cloudfs_backends.url import FILE, S3, StoreUrl, parse_url


@dataclass(frozen=True, slots=True)
class _Backend:
    """`opener` of `module` takes (StoreUrl, StoreOptions); `packages` is what pip installs."""

    module: str
    opener: str
    packages: str


_BACKENDS = {
    S3: _Backend("cloudfs_backends.s3", "S3ObjectStore", "boto3 obstore"),
    FILE: _Backend("cloudfs_backends.local", "LocalStore", ""),
}


def open_store(
    url: str, options: StoreOptions | None = None, retry: RetryPolicy | None = None
) -> ObjectStore:
    """Return the store at `url`, with retries and statistics. No request is made yet.

    Raises `UrlError`, or `InvalidRequestError` when a package is missing. May be called outside
    the trio loop.
    """
    raw = _open_raw(parse_url(url), options or StoreOptions())
    # Metering is inside: what counts as a request is what the store was asked.
    return RetryingStore(MeteredStore(raw), retry)


def _open_raw(url: StoreUrl, options: StoreOptions) -> ObjectStore:
    backend = _BACKENDS[url.scheme]
    try:
        opener = getattr(importlib.import_module(backend.module), backend.opener)
    except ModuleNotFoundError as error:
        if not backend.packages or (error.name or "").startswith("cloudfs_backends"):
            raise
        missing = InvalidRequestError(f"{url.scheme}:// needs the package {error.name}")
        missing.advice = f"install it: pip install {backend.packages}"
        raise missing from error
    store: ObjectStore = opener(url, options)
    return store
