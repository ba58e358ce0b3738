"""Network failures: their classification, and the texts of addresses and reasons."""

from __future__ import annotations

import enum
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

PORTS: Final = {"http": 80, "https": 443}


class NetworkFailure(enum.Enum):
    """The reason why a client does not reach an endpoint."""

    NAME = enum.auto()
    REFUSED = enum.auto()
    SILENT = enum.auto()
    ROUTE = enum.auto()
    PROXY = enum.auto()
    BUNDLE = enum.auto()
    EXPIRED = enum.auto()
    EARLY = enum.auto()
    SELF_SIGNED = enum.auto()
    UNKNOWN_ISSUER = enum.auto()
    OTHER_NAME = enum.auto()
    CERTIFICATE = enum.auto()
    """Another problem of the certificate."""
    TLS = enum.auto()
    HTTP = enum.auto()


class NetworkError(Exception):
    """The endpoint was not reached; the message is one line and names the address."""

    def __init__(self, failure: NetworkFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


def is_address(url: str) -> bool:
    """Whether a URL is that of an HTTP server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def host_and_port(url: SplitResult) -> tuple[str, int]:
    """Return the host of a URL and its port, the default of the scheme if it has none."""
    return url.hostname or "", url.port or PORTS[url.scheme]


def reason_of(error: Exception) -> str:
    """Return the reason of an error in a few words: those of OpenSSL, or of the system."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    words = error.strerror if isinstance(error, OSError) else str(error)
    return words or str(error) or type(error).__name__
