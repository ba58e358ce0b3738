"""Azure Blob Storage for tests: the emulator Azurite in a process of its own, containers, SAS.

Everything listens on 127.0.0.1 and ends with its context manager, by its process id.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_container_sas

from tests.support.environment import environment, without_credentials
from tests.support.server_process import first_line, server_process
from tests.support.tls import Certificate

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_AZURITE = Path(__file__).parents[2] / ".setup/azurite/node_modules/.bin/azurite-blob"
_LISTENS = "successfully listens on "

_SCRIPT = 'process.stdin.on("end", () => process.exit()).resume(); require(process.argv[1])'
_FLAGS = (
    "--disableTelemetry", "--skipApiVersionCheck", "--silent", "--inMemoryPersistence",
    "--blobHost", "127.0.0.1", "--blobPort", "0",
)  # fmt: skip


def why_no_azurite() -> str | None:
    """Why this machine has no `azure_server`, or None when it has."""
    if shutil.which("node") is None:
        return "node is not installed, which Azurite needs"
    return None if _AZURITE.exists() else f"Azurite is not at {_AZURITE}; make test installs it"


def need_azurite() -> None:
    """Skip the test on a machine without Azurite; where CI is set that is a failure."""
    reason = why_no_azurite()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def azure_environment() -> dict[str, str]:
    """Return variables that name the emulator's account and its key."""
    return {"AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": KEY}


@contextmanager
def fake_azure(**more: str) -> Iterator[None]:
    """Give this process the emulator's credentials (and `more` variables) and hide all real ones,
    for the time of the block. A variable given as "" is not set."""
    variables = {**without_credentials(os.environ), **azure_environment(), **more}
    with environment({name: text for name, text in variables.items() if text}):
        yield


@dataclass(frozen=True)
class AzureBucket:
    """A container on the emulator, changed as another client would; methods block.

    `client` is the SDK's, for what the helpers do not do.
    """

    name: str
    client: ContainerClient

    @property
    def url(self) -> str:
        return f"az://{self.name}"

    def put(
        self, key: str, data: bytes, metadata: Mapping[str, str] | None = None, **more: Any
    ) -> str:
        """Write a blob and return its ETag, quotes included."""
        blob = self.client.get_blob_client(key)
        answer = blob.upload_blob(data, overwrite=True, metadata=dict(metadata or {}), **more)
        return str(answer["etag"])

    def put_folder(self, key: str) -> None:
        """Write the stub of a folder, as blobfuse does."""
        self.put(key, b"", {"hdi_isfolder": "true"})

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.put(key, data)

    def delete(self, key: str) -> None:
        self.client.delete_blob(key)

    def sas(
        self, permission: str = "rl", valid: timedelta = timedelta(hours=1), **more: Any
    ) -> str:
        """Return a SAS token for this container that is `valid` so long from now on."""
        expiry = datetime.now(UTC) + valid
        start = min(datetime.now(UTC), expiry) - timedelta(hours=1)
        return generate_container_sas(
            ACCOUNT,
            self.name,
            account_key=KEY,
            permission=permission,
            start=start,
            expiry=expiry,
            **more,
        )


@dataclass(frozen=True)
class AzureServer:
    """A running Azurite. The endpoint's path names the account, as with every emulator."""

    origin: str
    pid: int
    service: BlobServiceClient

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    @property
    def endpoint_url(self) -> str:
        return f"{self.origin}/{ACCOUNT}"

    def bucket(self, name: str, **options: Any) -> AzureBucket:
        """Create a container; it ends with the server."""
        return AzureBucket(name, self.service.create_container(name, **options))


@contextmanager
def azure_server(certificate: Certificate | None = None) -> Iterator[AzureServer]:
    """Run Azurite in a process of its own until the block ends.

    With a certificate it speaks TLS, and takes logins beside keys and SAS tokens.
    """
    command = ["node", "-e", _SCRIPT, _AZURITE, *_FLAGS, *_tls_flags(certificate)]
    with server_process(command, without_credentials(os.environ)) as process:
        origin = first_line(process, _LISTENS).partition(_LISTENS)[2]
        trusted = str(certificate.ca_file) if certificate else True
        service = BlobServiceClient(
            f"{origin}/{ACCOUNT}",
            AzureNamedKeyCredential(ACCOUNT, KEY),
            transport=RequestsTransport(connection_verify=trusted),
        )
        with closing(service):
            yield AzureServer(origin, process.pid, service)


def _tls_flags(certificate: Certificate | None) -> list[str]:
    if certificate is None:
        return []
    return ["--oauth", "basic", "--cert", str(certificate.file), "--key", str(certificate.file)]
