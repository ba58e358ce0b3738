"""Diagnosis of a store: its credentials' identity and its bucket's location."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cloudfs_backends.api import ObjectStore


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of the client's credentials. Nothing in it is secret.

    `name` is the cloud's name for it (an ARN, an e-mail address, an account); `kind` is the kind of
    credentials ("access key", "service account", "SAS token", "anonymous"); `source` is where they
    were found ("environment", "profile lab", a file). `expires_at` has a time zone and is None when
    they do not expire or are renewed automatically. `notes` are further facts in sentences, such as
    the permissions of a SAS token.
    """

    name: str
    kind: str
    source: str
    expires_at: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """Endpoint and region of the bucket. `region` is None where the store does not tell it.

    `byte_path` names the library that reads bytes: "obstore", or "SDK" with the reason.
    """

    endpoint: str
    region: str | None
    byte_path: str


class StoreInspector(ObjectStore, Protocol):
    """An `ObjectStore` for diagnosis. Methods raise `StoreError`."""

    @property
    def endpoint(self) -> str | None:
        """The URL that requests go to, as far as known without a request; None: no network."""

    async def identify(self) -> Identity:
        """Find the credentials, renew them if need be, and return their identity.

        Raises `CredentialsError` when there are none or they are refused.
        """

    async def locate(self) -> BucketLocation:
        """Ask the store where the bucket is."""
