"""The key of S3's encryption with customer keys (SSE-C), read from its file.

Messages name the file and never its content.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cloudfs_backends.common.http_errors import with_advice
from cloudfs_backends.errors import InvalidRequestError

KEY_BYTES: Final = 32
_READ_BYTES_MAX: Final = 1024
_LIKE_A_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=$")


def read_customer_key(path: Path) -> bytes:
    """Return the key in the file, which has its 32 bytes or base64 of them.

    A line break at the end does not belong to the key. Raises `InvalidRequestError`.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_READ_BYTES_MAX)
    except OSError as error:
        shown = "that" if _LIKE_A_KEY.search(str(path)) else path
        raise with_advice(
            InvalidRequestError(f"cannot read --sse-customer-key {shown}: {error.strerror}"),
            "name a readable file with the key, and not the key itself",
        ) from None
    key = _parsed(content)
    if key is None:
        raise with_advice(
            InvalidRequestError(f"--sse-customer-key {path} holds no key of 256 bits"),
            f"write the {KEY_BYTES} bytes that the objects were encrypted with, or base64 of them",
        )
    return key


def require_private_endpoint(endpoint_url: str) -> None:
    """Raise `InvalidRequestError` unless the endpoint uses TLS or is on this machine."""
    parts = urlsplit(endpoint_url)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return
    raise with_advice(
        InvalidRequestError(f"--sse-customer-key would be sent in the clear to {endpoint_url}"),
        "name an https:// endpoint",
    )


def _parsed(content: bytes) -> bytes | None:
    line = content.rstrip(b"\r\n")
    for raw in (content, line):
        if len(raw) == KEY_BYTES:
            return raw
    try:
        decoded = base64.b64decode(line.strip(), validate=True)
    except binascii.Error:
        return None
    return decoded if len(decoded) == KEY_BYTES else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
