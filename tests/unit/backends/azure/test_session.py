"""Endpoints of Azure's two clients, for each way to name an account. No request is sent."""

from __future__ import annotations

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.azure.account import resolve_account
from cloudfs_backends.azure.client import AzureClient
from cloudfs_backends.azure.session import AzureSession
from cloudfs_backends.url import parse_url
from tests.support.azure import KEY, fake_azure

GOVERNMENT = "DefaultEndpointsProtocol=https;AccountName=gov;EndpointSuffix=core.usgovcloudapi.net"


@pytest.mark.parametrize(
    ("url", "environment", "options", "endpoint"),
    [
        ("az://container", {"AZURE_STORAGE_ACCOUNT": "acc"}, {},
         "https://acc.blob.core.windows.net"),
        ("abfss://container@acc.dfs.core.chinacloudapi.cn/p", {}, {},
         "https://acc.blob.core.chinacloudapi.cn"),
        ("az://container", {"AZURE_STORAGE_CONNECTION_STRING": GOVERNMENT}, {},
         "https://gov.blob.core.usgovcloudapi.net"),
        ("az://container", {"AZURE_STORAGE_ACCOUNT": "acc"},
         {"endpoint_url": "http://127.0.0.1:10000/acc"}, "http://127.0.0.1:10000/acc"),
    ],
)  # fmt: skip
def test_both_go_to_the_same_place(
    url: str, environment: dict[str, str], options: dict[str, str], endpoint: str
) -> None:
    settings = StoreOptions(**options)  # type: ignore[arg-type]
    variables = {"AZURE_STORAGE_ACCOUNT": "", "AZURE_STORAGE_KEY": KEY, **environment}
    with fake_azure(**variables):
        account = resolve_account(parse_url(url), settings, variables)
        session = AzureSession("container", account, settings)
        assert session.client().url == f"{endpoint}/container"
        config = session.obstore_client().config
        assert (config["endpoint"], config["account_name"]) == (endpoint, account.name)
        assert session.endpoint == endpoint
        session.close()


def test_identity_does_not_depend_on_the_spelling() -> None:
    spellings = ("az://container/p", "azure://container/p/",
                 "abfss://container@acc.dfs.core.windows.net/p",
                 "abfs://container@acc.blob.core.windows.net/p/")  # fmt: skip
    with fake_azure(AZURE_STORAGE_ACCOUNT="acc"):
        identities = {AzureClient(parse_url(url), StoreOptions()).identity for url in spellings}
    assert identities == {"az://container/p at https://acc.blob.core.windows.net"}


def test_containers_of_two_accounts_are_not_mixed_up() -> None:
    with fake_azure():
        one, other = (
            AzureClient(parse_url("az://container"), StoreOptions(azure_account=name)).identity
            for name in ("one", "two")
        )
    assert one != other
