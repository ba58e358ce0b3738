"""What mends it, in one line: the words for each store, and the finding for a `StoreError`.

It does not know which check asks.
"""

from __future__ import annotations

from typing import Final

from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure
from cloudfs.doctor.probes.failures import Trouble
from cloudfs_backends.api import (
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
"""The variables that name the CA certificates for the cloud's SDK, the strongest first."""

_OF_FOLDERS: Final[tuple[tuple[type[StoreError], str], ...]] = (
    (AccessDeniedError, "let this user read it, with 'chmod -R u+rX', or run as its owner"),
    (BucketNotFoundError, "create the folder, or correct its path"),
)
_ANONYMOUS: Final = "the bucket is not public: leave --no-sign-request away and give credentials"


def failure_of(error: StoreError, context: Context) -> Finding:
    """Return the finding for what the store said, with the exit code that `mount` has for it."""
    said, status = str(error), f"HTTP {error.http_code}"
    return failure(
        resources.exit_code(error),
        said if error.http_code is None or status in said else f"{said} ({status})",
        fix_of(error, context),
        error=type(error).__name__,
        http_code=error.http_code,
        request_id=error.request_id,
    )


def fix_of(error: StoreError, context: Context) -> str:
    """Return what mends a `StoreError`: the store's own advice unless more is known here."""
    if context.scheme == FILE:
        return next((fix for kind, fix in _OF_FOLDERS if isinstance(error, kind)), error.advice)
    is_anonymous = context.settings.no_sign_request
    if isinstance(error, AccessDeniedError) and is_anonymous and error.operation == "list":
        return _ANONYMOUS
    return bundle(context) if is_about_certificate(error) else error.advice


def is_about_certificate(error: StoreError) -> bool:
    """Whether a request has failed because the server's certificate is not trusted."""
    return isinstance(error, UnavailableError) and "certificate" in str(error).lower()


def bundle(context: Context) -> str:
    """Return how to make a CA known."""
    variable = _BUNDLE_VARIABLES[context.scheme][0]
    return f"name the file with the certificate of its CA: export {variable}=/path/to/ca.pem"


def named_bundle(context: Context) -> tuple[str, str] | None:
    """Return the variable that names CA certificates for the SDK, and the path in it."""
    found = ((name, context.environ.get(name)) for name in _BUNDLE_VARIABLES[context.scheme])
    return next(((name, path) for name, path in found if path), None)


def of_network(trouble: Trouble, context: Context) -> str:
    """Return what mends the way to the endpoint."""
    if trouble in {Trouble.SELF_SIGNED, Trouble.UNKNOWN_ISSUER}:
        return bundle(context)
    if trouble is Trouble.BUNDLE and (named := named_bundle(context)):
        return f"correct {named[0]}, or unset it"
    return _address_fix(trouble, context) or _OF_TROUBLE[trouble]


_OF_TROUBLE: Final = {
    Trouble.NAME: "check this machine's network and its name server in /etc/resolv.conf",
    Trouble.REFUSED: "check this machine's network and firewall",
    Trouble.SILENT: "open the firewall for it, or name a proxy: export HTTPS_PROXY=http://host:port",
    Trouble.ROUTE: "check this machine's network, its routes and firewall",
    Trouble.PROXY: "correct the variable, user and password included, or exempt the endpoint:"
    " export NO_PROXY=host",
    Trouble.EXPIRED: "renew the server's certificate; is this machine's clock right?",
    Trouble.EARLY: "set this machine's clock: turn NTP on, with 'timedatectl set-ntp true'",
    Trouble.OTHER_NAME: "write the name that the certificate is for into --endpoint-url",
    Trouble.CERTIFICATE: "renew or replace the server's certificate",
    Trouble.TLS: "write http:// instead of https:// if the server has no TLS",
    Trouble.HTTP: "write https:// instead of http:// if the server wants TLS; check the port",
}


def _address_fix(trouble: Trouble, context: Context) -> str:
    """Return the fix where the address is the user's own, or part of it is."""
    is_own = context.settings.endpoint_url is not None
    if trouble is Trouble.NAME and is_own:
        return "correct the host in --endpoint-url, or this machine's name server"
    if trouble is Trouble.NAME and context.scheme == AZ:
        return "check the name of the storage account; if it is right, this machine's name server"
    if trouble is Trouble.REFUSED and is_own:
        return "start the server, or correct host and port in --endpoint-url"
    if trouble is Trouble.SILENT and is_own:
        return "correct host and port in --endpoint-url, or open the firewall for them"
    return ""
