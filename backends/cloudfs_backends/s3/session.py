"""The two clients of one S3 bucket: boto3's for metadata and identity, obstore's for bytes.

boto3 (with botocore below it) alone decides about credentials, region, endpoint and addressing
style. obstore's client gets the endpoint that the SDK's LIST was really sent to and the SDK's
credentials, so that the two always use the same bucket as the same identity.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.executor import METADATA_THREADS
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.s3.customer_key import read_customer_key, require_private_endpoint
from cloudfs_backends.s3.endpoint import Endpoint, configured_region, endpoint_of, find_endpoint
from cloudfs_backends.s3.identity import ANONYMOUS, STS_CONFIG, caller_arn, describe
from cloudfs_backends.s3.obstore import BucketAddress, build_obstore_client

if TYPE_CHECKING:
    from obstore.store import S3Store

_UNKNOWN_ENDPOINT: Final = "the S3 endpoint"

_DIRECTORY_BUCKET: Final = re.compile(r"--xa?-s3$")
_SIGNED_REGION: Final = re.compile(r"Credential=[^,]*/\d{8}/([^/,]+)/")


@dataclass(frozen=True, slots=True)
class _Destination:
    """The endpoint that a LIST of the bucket was sent to; `region` is None when it was unsigned."""

    endpoint: str
    path_style: bool
    region: str | None


class S3Session:
    """Builds the clients when they are first needed. Safe to use from any worker thread.

    Raises the exceptions of botocore and obstore untranslated, and `InvalidRequestError` for a
    customer key that cannot be read (when the session is made) or not be sent safely.
    """

    def __init__(self, bucket: str, prefix: str, options: StoreOptions) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        key_file = options.sse_customer_key
        self._customer_key = None if key_file is None else read_customer_key(key_file)
        self._session = botocore.session.Session(profile=options.profile)
        self._lock = threading.Lock()
        self._boto3: boto3.Session | None = None
        self._client: Any = None
        self._obstore_client: S3Store | None = None
        self._found_endpoint: Endpoint | None = None
        self._destination: _Destination | None = None

    @property
    def bucket_arguments(self) -> dict[str, Any]:
        """botocore's arguments of every request for the bucket."""
        payer = {"RequestPayer": "requester"} if self._options.requester_pays else {}
        return {"Bucket": self._bucket, **payer}

    @property
    def object_arguments(self) -> dict[str, Any]:
        """botocore's arguments of every request for an object."""
        if self._customer_key is None:
            return self.bucket_arguments
        encryption = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": self._customer_key}
        return self.bucket_arguments | encryption

    @property
    def endpoint(self) -> str:
        """The URL that requests go to, or words while it cannot be known."""
        if self._destination is not None:
            return self._destination.endpoint
        return self._endpoint.url or _UNKNOWN_ENDPOINT

    @property
    def namespace(self) -> str:
        """The scope within which the bucket's name is unique; "" for the main partition of AWS."""
        return self._endpoint.namespace

    @property
    def is_custom(self) -> bool:
        """The endpoint is not one of AWS's own."""
        return self._endpoint.is_custom

    @property
    def is_directory_bucket(self) -> bool:
        """The bucket is one of S3 Express, which only AWS has."""
        return bool(_DIRECTORY_BUCKET.search(self._bucket)) and not self.is_custom

    @property
    def profile(self) -> str | None:
        """The configured profile, if any."""
        return self._options.profile or self._session.get_config_variable("profile")

    def client(self) -> Any:
        """Return the botocore client. The first call may wait for credentials."""
        with self._lock:
            return self._get_client()

    def locate(self) -> None:
        """List one key, following the bucket to its region, and build obstore's client for it."""
        with self._lock:
            self._locate()

    def obstore_client(self) -> S3Store:
        """Return obstore's client; the first call lists the bucket to find its region."""
        with self._lock:
            return self._obstore_client or self._locate()

    def region(self) -> str | None:
        """Return the bucket's region; None when the store does not tell it."""
        self.locate()
        signed = self._destination.region if self._destination is not None else None
        if signed and not self.is_custom:
            return signed  # AWS rejects a LIST that is signed for another region
        try:
            response = self.client().head_bucket(Bucket=self._bucket)
        except ClientError:  # the LIST has worked: the store does not support this request
            return None
        region: str | None = response.get("BucketRegion")
        return region

    def identify(self) -> Identity:
        """Find the credentials, renew them if need be, and return their identity.

        Those of a compatible store are never sent to AWS.
        """
        if self._options.no_sign_request:
            return ANONYMOUS
        with self._lock:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            sts = self._session.create_client(
                "sts", region_name=self._signing_region(), config=STS_CONFIG
            )
        try:
            foreign = self.is_custom and not endpoint_of(sts).is_custom
            arn, note = ("", "") if foreign else caller_arn(sts)
        finally:
            sts.close()
        return describe(credentials, self.profile, arn, note)

    def close(self) -> None:
        """Close idle connections; requests in flight keep theirs."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = self._obstore_client = None

    @property
    def _endpoint(self) -> Endpoint:
        if self._found_endpoint is None:
            self._found_endpoint = find_endpoint(self._options)
        return self._found_endpoint

    def _get_client(self) -> Any:
        if self._client is None:
            # Two boto3 sessions on one botocore session interfere.
            self._boto3 = self._boto3 or boto3.Session(botocore_session=self._session)
            client: Any = self._boto3.client(
                "s3",
                region_name=configured_region(self._session, self._options),
                endpoint_url=self._options.endpoint_url,
                config=_client_config(self._options),
            )
            if self._customer_key is not None:
                require_private_endpoint(client.meta.endpoint_url)
            client.meta.events.register("before-send.s3.ListObjectsV2", self._record_destination)
            self._client, self._found_endpoint = client, endpoint_of(client)
        return self._client

    def _locate(self) -> S3Store:
        client = self._get_client()
        client.list_objects_v2(**self.bucket_arguments, Prefix=self._prefix, MaxKeys=1)
        if self._destination is None:
            raise AssertionError("botocore sent a LIST without the before-send event")
        self._obstore_client = self._build_obstore_client(self._destination)
        return self._obstore_client

    def _record_destination(self, request: Any, **_: object) -> None:
        """Record where a LIST is sent; the one after a redirect comes last."""
        url = urlsplit(request.url)
        path = url.path.rstrip("/")
        signed = _SIGNED_REGION.search(_text(request.headers.get("Authorization", "")))
        self._destination = _Destination(
            endpoint=f"{url.scheme}://{url.netloc}{path.removesuffix('/' + self._bucket)}",
            path_style=path.endswith("/" + self._bucket),
            region=signed[1] if signed else None,
        )

    def _signing_region(self) -> str:
        return (self._destination and self._destination.region) or configured_region(
            self._session, self._options
        )

    def _build_obstore_client(self, sent: _Destination) -> S3Store:
        credentials = None if self._options.no_sign_request else self._session.get_credentials()
        if credentials is None and not self._options.no_sign_request:
            raise AssertionError("botocore signed a LIST without credentials")
        location = BucketAddress(
            bucket=self._bucket,
            endpoint=sent.endpoint,
            path_style=sent.path_style,
            region=self._signing_region(),
            express=self.is_directory_bucket,
        )
        bundle = self._session.get_config_variable("ca_bundle")
        return build_obstore_client(
            location, self._options, credentials, self._customer_key, bundle
        )


def _client_config(options: StoreOptions) -> Config:
    return Config(
        signature_version=UNSIGNED if options.no_sign_request else None,
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # This client also reads the keys that obstore cannot name.
        max_pool_connections=METADATA_THREADS + options.max_downloads,
        # Many compatible stores refuse reads that request a checksum.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if options.force_path_style else None,
    )


def _text(header: str | bytes) -> str:
    return header.decode("latin-1") if isinstance(header, bytes) else header
