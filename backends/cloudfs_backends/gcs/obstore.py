"""obstore's client of one GCS bucket, which finds nothing by itself.

What it would fill from GOOGLE_* variables is either set here or not looked at.
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
    """obstore cannot be set up; the message says what is in its way."""


def build_obstore_client(
    bucket: str,
    endpoint: str,
    options: StoreOptions,
    tokens: GoogleTokenSource | None,
    headers: Mapping[str, str],
) -> GCSStore:
    """Return the client; without `tokens` it is anonymous. `headers` go with each request."""
    client = client_options(endpoint, options)
    # Who does not accept gzip gets objects that are stored so unpacked, and never a range.
    client["default_headers"] = {"accept-encoding": "gzip", **headers}
    try:
        return GCSStore(
            bucket,
            config={"base_url": endpoint, "skip_signature": tokens is None},
            client_options=client,
            retry_config={"max_retries": 0},
            # Because there is one, obstore looks for no credentials: not even for anonymous access.
            credential_provider=_provider(tokens),
        )
    except BaseError as error:
        raise ObstoreSetupError(
            f"obstore cannot be set up for {endpoint}; if GOOGLE_SERVICE_ACCOUNT,"
            " GOOGLE_SERVICE_ACCOUNT_PATH or GOOGLE_SERVICE_ACCOUNT_KEY is set, unset it"
        ) from error


def _provider(tokens: GoogleTokenSource | None) -> Any:
    """Return what obstore asks for a token, in one of its threads.

    What it is told expires at once, so it asks for each request, and when to renew is decided in
    one place, by the clock on the wall: obstore's own stands still while a machine is suspended.
    """

    def provide() -> GCSCredential:
        text = "" if tokens is None else tokens.token()
        return {"token": text, "expires_at": datetime.now(UTC)}

    return provide
