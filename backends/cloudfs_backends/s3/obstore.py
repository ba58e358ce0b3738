"""obstore's client of one S3 bucket, with botocore's endpoint, region and credentials.

obstore takes missing settings from AWS_* variables, which botocore may have overruled or not know:
so every setting is given.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from botocore.credentials import Credentials, RefreshableCredentials
from obstore.store import S3Store

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.obstore_options import client_options

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential

# botocore renews 15 to 10 minutes before expiry, so its credentials mostly live this long.
# obstore requests new ones when less than 5 minutes are left.
_CREDENTIALS_LIFE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """The address of a bucket. `express`: it is one of S3 Express, which signs by session."""

    bucket: str
    endpoint: str
    path_style: bool
    region: str
    express: bool


def build_obstore_client(
    location: BucketAddress,
    options: StoreOptions,
    credentials: Credentials | None,
    customer_key: bytes | None,
    ca_bundle: str | None,
) -> S3Store:
    """Return obstore's client; without `credentials` its requests are anonymous."""
    return S3Store(
        location.bucket,
        config=_config(location, options, credentials is None) | _encryption(customer_key),
        client_options=client_options(location.endpoint, options, ca_bundle),
        retry_config={"max_retries": 0},
        credential_provider=_provider(credentials),
    )


def _config(location: BucketAddress, options: StoreOptions, anonymous: bool) -> S3Config:
    return {
        "endpoint": location.endpoint,
        "aws_endpoint_url_s3": location.endpoint,
        "region": location.region,
        "virtual_hosted_style_request": not location.path_style,
        "skip_signature": anonymous,
        "s3_express": location.express,
        "request_payer": options.requester_pays,
        "unsigned_payload": False,
    }


def _encryption(customer_key: bytes | None) -> S3Config:
    if customer_key is None:
        return {"server_side_encryption": "AES256"}  # has no effect in a read
    return {
        "server_side_encryption": "sse-c",
        "sse_customer_key_base64": base64.b64encode(customer_key).decode(),
    }


def _provider(credentials: Credentials | None) -> Callable[[], S3Credential] | None:
    return None if credentials is None else lambda: _frozen(credentials)


def _frozen(credentials: Credentials) -> S3Credential:
    """Return the credentials that are valid now; called by obstore, in one of its threads."""
    now = credentials.get_frozen_credentials()
    return {
        "access_key_id": now.access_key or "",
        "secret_access_key": now.secret_key or "",
        "token": now.token,
        "expires_at": _expiry(credentials),
    }


def _expiry(credentials: Credentials) -> datetime | None:
    """Return until when obstore may keep the credentials; None: forever."""
    if not isinstance(credentials, RefreshableCredentials):
        return None
    assumed = datetime.now(UTC) + _CREDENTIALS_LIFE
    # A credential_process may return some that expire soon. botocore has no public name for it.
    known: datetime | None = getattr(credentials, "_expiry_time", None)
    return assumed if known is None else min(known.astimezone(UTC), assumed)
