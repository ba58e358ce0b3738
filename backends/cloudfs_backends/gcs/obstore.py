"""obstore's client of one GCS bucket, with the session's endpoint and tokens.

Every setting that obstore would take from GOOGLE_* variables is given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError
from obstore.store import GCSStore

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.obstore_options import client_options
from cloudfs_backends.gcs.credentials import GoogleTokenSource

if TYPE_CHECKING:
    from obstore.store import GCSCredential


class ObstoreSetupError(ValueError):
    """obstore cannot be set up; the message names the variables that prevent it."""


def build_obstore_client(
    bucket: str,
    endpoint: str,
    options: StoreOptions,
    tokens: GoogleTokenSource | None,
    headers: Mapping[str, str],
) -> GCSStore:
    """Return the client; without `tokens` it is anonymous. `headers` are sent with each request."""
    client = client_options(endpoint, options)
    # For a client that does not accept gzip, Google decodes such objects and ignores ranges.
    client["default_headers"] = {"accept-encoding": "gzip", **headers}
    try:
        return GCSStore(
            bucket,
            config={"base_url": endpoint, "skip_signature": tokens is None},
            client_options=client,
            retry_config={"max_retries": 0},
            # With a provider obstore searches for no credentials, not even for anonymous access.
            credential_provider=_provider(tokens),
        )
    except BaseError as error:
        raise ObstoreSetupError(
            f"obstore cannot be set up for {endpoint}; if GOOGLE_SERVICE_ACCOUNT,"
            " GOOGLE_SERVICE_ACCOUNT_PATH or GOOGLE_SERVICE_ACCOUNT_KEY is set, unset it"
        ) from error


def _provider(tokens: GoogleTokenSource | None) -> Any:
    """Return obstore's source of tokens, which it calls in one of its threads.

    Each token is declared expired, so that obstore calls for each request and `tokens` alone
    decides about renewal, by wall-clock time: obstore's clock stops while a machine is suspended.
    """

    def provide() -> GCSCredential:
        text = "" if tokens is None else tokens.token()
        return {"token": text, "expires_at": datetime.now(UTC)}

    return provide
