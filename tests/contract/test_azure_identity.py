"""Identities of Azure without a login: keys, SAS tokens, connection strings, anonymous."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.errors import AccessDeniedError, CredentialsError
from cloudfs_backends.registry import open_inspector
from tests.contract.azure_responses import ETAG, answer, fails, use
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.azure import (
    ACCOUNT,
    KEY,
    AzureBucket,
    AzureServer,
    fake_azure,
)
from tests.support.proxy import ProxiedRequest, Proxy, is_get_object


class TestWithoutLogin:
    @pytest.fixture(autouse=True)
    def _objects(self, azure_bucket: AzureBucket) -> None:
        azure_bucket.put_all({"key": DATA, "a//b": DATA})

    @pytest.mark.parametrize(
        ("variable", "text", "kind"),
        [
            ("AZURE_STORAGE_KEY", "{key}", "account key"),
            ("AZURE_STORAGE_SAS_TOKEN", "{sas}", "SAS token"),
            ("AZURE_STORAGE_SAS_TOKEN", "?{sas}", "SAS token"),
            ("AZURE_STORAGE_SAS_TOKEN", "https://a.blob.core.windows.net/c?{sas}", "SAS token"),
            ("AZURE_STORAGE_CONNECTION_STRING",
             "AccountName={account};AccountKey={key};BlobEndpoint={endpoint}/;", "account key"),
            ("AZURE_STORAGE_CONNECTION_STRING",
             "BlobEndpoint={endpoint}/;SharedAccessSignature={sas}", "SAS token"),
        ],
    )  # fmt: skip
    @in_trio
    async def test_both_clients_use_it(
        self,
        azure_bucket: AzureBucket,
        azure_server: AzureServer,
        variable: str,
        text: str,
        kind: str,
    ) -> None:
        given = text.format(
            key=KEY, sas=azure_bucket.sas(), account=ACCOUNT, endpoint=azure_server.endpoint_url
        )
        is_whole = variable.endswith("CONNECTION_STRING")
        with fake_azure(
            **{"AZURE_STORAGE_KEY": "", variable: given},
            AZURE_STORAGE_ACCOUNT="" if is_whole else ACCOUNT,
        ):
            options = StoreOptions(endpoint_url=None if is_whole else azure_server.endpoint_url)
            store = open_inspector(azure_bucket.url, options)
            await use(store)
            identity = await store.identify()
        assert (identity.name, identity.kind, identity.source) == (ACCOUNT, kind, variable)
        assert store.identity == f"{azure_bucket.url} at {azure_server.endpoint_url}"
        await store.aclose()

    @in_trio
    async def test_sas_tells_what_it_permits(
        self, azure_bucket: AzureBucket, azure_server: AzureServer
    ) -> None:
        sas = azure_bucket.sas("r", timedelta(hours=2))
        with fake_azure(AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN=sas):
            store = open_inspector(
                azure_bucket.url, StoreOptions(endpoint_url=azure_server.endpoint_url)
            )
            identity = await store.identify()
            assert identity.expires_at is not None
            assert timedelta(hours=1) < identity.expires_at - datetime.now(UTC)
            permitted, missing = identity.notes
            assert ("sp=r" in permitted, "list" in missing) == (True, True)
            error = await fails(store.probe)
            assert isinstance(error, AccessDeniedError)
            assert "sp=rl" in error.advice
            await store.aclose()

    @in_trio
    async def test_permission_to_list_suffices_to_mount(
        self, azure_bucket: AzureBucket, azure_server: AzureServer
    ) -> None:
        sas = azure_bucket.sas("l")
        with fake_azure(AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN=sas):
            store = open_inspector(
                azure_bucket.url, StoreOptions(endpoint_url=azure_server.endpoint_url)
            )
            await store.probe()
            assert (await store.list_page("none/")).objects == ()
            for key in ("key", "a//b"):
                error = await fails(lambda key=key: read(store, key, 0, 9, None))
                assert isinstance(error, AccessDeniedError)
            await store.aclose()

    @in_trio
    async def test_expired_sas_is_told_before_the_store_is_asked(
        self, azure_bucket: AzureBucket
    ) -> None:
        sas = azure_bucket.sas(valid=timedelta(hours=-1))
        with fake_azure(AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN=sas):
            store = open_inspector(azure_bucket.url, StoreOptions())
            error = await fails(store.identify)
        assert isinstance(error, CredentialsError)
        assert "expired at" in str(error)
        assert "new SAS token" in error.advice
        await store.aclose()

    @in_trio
    async def test_public_container(
        self, azure_server: AzureServer, azure_bucket: AzureBucket, azure_wire: Proxy
    ) -> None:
        public = azure_server.bucket(f"public-{azure_bucket.name}", public_access="container")
        public.put_all({"key": DATA, "a//b": DATA})
        with fake_azure(
            AZURE_STORAGE_SAS_TOKEN=azure_bucket.sas(),
            AZURE_STORAGE_ACCOUNT_KEY=KEY,
            AZURE_STORAGE_SAS_KEY=azure_bucket.sas(),
            AZURE_STORAGE_TOKEN="a-token",
        ):
            store = open_inspector(
                public.url,
                StoreOptions(
                    endpoint_url=f"{azure_wire.endpoint_url}/{ACCOUNT}", no_sign_request=True
                ),
            )
            await use(store)
            identity = await store.identify()
        assert (identity.name, identity.kind) == ("anonymous", "anonymous")
        for request in azure_wire.requests:
            assert "authorization" not in request.headers
            assert "sig=" not in request.target
        await store.aclose()

    @in_trio
    async def test_obstore_goes_where_the_sdk_goes(
        self, azure_bucket: AzureBucket, azure_wire: Proxy
    ) -> None:
        """obstore reads AZURE_* variables of its own accord: none may lead it away."""
        nowhere = "http://127.0.0.1:9"
        with fake_azure(
            AZURE_STORAGE_ACCOUNT_NAME="another",
            AZURE_STORAGE_ACCOUNT_KEY="another",
            AZURE_STORAGE_ACCESS_KEY="another",
            AZURE_STORAGE_SAS_KEY="sig=another",
            AZURE_STORAGE_TOKEN="another",
            AZURE_STORAGE_ENDPOINT=nowhere,
            AZURE_ENDPOINT=nowhere,
            AZURE_STORAGE_USE_EMULATOR="true",
            AZURITE_BLOB_STORAGE_URL=nowhere,
            AZURE_USE_FABRIC_ENDPOINT="true",
            AZURE_CONTAINER_NAME="another",
            AZURE_SKIP_SIGNATURE="true",
            AZURE_CREDENTIAL_TYPE="managed_identity",
            AZURE_USE_AZURE_CLI="true",
            AZURE_ENCRYPTION_KEY="MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            AZURE_PROXY_URL=nowhere,
            AZURE_TIMEOUT="0s",
        ):
            store = open_inspector(
                azure_bucket.url,
                StoreOptions(endpoint_url=f"{azure_wire.endpoint_url}/{ACCOUNT}"),
            )
            await use(store)
        reads = [request for request in azure_wire.requests if is_get_object(request)]
        assert len(reads) == 2
        for request in reads:
            assert request.headers["authorization"].startswith(f"SharedKey {ACCOUNT}:")
            assert "x-ms-encryption-key" not in request.headers
        versions = {request.headers["x-ms-version"] for request in azure_wire.requests}
        assert len(versions) == 1, "the two clients speak of different things"
        await store.aclose()

    @in_trio
    async def test_every_part_of_a_sas_goes_to_both_clients(self, azure_wire: Proxy) -> None:
        sas = "sv=2022-11-02&ses=a-scope&sip=1.2.3.4&sp=rl&sig=a%2Bb%2Fc%3D"
        azure_wire.plan = answer
        with fake_azure(AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN=sas):
            store = open_inspector(
                "az://container", StoreOptions(endpoint_url=azure_wire.endpoint_url)
            )
            await store.list_page("")
            for key in ("key", "a//b"):
                assert await read(store, key, 0, 10, ETAG) == DATA[:10]
        assert len(azure_wire.requests) == 3
        for request in azure_wire.requests:
            assert dict(parse_qsl(sas)).items() <= dict(parse_qsl(_query(request))).items()
        await store.aclose()


def _query(request: ProxiedRequest) -> str:
    return urlsplit(request.target).query


class TestRefusedOnAzurite:
    """Azure calls these AuthenticationFailed, and the wire's tests show what comes of that."""

    gaps: ClassVar = dict.fromkeys(
        ("test_wrong_key", "test_expired_sas", "test_private_container"),
        "Azurite sends AuthorizationFailure for every error",
    )

    @in_trio
    async def test_wrong_key(self, azure_bucket: AzureBucket, azure_server: AzureServer) -> None:
        with fake_azure(AZURE_STORAGE_KEY="AAAA"):
            await self._check(azure_bucket, azure_server, "AZURE_STORAGE_KEY")

    @in_trio
    async def test_expired_sas(self, azure_bucket: AzureBucket, azure_server: AzureServer) -> None:
        sas = azure_bucket.sas(valid=timedelta(hours=-1))
        with fake_azure(AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN=sas):
            await self._check(azure_bucket, azure_server, "expired at")

    @in_trio
    async def test_private_container(
        self, azure_bucket: AzureBucket, azure_server: AzureServer
    ) -> None:
        with fake_azure():
            await self._check(azure_bucket, azure_server, "not public", no_sign_request=True)

    async def _check(
        self, bucket: AzureBucket, server: AzureServer, advice: str, **options: bool
    ) -> None:
        settings = StoreOptions(endpoint_url=server.endpoint_url, **options)  # type: ignore[arg-type]
        store = open_inspector(bucket.url, settings)
        try:
            error = await fails(store.probe)
            assert isinstance(error, CredentialsError)
            assert advice in error.advice
        finally:
            await store.aclose()
