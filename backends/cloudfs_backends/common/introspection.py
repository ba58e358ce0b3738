"""What a person may ask of a store: who am I, where is it. For `doctor`, never for reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cloudfs_backends.api import ObjectStore


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the store takes this client for. Nothing in it is secret.

    `name` is what the cloud calls the identity (an ARN, an e-mail address, an account);
    `kind` is what stands for it ("access key", "service account", "SAS token", "anonymous");
    `source` is where it was found ("environment", "profile lab", a file). `expires_at` has a time
    zone and is None when it does not expire or is renewed by itself. `notes` are further facts in
    sentences, such as what a SAS token permits.
    """

    name: str
    kind: str
    source: str
    expires_at: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """Where the bucket is. `region` is None where the store does not say.

    `byte_path` says how bytes are moved: "obstore", or "SDK" with the reason.
    """

    endpoint: str
    region: str | None
    byte_path: str


class StoreInspector(ObjectStore, Protocol):
    """A store that answers questions about itself. Each raises `StoreError` when it cannot."""

    @property
    def endpoint(self) -> str | None:
        """The URL that requests go to, as far as it is known without asking; None: no network."""

    async def identify(self) -> Identity:
        """Find the credentials, renew them if need be, and say whose they are.

        `CredentialsError` when there are none or they are refused.
        """

    async def locate(self) -> BucketLocation:
        """Ask the store where the bucket is."""
