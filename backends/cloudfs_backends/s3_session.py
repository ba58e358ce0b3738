"""The two clients of one S3 bucket: boto3's for names and identity, obstore's for bytes.

boto3 (with botocore below it) alone decides about credentials, region, endpoint and addressing
style. obstore is then built from where the SDK's LIST really went and from the SDK's credentials,
so that the two can never talk to different places. This module knows no keys but the listed prefix.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from obstore.store import S3Store

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.threads import METADATA_THREADS

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

_DEFAULT_REGION = "us-east-1"

# botocore renews 15 to 10 minutes before expiry, so what it hands out lives at least this long.
# obstore asks again when less than 5 minutes are left of it.
_CREDENTIALS_LIFE = timedelta(minutes=10)

# Stalls end by the read timeout; this only ends a body that trickles.
_BODY_TIMEOUT = timedelta(minutes=10)

# Servers close idle connections; one closed by the other side costs a retry.
_POOL_IDLE_TIMEOUT = timedelta(seconds=20)

_SIGNED_REGION = re.compile(r"Credential=[^,]*/\d{8}/([^/,]+)/")


@dataclass(frozen=True, slots=True)
class _Location:
    """Where a LIST of the bucket was sent; `region` is None when it was not signed."""

    endpoint: str
    path_style: bool
    region: str | None


class S3Session:
    """Builds the clients when they are first needed. Safe to use from any worker thread.

    Nothing is translated here: what botocore and obstore raise passes through.
    """

    def __init__(self, bucket: str, prefix: str, options: StoreOptions) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        self._session = botocore.session.Session(profile=options.profile)
        self._lock = threading.Lock()
        self._client: Any = None
        self._byte_store: S3Store | None = None
        self._sent: _Location | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint for messages: the real one as soon as it is known."""
        if self._sent is not None:
            return self._sent.endpoint
        return self._options.endpoint_url or "the S3 endpoint"

    @property
    def profile(self) -> str | None:
        """The profile in use, if one was chosen."""
        return self._options.profile or self._session.get_config_variable("profile")

    def client(self) -> Any:
        """Return the botocore client. The first call may wait for credentials."""
        with self._lock:
            return self._get_client()

    def locate(self) -> None:
        """List one key, following the bucket to its region, and point the byte store there."""
        with self._lock:
            self._locate()

    def byte_store(self) -> S3Store:
        """Return obstore's client; the first call asks the bucket where it is."""
        with self._lock:
            return self._byte_store or self._locate()

    def close(self) -> None:
        """Close idle connections; requests under way keep theirs."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = self._byte_store = None

    def _get_client(self) -> Any:
        if self._client is None:
            self._client = boto3.Session(botocore_session=self._session).client(
                "s3",
                region_name=self._configured_region(),
                endpoint_url=self._options.endpoint_url,
                config=_client_config(self._options),
            )
            self._client.meta.events.register("before-send.s3.ListObjectsV2", self._note_sent)
        return self._client

    def _locate(self) -> S3Store:
        self._get_client().list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        if self._sent is None:
            raise AssertionError("botocore sent a LIST without saying where")
        self._byte_store = self._build_byte_store(self._sent)
        return self._byte_store

    def _note_sent(self, request: Any, **_: object) -> None:
        """Remember where a LIST goes; the one after a redirect comes last."""
        url = urlsplit(request.url)
        path = url.path.rstrip("/")
        signed = _SIGNED_REGION.search(_text(request.headers.get("Authorization", "")))
        self._sent = _Location(
            endpoint=f"{url.scheme}://{url.netloc}{path.removesuffix('/' + self._bucket)}",
            path_style=path.endswith("/" + self._bucket),
            region=signed[1] if signed else None,
        )

    def _configured_region(self) -> str:
        configured = self._options.region or self._session.get_config_variable("region")
        # S3 redirects from there to the bucket's region.
        return configured or _DEFAULT_REGION

    def _build_byte_store(self, location: _Location) -> S3Store:
        anonymous = self._options.no_sign_request
        return S3Store(
            self._bucket,
            # obstore would fill what is missing here from AWS_* variables that botocore may
            # have overruled or never heard of.
            config={
                "endpoint": location.endpoint,
                "aws_endpoint_url_s3": location.endpoint,
                "region": location.region or self._configured_region(),
                "virtual_hosted_style_request": not location.path_style,
                "skip_signature": anonymous,
                "s3_express": False,
                "request_payer": False,
                "unsigned_payload": False,
            },
            client_options=self._byte_client_options(location),
            retry_config={"max_retries": 0},
            credential_provider=None if anonymous else self._credential_provider(),
        )

    def _byte_client_options(self, location: _Location) -> ClientConfig:
        options: ClientConfig = {
            "allow_http": location.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=self._options.connect_timeout_s),
            "read_timeout": timedelta(seconds=self._options.read_timeout_s),
            "timeout": _BODY_TIMEOUT,
            "pool_idle_timeout": _POOL_IDLE_TIMEOUT,
            "pool_max_idle_per_host": str(self._options.max_downloads),
        }
        bundle = self._session.get_config_variable("ca_bundle")
        if bundle and not options["allow_http"]:
            with open(bundle, "rb") as file:
                options["root_certificate"] = file.read()
        return options

    def _credential_provider(self) -> Callable[[], S3Credential]:
        credentials = self._session.get_credentials()
        if credentials is None:
            raise AssertionError("botocore signed a LIST without credentials")
        return lambda: _frozen(credentials)


def _client_config(options: StoreOptions) -> Config:
    return Config(
        signature_version=UNSIGNED if options.no_sign_request else None,
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Keys that obstore cannot name are read by this client too.
        max_pool_connections=METADATA_THREADS + options.max_downloads,
        # Checksums that are asked for on every read are refused by many compatible stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if options.force_path_style else None,
    )


def _frozen(credentials: Credentials) -> S3Credential:
    """Return what is valid now; called by obstore, in one of its threads."""
    now = credentials.get_frozen_credentials()
    renewable = isinstance(credentials, RefreshableCredentials)
    return {
        "access_key_id": now.access_key or "",
        "secret_access_key": now.secret_key or "",
        "token": now.token,
        "expires_at": datetime.now(UTC) + _CREDENTIALS_LIFE if renewable else None,
    }


def _text(header: str | bytes) -> str:
    return header.decode("latin-1") if isinstance(header, bytes) else header
