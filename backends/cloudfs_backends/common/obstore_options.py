"""obstore's HTTP settings for all clouds: timeouts, idle connections, trusted certificates."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudfs_backends.api import StoreOptions

if TYPE_CHECKING:
    from obstore.store import ClientConfig

# The read timeout ends stalls; this one only ends a body that trickles.
_BODY_TIMEOUT: Final = timedelta(minutes=10)

# Shorter than servers keep idle connections: one closed by the server costs a retry.
_POOL_IDLE_TIMEOUT: Final = timedelta(seconds=20)

_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that the SDKs' HTTP library reads: both clients have to trust the same certificates."""


def client_options(
    endpoint: str, options: StoreOptions, ca_bundle: str | None = None
) -> ClientConfig:
    """Return obstore's settings for requests to `endpoint`.

    `ca_bundle` is a file of certificates from the SDK's own configuration. Raises `OSError` for one
    that cannot be read; a missing one is ignored, for the SDK reports it.
    """
    is_plain = endpoint.startswith("http://")
    client: ClientConfig = {
        "allow_http": is_plain,
        "connect_timeout": timedelta(seconds=options.connect_timeout_s),
        "read_timeout": timedelta(seconds=options.read_timeout_s),
        "timeout": _BODY_TIMEOUT,
        "pool_idle_timeout": _POOL_IDLE_TIMEOUT,
        "pool_max_idle_per_host": str(options.max_downloads),
    }
    bundle = ca_bundle or next(filter(None, map(os.environ.get, _BUNDLES)), None)
    # The SDKs also take a folder of certificates; obstore does not.
    if bundle and os.path.isfile(bundle) and not is_plain:
        with open(bundle, "rb") as file:
            client["root_certificate"] = file.read()
    return client
