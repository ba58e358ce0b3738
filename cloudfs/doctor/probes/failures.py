"""What keeps a client from an endpoint, and the words for addresses and reasons."""

from __future__ import annotations

import enum
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

PORTS: Final = {"http": 80, "https": 443}


class Trouble(enum.Enum):
    """What keeps a client from an endpoint."""

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
    """Something else about it."""
    TLS = enum.auto()
    HTTP = enum.auto()


class NetworkError(Exception):
    """The endpoint was not reached; the message is one line and names the address."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def is_address(url: str) -> bool:
    """Whether a URL leads to a server of HTTP."""
    try:
        parts = urlsplit(url)
        return parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def host_and_port(url: SplitResult) -> tuple[str, int]:
    """Return where a URL leads to."""
    return url.hostname or "", url.port or PORTS[url.scheme]


def reason_of(error: Exception) -> str:
    """Return why, in few words: OpenSSL's and the system's messages have them at their ends."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    words = error.strerror if isinstance(error, OSError) else str(error)
    return words or str(error) or type(error).__name__
