"""Account, endpoint and credential from a URL, the options and the environment."""

from __future__ import annotations

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.azure.account import (
    Anonymous,
    AzureAccount,
    Login,
    SasToken,
    SharedKey,
    resolve_account,
)
from cloudfs_backends.azure.connection_string import account_of, parse_connection_string
from cloudfs_backends.errors import CredentialsError, InvalidRequestError, StoreError
from cloudfs_backends.url import parse_url

KEY = "c2VjcmV0LWtleQ=="
SAS = "sv=2022-11-02&sp=rl&sig=hush%3D"
AZ = "az://container/prefix"
ABFS = "abfss://container@urlaccount.dfs.core.windows.net/prefix"
CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"


def resolve(url: str, environment: dict[str, str] | None = None, **options: object) -> AzureAccount:
    return resolve_account(
        parse_url(url),
        StoreOptions(**options),  # type: ignore[arg-type]
        environment or {},
    )


def refused(*args: object, error_class: type[StoreError], **options: object) -> StoreError:
    """Return the error: one line that tells no secret."""
    with pytest.raises(error_class) as caught:
        resolve(*args, **options)  # type: ignore[arg-type]
    told = f"{caught.value} {caught.value.advice}"
    assert "\n" not in told
    assert not any(secret in told for secret in (KEY, "hush", "c2Vj"))
    return caught.value


@pytest.mark.parametrize(
    ("url", "environment", "options", "name", "endpoint"),
    [
        (ABFS, {}, {}, "urlaccount", "https://urlaccount.blob.core.windows.net"),
        ("abfss://container@abc.blob.core.chinacloudapi.cn", {}, {}, "abc",
         "https://abc.blob.core.chinacloudapi.cn"),
        (AZ, {}, {"azure_account": "flagged"}, "flagged",
         "https://flagged.blob.core.windows.net"),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "envaccount"}, {}, "envaccount",
         "https://envaccount.blob.core.windows.net"),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "envaccount"}, {"azure_account": "flagged"}, "flagged",
         "https://flagged.blob.core.windows.net"),
        (ABFS, {"AZURE_STORAGE_ACCOUNT": "envaccount"}, {}, "urlaccount",
         "https://urlaccount.blob.core.windows.net"),
        (ABFS, {}, {"azure_account": "urlaccount"}, "urlaccount",
         "https://urlaccount.blob.core.windows.net"),
        (AZ, {CONNECTION: f"AccountName=conn;AccountKey={KEY}"}, {}, "conn",
         "https://conn.blob.core.windows.net"),
        (AZ, {CONNECTION: f"DefaultEndpointsProtocol=http;AccountName=conn;AccountKey={KEY};"
              "EndpointSuffix=core.usgovcloudapi.net"}, {}, "conn",
         "http://conn.blob.core.usgovcloudapi.net"),
        (AZ, {CONNECTION: f"AccountName=conn;BlobEndpoint=https://priv.ate/x/;AccountKey={KEY}"},
         {}, "conn", "https://priv.ate/x"),
        (AZ, {CONNECTION: f"AccountName=conn;AccountKey={KEY}", "AZURE_STORAGE_ACCOUNT": "other"},
         {}, "conn", "https://conn.blob.core.windows.net"),
        (AZ, {CONNECTION: f"BlobEndpoint=https://cdn.example;SharedAccessSignature={SAS}",
              "AZURE_STORAGE_ACCOUNT": "envaccount"}, {}, "envaccount", "https://cdn.example"),
        (AZ, {CONNECTION: "UseDevelopmentStorage=true"}, {}, "devstoreaccount1",
         "http://127.0.0.1:10000/devstoreaccount1"),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "envaccount"}, {"endpoint_url": "https://host:1/base/"},
         "envaccount", "https://host:1/base"),
        (AZ, {"AZURE_STORAGE_KEY": KEY}, {"endpoint_url": "http://127.0.0.1:1/devstoreaccount1"},
         "devstoreaccount1", "http://127.0.0.1:1/devstoreaccount1"),
        ("abfss://container@conn.dfs.core.windows.net",
         {CONNECTION: f"AccountName=conn;BlobEndpoint=https://priv.ate;AccountKey={KEY}"},
         {}, "conn", "https://conn.blob.core.windows.net"),
    ],
)  # fmt: skip
def test_account_and_endpoint(
    url: str, environment: dict[str, str], options: dict[str, str], name: str, endpoint: str
) -> None:
    account = resolve(url, environment, **options)
    assert (account.name, account.endpoint) == (name, endpoint)


@pytest.mark.parametrize(
    ("environment", "credential"),
    [
        ({}, Login()),
        ({"AZURE_STORAGE_KEY": f" {KEY}\n"}, SharedKey(KEY, "AZURE_STORAGE_KEY")),
        ({"AZURE_STORAGE_SAS_TOKEN": f"?{SAS}"}, SasToken(SAS, "AZURE_STORAGE_SAS_TOKEN")),
        ({"AZURE_STORAGE_SAS_TOKEN": f"https://a.b/c?{SAS}"},
         SasToken(SAS, "AZURE_STORAGE_SAS_TOKEN")),
        ({"AZURE_STORAGE_SAS_TOKEN": SAS, "AZURE_STORAGE_KEY": KEY},
         SharedKey(KEY, "AZURE_STORAGE_KEY")),
        ({CONNECTION: f"AccountName=abc;AccountKey={KEY}", "AZURE_STORAGE_KEY": "b3RoZXI="},
         SharedKey(KEY, CONNECTION)),
        ({CONNECTION: f"AccountName=abc;SharedAccessSignature={SAS}", "AZURE_STORAGE_KEY": KEY},
         SasToken(SAS, CONNECTION)),
        ({CONNECTION: "BlobEndpoint=https://abc.blob.core.windows.net", "AZURE_STORAGE_KEY": KEY},
         SharedKey(KEY, "AZURE_STORAGE_KEY")),
        ({CONNECTION: "AccountName=abc"}, Login()),
        ({"AZURE_STORAGE_KEY": "", "AZURE_STORAGE_SAS_TOKEN": " "}, Login()),
    ],
)  # fmt: skip
def test_credential_in_this_order(environment: dict[str, str], credential: object) -> None:
    assert resolve(AZ, {"AZURE_STORAGE_ACCOUNT": "abc", **environment}).credential == credential


def test_repr_of_an_account_has_no_secret() -> None:
    environments = ({"AZURE_STORAGE_KEY": KEY}, {"AZURE_STORAGE_SAS_TOKEN": SAS})
    for environment in environments:
        shown = repr(resolve(ABFS, environment))
        assert KEY not in shown
        assert "hush" not in shown


def test_no_sign_request_wants_nothing_of_the_environment() -> None:
    environment = {
        CONNECTION: f"AccountName=mine;AccountKey={KEY}",
        "AZURE_STORAGE_KEY": "not base64",
    }
    account = resolve(ABFS, environment, no_sign_request=True)
    assert account == AzureAccount(
        "urlaccount", "https://urlaccount.blob.core.windows.net", Anonymous()
    )
    assert resolve(AZ, environment, no_sign_request=True).name == "mine"


@pytest.mark.parametrize(
    ("url", "environment", "options", "words"),
    [
        (ABFS, {}, {"azure_account": "flagged"}, ("the URL", "--azure-account", "flagged")),
        (ABFS, {CONNECTION: f"AccountName=conn;AccountKey={KEY}"}, {},
         ("the URL", "urlaccount", CONNECTION, "conn")),
        (AZ, {CONNECTION: f"AccountName=conn;AccountKey={KEY}"}, {"azure_account": "flagged"},
         ("--azure-account", "flagged", CONNECTION, "conn")),
        (AZ, {}, {}, ("--azure-account", "AZURE_STORAGE_ACCOUNT", CONNECTION, "abfss://")),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "https://abc.blob"}, {}, ("3 to 24",)),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "abc"}, {"endpoint_url": "nonsense"}, ("--endpoint-url",)),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "abc"}, {"endpoint_url": f"https://h?{SAS}"},
         ("--endpoint-url",)),
        (AZ, {"AZURE_STORAGE_ACCOUNT": "abc"}, {"endpoint_url": "https://[::1"},
         ("--endpoint-url",)),
        (AZ, {CONNECTION: f"AccountName=conn;BlobEndpoint=conn.blob;AccountKey={KEY}"}, {},
         ("BlobEndpoint",)),
    ],
)  # fmt: skip
def test_what_is_not_clear(
    url: str, environment: dict[str, str], options: dict[str, str], words: tuple[str, ...]
) -> None:
    error = refused(url, environment, error_class=InvalidRequestError, **options)
    for word in words:
        assert word in f"{error} {error.advice}"


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"AZURE_STORAGE_KEY": "c2Vj cmV0"}, "AZURE_STORAGE_KEY"),
        ({"AZURE_STORAGE_SAS_TOKEN": "sv=2022-11-02"}, "sig="),
        ({CONNECTION: "hush"}, "Name=value"),
        ({CONNECTION: ";;"}, "Name=value"),
        ({CONNECTION: f"AccountKey={KEY}"}, "AccountName"),
        ({CONNECTION: "AccountName=urlaccount;AccountKey=hush hush"}, CONNECTION),
    ],
)
def test_what_cannot_be_a_credential(environment: dict[str, str], word: str) -> None:
    assert word in str(refused(ABFS, environment, error_class=CredentialsError))


def test_no_login_over_plain_http() -> None:
    error = refused(
        ABFS, {}, error_class=CredentialsError, endpoint_url="http://127.0.0.1:1/devstoreaccount1"
    )
    assert "https://" in error.advice
    assert resolve(ABFS, {}, endpoint_url="http://h", no_sign_request=True).endpoint == "http://h"


@pytest.mark.parametrize(
    ("endpoint", "account"),
    [
        ("https://abc.blob.core.windows.net", "abc"),
        ("https://ABC.blob.storage.azure.net:443/", "abc"),
        ("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"),
        ("http://localhost:1/devstoreaccount1/", "devstoreaccount1"),
        ("http://[::1]:1/devstoreaccount1", "devstoreaccount1"),
        ("http://127.0.0.1:1", ""),
        ("https://1abc.blob.core.windows.net", "1abc"),
        ("https://cdn.example.org/x", ""),
        ("https://[::1", ""),
        ("nonsense", ""),
    ],
)
def test_account_of_an_endpoint(endpoint: str, account: str) -> None:
    assert account_of(endpoint) == account


def test_connection_string_is_forgiving_about_spelling() -> None:
    parsed = parse_connection_string(f" accountname = abc ; ACCOUNTKEY={KEY};; Unknown=x=y ")
    assert (parsed.account, parsed.key) == ("abc", KEY)
    assert KEY not in repr(parsed)
