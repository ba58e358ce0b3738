"""Azure's connection strings: `Name=value` pairs separated by ";", as the portal shows them.

A string is a secret: no message repeats any of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from cloudfs_backends.errors import CredentialsError

VARIABLE: Final = "AZURE_STORAGE_CONNECTION_STRING"
PUBLIC_SUFFIX: Final = "core.windows.net"

# The emulator's account, the same on every machine by its documentation: no secret.
EMULATOR_ACCOUNT: Final = "devstoreaccount1"
EMULATOR_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_EMULATOR_ENDPOINT: Final = f"http://127.0.0.1:10000/{EMULATOR_ACCOUNT}"

_ADDRESS: Final = re.compile(r"[\d.]+|[\da-f]*:[\da-f:]+|localhost")
_ACCOUNT_HOST: Final = re.compile(r"([a-z0-9]{3,24})\.blob\..+")


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """The entries of a connection string; missing ones are "".

    `endpoint` is that of the blob service, without a trailing slash.
    """

    account: str
    endpoint: str
    key: str = field(default="", repr=False)
    sas: str = field(default="", repr=False)


def parse_connection_string(text: str) -> ConnectionString:
    """Return the entries of `text`; raises `CredentialsError`."""
    entries = _entries(text)
    if entries.get("usedevelopmentstorage", "").lower() == "true":
        return ConnectionString(EMULATOR_ACCOUNT, _EMULATOR_ENDPOINT, key=EMULATOR_KEY)
    named = entries.get("accountname", "")
    endpoint = entries.get("blobendpoint", "").rstrip("/")
    if not endpoint and named:
        protocol = entries.get("defaultendpointsprotocol", "https")
        suffix = entries.get("endpointsuffix", PUBLIC_SUFFIX)
        endpoint = f"{protocol}://{named}.blob.{suffix}"
    if not endpoint:
        raise _malformed("it names neither AccountName nor BlobEndpoint")
    return ConnectionString(
        account=named or account_of(endpoint),
        endpoint=endpoint,
        key=entries.get("accountkey", ""),
        sas=entries.get("sharedaccesssignature", ""),
    )


def account_of(endpoint: str) -> str:
    """Return the account in a blob endpoint's URL, "" when there is none."""
    try:
        url = urlsplit(endpoint)
    except ValueError:
        return ""
    host = url.hostname or ""
    if _ADDRESS.fullmatch(host):  # an emulator's: the account is in the path
        return url.path.strip("/").partition("/")[0]
    match = _ACCOUNT_HOST.fullmatch(host)
    return match[1] if match else ""


def _entries(text: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(";") if part.strip()]
    if not pairs or any(not separator for _, separator, _ in pairs):
        raise _malformed("it is not made of Name=value pairs with ; between them")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _malformed(why: str) -> CredentialsError:
    error = CredentialsError(f"{VARIABLE} cannot be used: {why}")
    error.advice = "copy the whole string from the account's access keys in the portal"
    return error
