"""Store URLs: parsing, checks and the canonical spelling of a bucket and prefix.

Keys are not percent-decoded: `s3://bucket/a%20b` means the prefix `a%20b/`, as in other S3 tools.
Only an https:// address, which Azure's tools show, is decoded. No message repeats what may be a
secret.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

S3: Final = "s3"
GS: Final = "gs"
AZ: Final = "az"
FILE: Final = "file"

_FORMS: Final = {
    S3: "s3://bucket[/prefix]",
    GS: "gs://bucket[/prefix]",
    AZ: "az://container[/prefix]",
    FILE: "file:///path",
}
_ABFS_FORM: Final = "abfss://container@account.dfs.core.windows.net[/prefix]"
_KNOWN: Final = f"{_FORMS[S3]}, {_FORMS[GS]}, {_FORMS[AZ]} or {_FORMS[FILE]}"
_ALIASES: Final = {"gcs": GS, "azure": AZ}
_ABFS: Final = frozenset({"abfs", "abfss", "wasb", "wasbs"})
_HTTPS: Final = "https"
_CREDENTIALS_FROM: Final = {
    S3: "the environment or --profile",
    GS: "GOOGLE_APPLICATION_CREDENTIALS or gcloud",
    AZ: "AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or a login",
}

# As lax as the SDKs: other stores and old buckets allow more than the naming rules do.
_NAMES: Final = {
    S3: re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}"),
    GS: re.compile(
        r"(?=[a-z0-9].{1,220}[a-z0-9]\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*",
    ),
    AZ: re.compile(r"\$(root|web|logs)|(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*"),
}
_LETTERS: Final = {
    S3: 'letters, digits, "-", "." and "_", 2 or more',
    GS: 'small letters, digits, "-", "." and "_", 3 to 63, or that many between dots',
    AZ: "small letters, digits and single dashes, 3 to 63",
}
_ACCOUNT_HOST: Final = re.compile(r"([a-z0-9]{3,24})\.(?:dfs|blob)\.([a-z0-9.-]+\.[a-z]{2,})")

# A "?" is valid in a key. These parameters after it are those of signed and shared links.
_SIGNED: Final = re.compile(
    r"\?(?:.*[&;])?(?:sig|(?:x-(?:amz|goog)-)?signature|x-amz-security-token|x-(?:amz|goog)-credential"
    r"|awsaccesskeyid|googleaccessid)=",
    re.IGNORECASE | re.DOTALL,
)
_SHARED: Final = re.compile(
    r"\?(?:.*[&;])?(?:sv|ss|srt|sr|sp|se|st|si|sip|spr)=", re.IGNORECASE | re.DOTALL
)
_CONNECTION_STRING: Final = re.compile(
    r"(?:AccountName|AccountKey|SharedAccessSignature)=", re.IGNORECASE
)
# Signs of a password, or of a query.
_MAY_BE_SECRET: Final = re.compile(r"[@:=?&;]")


class UrlError(ValueError):
    """An unusable URL; the message is one line, names it and says what to write instead."""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A checked store URL; `str()` is its canonical spelling, without secrets.

    `bucket` is the name of the bucket (of the container, in Azure), or for `file` the absolute path
    of the folder. `prefix` is empty or ends with "/"; for `file` it is always empty. `account` is
    the storage account in an Azure URL and `suffix` what follows ".dfs." or ".blob." in its host
    name; both are empty when the URL names no account.
    """

    scheme: str
    bucket: str
    prefix: str = ""
    account: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        tail = f"/{self.prefix}" if self.prefix else ""
        if self.account:
            return f"abfss://{self.bucket}@{self.account}.dfs.{self.suffix}{tail}"
        return f"{self.scheme}://{self.bucket}{tail}"


def parse_url(text: str) -> StoreUrl:
    """Return the checked form of `text`; raises `UrlError`."""
    scheme, separator, rest = text.partition("://")
    if not separator or _MAY_BE_SECRET.search(scheme):
        if _CONNECTION_STRING.search(text):
            raise UrlError(
                "a connection string is no URL; set AZURE_STORAGE_CONNECTION_STRING to it and"
                f" write {_FORMS[AZ]}"
            )
        what = "the URL" if _MAY_BE_SECRET.search(text) else _quote(text)
        raise UrlError(f"{what} has no scheme; write {_KNOWN}")
    scheme = scheme.lower()
    scheme = _ALIASES.get(scheme, scheme)
    if scheme == FILE:
        return _parse_file(text, rest)
    if scheme in _ABFS:
        return _parse_abfs(rest)
    if scheme == _HTTPS and _ACCOUNT_HOST.fullmatch(rest.partition("/")[0].lower()):
        return _parse_https(rest)
    if scheme in _FORMS:
        return _parse_bucket(scheme, text, rest)
    # The rest is not repeated: an https:// URL may well carry a password.
    raise UrlError(f"unknown scheme {_quote(scheme)}://; write {_KNOWN}")


def _parse_bucket(scheme: str, text: str, rest: str) -> StoreUrl:
    form = _FORMS[scheme]
    _refuse_signatures(scheme, form, rest)
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        hint = f" (an account is named by --azure-account or {_ABFS_FORM})" if scheme == AZ else ""
        raise UrlError(
            f"credentials do not belong into a URL; write {form}{hint} and pass them by"
            f" {_CREDENTIALS_FROM[scheme]}"
        )
    if ":" in bucket:  # a port, or user:secret cut at a "/" of the secret: not repeated
        raise UrlError(
            f'the URL must not contain ":" before the prefix; write {form} and name the server'
            " with --endpoint-url"
        )
    if not bucket:
        raise UrlError(f"{_quote(text)} has no bucket; write {form}")
    _check_name(scheme, text, bucket)
    return StoreUrl(scheme, bucket, _as_prefix(prefix))


def _parse_abfs(rest: str) -> StoreUrl:
    _refuse_signatures(AZ, _ABFS_FORM, rest)
    authority, _, prefix = rest.partition("/")
    container, at, host = authority.partition("@")
    # Malformed parts are not repeated: one may be a secret in the wrong position.
    if not at:
        raise UrlError(f"not a container of an account; write {_ABFS_FORM}")
    return _in_account(container, host, prefix)


def _parse_https(rest: str) -> StoreUrl:
    """Parse the https:// address of a folder, as Azure's tools show it."""
    if "?" in rest:
        _refuse_signatures(AZ, _ABFS_FORM, rest)
        raise UrlError(f"an address with a query names no folder; write {_ABFS_FORM}")
    host, _, path = rest.partition("/")
    container, _, prefix = path.partition("/")
    return _in_account(container, host, unquote(prefix, errors="surrogateescape"))


def _in_account(container: str, host: str, prefix: str) -> StoreUrl:
    match = _ACCOUNT_HOST.fullmatch(host.lower())
    if not match:
        raise UrlError(f"not a container of an account; write {_ABFS_FORM}")
    if not _NAMES[AZ].fullmatch(container):
        raise UrlError(f"no valid container name; use {_LETTERS[AZ]}; write {_ABFS_FORM}")
    return StoreUrl(AZ, container, _as_prefix(prefix), match[1], match[2])


def _refuse_signatures(scheme: str, form: str, rest: str) -> None:
    if _SIGNED.search(rest) or (scheme == AZ and _SHARED.search(rest)):
        raise UrlError(
            f"the URL is a link with a signature; write {form} without it and pass credentials by"
            f" {_CREDENTIALS_FROM[scheme]}"
        )


def _check_name(scheme: str, text: str, bucket: str) -> None:
    if not _NAMES[scheme].fullmatch(bucket):
        thing = "container" if scheme == AZ else "bucket"
        raise UrlError(
            f"{_quote(text)}: {_quote(bucket)} is no valid {thing} name; use the name only:"
            f" {_LETTERS[scheme]}"
        )


def _as_prefix(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def _parse_file(text: str, rest: str) -> StoreUrl:
    if not rest.startswith("/"):
        raise UrlError(f"{_quote(text)} is not absolute; write file:///path/to/folder")
    if "\0" in rest or ".." in rest.split("/"):
        raise UrlError(f'{_quote(text)} contains ".." or NUL; write the folder\'s absolute path')
    path = os.path.normpath(rest)
    # POSIX lets normpath keep exactly two leading slashes.
    return StoreUrl(FILE, "/" + path.lstrip("/"))


def _quote(text: str) -> str:
    """Return `text` quoted, on one line, with unprintable characters escaped."""
    return ascii(text) if not text.isprintable() else repr(text)
