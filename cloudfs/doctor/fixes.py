"""Fixes in one line: for errors of each store, for network failures and certificates."""

from __future__ import annotations

from typing import Final

from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure
from cloudfs.doctor.probes.network_errors import NetworkFailure
from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.url import AZ, FILE, GS, S3

SLOW: Final = "try again; if it stays so, look for a proxy or firewall that swallows requests"

_BUNDLE_VARIABLES: Final = {
    S3: ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    GS: ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    AZ: ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}
"""The variables with the CA certificates of each SDK, in their order of precedence."""

_FOLDER_FIXES: Final[tuple[tuple[type[StoreError], str], ...]] = (
    (AccessDeniedError, "let this user read it, with 'chmod -R u+rX', or run as its owner"),
    (BucketNotFoundError, "create the folder, or correct its path"),
)
_ANONYMOUS: Final = "the bucket is not public: leave --no-sign-request away and give credentials"


def store_failure(error: StoreError, context: Context) -> Finding:
    """Return the finding of a `StoreError`, with the exit code that `cloudfs mount` has for it."""
    message, status = str(error), f"HTTP {error.http_code}"
    return failure(
        resources.exit_code(error),
        message if error.http_code is None or status in message else f"{message} ({status})",
        store_fix(error, context),
        error=type(error).__name__,
        http_code=error.http_code,
        request_id=error.request_id,
    )


def store_fix(error: StoreError, context: Context) -> str:
    """Return the fix for a `StoreError`: its own advice, or a more specific one."""
    if context.scheme == FILE:
        return next((fix for kind, fix in _FOLDER_FIXES if isinstance(error, kind)), error.advice)
    is_anonymous = context.settings.no_sign_request
    if isinstance(error, AccessDeniedError) and is_anonymous and error.operation == "list":
        return _ANONYMOUS
    return ca_bundle_fix(context) if is_about_certificate(error) else error.advice


def is_about_certificate(error: StoreError) -> bool:
    """Whether a request has failed because the server's certificate is not trusted."""
    return isinstance(error, UnavailableError) and "certificate" in str(error).lower()


def ca_bundle_fix(context: Context) -> str:
    """Return the fix for a CA that is not trusted."""
    variable = _BUNDLE_VARIABLES[context.scheme][0]
    return f"name the file with the certificate of its CA: export {variable}=/path/to/ca.pem"


def configured_ca_bundle(context: Context) -> tuple[str, str] | None:
    """Return the variable that names the CA certificates of the SDK and its value, if it is set."""
    found = ((name, context.environ.get(name)) for name in _BUNDLE_VARIABLES[context.scheme])
    return next(((name, path) for name, path in found if path), None)


def network_fix(reason: NetworkFailure, context: Context) -> str:
    """Return the fix for an endpoint that is not reached."""
    if reason in {NetworkFailure.SELF_SIGNED, NetworkFailure.UNKNOWN_ISSUER}:
        return ca_bundle_fix(context)
    if reason is NetworkFailure.BUNDLE and (named := configured_ca_bundle(context)):
        return f"correct {named[0]}, or unset it"
    return _address_fix(reason, context) or _NETWORK_FIXES[reason]


_NETWORK_FIXES: Final = {
    NetworkFailure.NAME: "check this machine's network and its name server in /etc/resolv.conf",
    NetworkFailure.REFUSED: "check this machine's network and firewall",
    NetworkFailure.SILENT: "open the firewall for it, or name a proxy:"
    " export HTTPS_PROXY=http://host:port",
    NetworkFailure.ROUTE: "check this machine's network, its routes and firewall",
    NetworkFailure.PROXY: "correct the variable, user and password included, or exempt the"
    " endpoint: export NO_PROXY=host",
    NetworkFailure.EXPIRED: "renew the server's certificate; is this machine's clock right?",
    NetworkFailure.EARLY: "set this machine's clock: turn NTP on, with 'timedatectl set-ntp true'",
    NetworkFailure.OTHER_NAME: "write the name that the certificate is for into --endpoint-url",
    NetworkFailure.CERTIFICATE: "renew or replace the server's certificate",
    NetworkFailure.TLS: "write http:// instead of https:// if the server has no TLS",
    NetworkFailure.HTTP: "write https:// instead of http:// if the server wants TLS; check the"
    " port",
}


def _address_fix(reason: NetworkFailure, context: Context) -> str:
    """Return the fix where the user has configured the address, or part of it."""
    is_own = context.settings.endpoint_url is not None
    if reason is NetworkFailure.NAME and is_own:
        return "correct the host in --endpoint-url, or this machine's name server"
    if reason is NetworkFailure.NAME and context.scheme == AZ:
        return "check the name of the storage account; if it is right, this machine's name server"
    if reason is NetworkFailure.REFUSED and is_own:
        return "start the server, or correct host and port in --endpoint-url"
    if reason is NetworkFailure.SILENT and is_own:
        return "correct host and port in --endpoint-url, or open the firewall for them"
    return ""
