"""How obstore's client of any cloud behaves: timeouts, idle connections, whom it trusts.

This module knows no cloud and no credentials.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudfs_backends.api import StoreOptions

if TYPE_CHECKING:
    from obstore.store import ClientConfig

# Stalls end by the read timeout; this only ends a body that trickles.
_BODY_TIMEOUT: Final = timedelta(minutes=10)

# Servers close idle connections; one closed by the other side costs a retry.
_POOL_IDLE_TIMEOUT: Final = timedelta(seconds=20)

_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that the SDKs' HTTP library reads: both clients have to trust the same."""


def client_options(
    endpoint: str, options: StoreOptions, ca_bundle: str | None = None
) -> ClientConfig:
    """Return obstore's settings for requests to `endpoint`.

    `ca_bundle` is a file of certificates that the SDK was told of in a way of its own.
    One that cannot be read is an `OSError`; one that is missing is left to the SDK to complain of.
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
    # A folder of certificates, which the SDKs take as well, cannot be told to obstore.
    if bundle and os.path.isfile(bundle) and not is_plain:
        with open(bundle, "rb") as file:
            client["root_certificate"] = file.read()
    return client
