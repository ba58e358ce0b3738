"""The endpoint that botocore will send requests to, found without a request or credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from cloudfs_backends.api import StoreOptions

_DEFAULT_REGION: Final = "us-east-1"
_MAIN_PARTITION: Final = "aws"
_AWS_HOST: Final = re.compile(
    r"(^|\.)(amazonaws\.(com|com\.cn|eu)|api\.aws|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk"
    r"|csp\.hci\.ic\.gov)$"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint and its partition of AWS; `url` is empty while it cannot be known."""

    url: str
    partition: str = _MAIN_PARTITION

    @property
    def is_custom(self) -> bool:
        """The endpoint is not one of AWS's own."""
        return bool(self.url) and not _AWS_HOST.search(_host(self.url))

    @property
    def namespace(self) -> str:
        """The scope within which bucket names are unique; "" for the main partition of AWS."""
        if self.is_custom:
            return self.url
        return "" if self.partition == _MAIN_PARTITION else self.partition


def endpoint_of(client: Any) -> Endpoint:
    """Return the endpoint of a botocore client."""
    return Endpoint(client.meta.endpoint_url.rstrip("/"), client.meta.partition)


def find_endpoint(options: StoreOptions) -> Endpoint:
    """Return the endpoint that botocore would use. Configuration errors are left to requests."""
    session = botocore.session.Session(profile=options.profile)
    try:
        client = session.create_client(
            "s3",
            region_name=configured_region(session, options),
            endpoint_url=options.endpoint_url,
            config=Config(signature_version=UNSIGNED),
        )
    except (BotoCoreError, ValueError):
        return Endpoint(options.endpoint_url or "")
    client.close()
    return endpoint_of(client)


def configured_region(session: Any, options: StoreOptions) -> str:
    """Return the region of the first request; S3 redirects from there to the bucket's."""
    region: str | None = options.region or session.get_config_variable("region")
    return region or _DEFAULT_REGION


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # no URL
        return ""
