"""The storage account of a URL: its name, endpoint and credential. No network.

The URL, the options and the environment are read in a fixed order; credentials are in the
environment only.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.azure.connection_string import (
    PUBLIC_SUFFIX,
    VARIABLE,
    ConnectionString,
    account_of,
    parse_connection_string,
)
from cloudfs_backends.common.http_errors import with_advice
from cloudfs_backends.errors import CredentialsError, InvalidRequestError
from cloudfs_backends.url import StoreUrl

KEY_VARIABLE: Final = "AZURE_STORAGE_KEY"
SAS_VARIABLE: Final = "AZURE_STORAGE_SAS_TOKEN"
_ACCOUNT_VARIABLE: Final = "AZURE_STORAGE_ACCOUNT"

_ACCOUNT_NAME: Final = re.compile(r"[a-z0-9]{3,24}")


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key of the account; `source` is the variable that has it."""

    key: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True)
class SasToken:
    """A shared access signature, without a question mark; `source` is the variable that has it."""

    token: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True)
class Login:
    """A login of azure-identity: a service principal, a managed identity, `az login`, ..."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No credential, for public containers."""


Credential: TypeAlias = SharedKey | SasToken | Login | Anonymous


@dataclass(frozen=True, slots=True)
class AzureAccount:
    """A storage account. `endpoint` is its blob service's URL, without a slash at its end."""

    name: str
    endpoint: str
    credential: Credential


def resolve_account(
    url: StoreUrl, options: StoreOptions, environment: Mapping[str, str]
) -> AzureAccount:
    """Return the account of a URL.

    Raises `InvalidRequestError` when the account is not named or named differently in two places,
    and `CredentialsError` for a malformed credential in the environment.
    """
    named, by = _named(url, options)
    connection = _connection(environment, named, by, anonymous=options.no_sign_request)
    custom = (options.endpoint_url or "").rstrip("/")
    given = connection.account if connection else ""
    name = _checked_name(
        named or given or environment.get(_ACCOUNT_VARIABLE, "").strip() or account_of(custom)
    )
    endpoint = _checked_endpoint(custom or _endpoint(url, name, connection))
    credential = _credential(options, connection, environment)
    if isinstance(credential, Login) and endpoint.startswith("http://"):
        raise with_advice(
            CredentialsError(f"{endpoint}: no login is sent over plain http"),
            f"set {KEY_VARIABLE} or {SAS_VARIABLE}, or name an https:// endpoint",
        )
    return AzureAccount(name, endpoint, credential)


def _named(url: StoreUrl, options: StoreOptions) -> tuple[str, str]:
    """Return the account in the URL or option, and which of them."""
    flag = options.azure_account or ""
    if url.account and flag and flag != url.account:
        raise _conflict("the URL", url.account, "--azure-account", flag)
    return (url.account, "the URL") if url.account else (flag, "--azure-account")


def _connection(
    environment: Mapping[str, str], named: str, by: str, *, anonymous: bool
) -> ConnectionString | None:
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    connection = parse_connection_string(text)
    if not named or connection.account in {"", named}:
        return connection
    if anonymous:  # its credential is not needed: a public container of another account
        return None
    raise _conflict(by, named, VARIABLE, connection.account)


def _endpoint(url: StoreUrl, name: str, connection: ConnectionString | None) -> str:
    if connection and not url.suffix:
        return connection.endpoint
    return f"https://{name}.blob.{url.suffix or PUBLIC_SUFFIX}"


def _credential(
    options: StoreOptions, connection: ConnectionString | None, environment: Mapping[str, str]
) -> Credential:
    if options.no_sign_request:
        return Anonymous()
    key, sas = (environment.get(name, "").strip() for name in (KEY_VARIABLE, SAS_VARIABLE))
    if connection and connection.key:
        return _shared_key(connection.key, VARIABLE)
    if connection and connection.sas:
        return _sas_token(connection.sas, VARIABLE)
    if key:
        return _shared_key(key, KEY_VARIABLE)
    return _sas_token(sas, SAS_VARIABLE) if sas else Login()


def _shared_key(key: str, source: str) -> SharedKey:
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise with_advice(
            CredentialsError(f"{source} holds no account key: it is not base64"),
            "copy one of the two access keys of the account",
        ) from None
    return SharedKey(key, source)


def _sas_token(text: str, source: str) -> SasToken:
    token = text.rpartition("?")[2]  # the portal also shows whole URLs
    if not re.search(r"(^|&)sig=[^&]", token):
        raise with_advice(
            CredentialsError(f"{source} holds no SAS token: it has no signature (sig=)"),
            "copy the whole token, from sv= on; in a shell, put it in quotes",
        )
    return SasToken(token, source)


def _checked_name(name: str) -> str:
    if not name:
        raise with_advice(
            InvalidRequestError("no storage account is named"),
            f"give --azure-account, set {_ACCOUNT_VARIABLE} or {VARIABLE}, or write"
            f" abfss://container@account.dfs.{PUBLIC_SUFFIX}",
        )
    if not _ACCOUNT_NAME.fullmatch(name):
        raise with_advice(
            InvalidRequestError(f"{name!a} is no name of a storage account"),
            "use its name only: 3 to 24 small letters and digits",
        )
    return name


def _checked_endpoint(endpoint: str) -> str:
    try:
        url = urlsplit(endpoint)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or url.query or url.fragment or url.username is not None:
        # The endpoint is not repeated: a SAS token may be part of it.
        raise with_advice(
            InvalidRequestError("the blob endpoint is no plain http(s):// URL"),
            f"check --endpoint-url, or BlobEndpoint in {VARIABLE}",
        )
    return endpoint


def _conflict(first: str, one: str, second: str, other: str) -> InvalidRequestError:
    return with_advice(
        InvalidRequestError(f"{first} names the account {one}, but {second} names {other}"),
        f"name one account: leave {second} away, or correct it",
    )
