"""Azure logins: a real azure-identity with a login server of the test, whose tokens Azurite takes.

Azurite takes them by TLS only; what it cannot check is checked on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import (
    CredentialsError,
    InvalidRequestError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.registry import open_inspector
from tests.contract.azure_responses import answer, fails, opened, use
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.authority import TENANT, Authority, authority
from tests.support.azure import AzureServer, fake_azure, need_azurite
from tests.support.azure import azure_server as running_azure
from tests.support.proxy import proxy
from tests.support.tls import Certificate, make_certificate, tls_server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(certificate: Certificate) -> Iterator[AzureServer]:
    need_azurite()
    with running_azure(certificate) as running:
        running.bucket("container").put_all({"key": DATA, "a//b": DATA})
        yield running


class TestLogin:
    """A real azure-identity logs in at a service of the test's, and Azurite takes its tokens."""

    @pytest.fixture
    def login(self, certificate: Certificate) -> Iterator[Authority]:
        """A service principal is set up in the environment."""
        with (
            authority() as running,
            tls_server(running.port, certificate) as port,
            fake_azure(
                AZURE_STORAGE_KEY="",
                AZURE_TENANT_ID=TENANT,
                AZURE_CLIENT_ID="the-application",
                AZURE_CLIENT_SECRET="the-secret",
                AZURE_AUTHORITY_HOST=f"https://127.0.0.1:{port}",
                AZURE_TOKEN_CREDENTIALS="EnvironmentCredential",
                REQUESTS_CA_BUNDLE=str(certificate.ca_file),
            ),
        ):
            yield running

    @pytest.fixture
    def store(self, login: Authority, server: AzureServer) -> Iterator[StoreInspector]:
        with opened("az://container", server.endpoint_url) as store:
            yield store

    @in_trio
    async def test_one_token_serves_both_clients(
        self, store: StoreInspector, login: Authority
    ) -> None:
        await use(store)
        assert len(login.tokens) == 1
        identity = await store.identify()
        assert len(login.tokens) == 1
        assert (identity.name, identity.kind) == ("the-application", "application")
        assert identity.source == "azure-identity, EnvironmentCredential"
        assert identity.notes == ("object the-object", "tenant the-tenant")
        assert identity.expires_at is None

    @in_trio
    async def test_token_is_renewed_for_both(self, store: StoreInspector, login: Authority) -> None:
        """What the service says of a token's life is believed, not what the token says."""
        login.said_lifetime_s = 0
        await store.list_page("")
        for key in ("key", "a//b"):
            before = len(login.tokens)
            assert await read(store, key, 0, 10, None) == DATA[:10]
            assert len(login.tokens) > before

    @in_trio
    async def test_refused_login(self, store: StoreInspector, login: Authority) -> None:
        login.refusal = {
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 1\n",
        }
        for request in (store.probe, lambda: read(store, "key", 0, 9, None), store.identify):
            error = await fails(request)
            assert isinstance(error, CredentialsError)
            assert "AADSTS7000215: Invalid client secret provided" in str(error)
            assert "az login" in error.advice

    @in_trio
    async def test_token_that_the_store_refuses(
        self, store: StoreInspector, login: Authority
    ) -> None:
        login.lifetime_s = -1
        for key in ("key", "a//b"):
            error = await fails(lambda key=key: read(store, key, 0, 9, None))
            assert isinstance(error, CredentialsError)
            assert "az login" in error.advice

    @in_trio
    async def test_nothing_to_log_in_with(
        self, certificate: Certificate, server: AzureServer
    ) -> None:
        with fake_azure(
            AZURE_STORAGE_KEY="",
            AZURE_TOKEN_CREDENTIALS="EnvironmentCredential",
            REQUESTS_CA_BUNDLE=str(certificate.ca_file),
        ):
            store = open_inspector("az://container", StoreOptions(endpoint_url=server.endpoint_url))
            for request in (store.probe, store.identify, lambda: read(store, "key", 0, 9, None)):
                error = await fails(request)
                assert isinstance(error, CredentialsError)
                assert "EnvironmentCredential" in str(error)
                for fix in ("AZURE_STORAGE_SAS_TOKEN", "az login", "--no-sign-request"):
                    assert fix in error.advice
            await store.aclose()

    @in_trio
    async def test_certificates_that_are_not_there(
        self, server: AzureServer, tmp_path: Path
    ) -> None:
        with fake_azure(REQUESTS_CA_BUNDLE=str(tmp_path / "none.pem")):
            store = open_inspector("az://container", StoreOptions(endpoint_url=server.endpoint_url))
            error = await fails(store.probe)
            assert isinstance(error, InvalidRequestError)
            assert "REQUESTS_CA_BUNDLE" in error.advice
            assert isinstance(await fails(lambda: read(store, "key", 0, 9, None)), StoreError)
        await store.aclose()

    @in_trio
    async def test_untrusted_certificate(self, server: AzureServer) -> None:
        with fake_azure():
            store = open_inspector("az://container", StoreOptions(endpoint_url=server.endpoint_url))
            for request in (store.probe, lambda: read(store, "key", 0, 9, None)):
                assert isinstance(await fails(request), UnavailableError)
        await store.aclose()

    @in_trio
    async def test_the_same_header_on_both_ways(
        self, login: Authority, certificate: Certificate
    ) -> None:
        with proxy(9, answer) as wire, tls_server(wire.port, certificate) as port:
            store = open_inspector(
                "az://container", StoreOptions(endpoint_url=f"https://127.0.0.1:{port}")
            )
            await store.list_page("")
            for key in ("key", "a//b"):
                await read(store, key, 0, 10, None)
            await store.aclose()
            sent = [request.headers["authorization"] for request in wire.requests]
        assert sent == [f"Bearer {login.tokens[0]}"] * 3

    @in_trio
    async def test_no_token_is_sent_in_the_clear(self, login: Authority) -> None:
        with pytest.raises(CredentialsError, match="plain http") as caught:
            open_inspector("az://c0ntainer", StoreOptions(endpoint_url="http://127.0.0.1:9"))
        assert "AZURE_STORAGE_KEY" in caught.value.advice
        assert login.tokens == []
