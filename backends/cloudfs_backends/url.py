"""Store URLs: what a user writes to name a bucket and a prefix, checked and in one spelling.

Keys are not percent-decoded: `s3://bucket/a%20b` means the prefix `a%20b/`, as in other S3 tools.
This module knows neither the stores behind the schemes nor any credentials.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

S3 = "s3"
FILE = "file"

_KNOWN = f"{S3}://bucket[/prefix] or {FILE}:///path"
_PLANNED = frozenset({"gs", "gcs", "az", "azure", "abfs", "abfss"})
# What botocore lets through: other stores and old buckets allow more than the S3 naming rules do.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class UrlError(ValueError):
    """The URL cannot be used; the message is one line, names it and says what to write instead."""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A checked store URL; `str()` is its canonical spelling, without secrets.

    `bucket` is the bucket's name, or for `file` the absolute path of the folder. `prefix` is empty
    or ends with "/"; for `file` it is always empty.
    """

    scheme: str
    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        tail = f"/{self.prefix}" if self.prefix else ""
        return f"{self.scheme}://{self.bucket}{tail}"


def parse_url(text: str) -> StoreUrl:
    """Return the checked form of `text`; raises `UrlError`."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise UrlError(f"{_quote(text)} has no scheme; write {_KNOWN}")
    scheme = scheme.lower()
    if scheme == S3:
        return _parse_s3(text, rest)
    if scheme == FILE:
        return _parse_file(text, rest)
    if scheme in _PLANNED:
        raise UrlError(f"{scheme}:// is not supported yet; write {_KNOWN}")
    # The rest is not repeated: an https:// URL may well carry a password.
    raise UrlError(f"unknown scheme {_quote(scheme)}://; write {_KNOWN}")


def _parse_s3(text: str, rest: str) -> StoreUrl:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise UrlError(
            "credentials do not belong into a URL; write s3://bucket[/prefix] and pass them"
            " by the environment or --profile"
        )
    if ":" in bucket:  # a port, or user:secret cut at a "/" of the secret: not repeated
        raise UrlError(
            'an s3:// URL must not contain ":" before the prefix;'
            " write s3://bucket[/prefix] and name the server with --endpoint-url"
        )
    if not bucket:
        raise UrlError(f"{_quote(text)} has no bucket; write s3://bucket[/prefix]")
    if not _BUCKET.fullmatch(bucket):
        raise UrlError(
            f"{_quote(text)}: {_quote(bucket)} is no valid bucket name; use the name only:"
            ' letters, digits, "-", "." and "_", 2 or more'
        )
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return StoreUrl(S3, bucket, prefix)


def _parse_file(text: str, rest: str) -> StoreUrl:
    if not rest.startswith("/"):
        raise UrlError(f"{_quote(text)} is not absolute; write file:///path/to/folder")
    if "\0" in rest or ".." in rest.split("/"):
        raise UrlError(f'{_quote(text)} contains ".." or NUL; write the folder\'s absolute path')
    path = os.path.normpath(rest)
    # POSIX lets normpath keep exactly two leading slashes.
    return StoreUrl(FILE, "/" + path.lstrip("/"))


def _quote(text: str) -> str:
    """Return `text` on one line, whatever bytes it was made of."""
    return ascii(text) if not text.isprintable() else repr(text)
