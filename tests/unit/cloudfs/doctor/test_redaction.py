"""No secret leaves, whatever an error quotes."""

from __future__ import annotations

import pytest

from cloudfs.telemetry.redact import Redactor, bare_url

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws-secret-key",
    "AWS_SESSION_TOKEN": "aws-secret-key-and-more",
    "AZURE_STORAGE_KEY": "azure-key",
    "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=azure-sas",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=lab;AccountKey=key-in-string;X=1",
    "AZURE_CLIENT_SECRET": "azure-client",
}


@pytest.mark.parametrize("secret", [*SECRETS.values(), "key-in-string"])
def test_values_of_secret_variables_are_hidden(secret: str) -> None:
    assert Redactor(SECRETS).redact(f"an error with {secret} in it") == "an error with *** in it"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET https://user:secret@host/a b", "GET https://***@host/a b"),
        ("abfss://container@account.dfs.host/x", "abfss://container@account.dfs.host/x"),
        ("http://h/c?sv=1&sig=ab%2Bc&se=2", "http://h/c?sv=1&sig=***&se=2"),
        ("?X-Amz-Signature=abc&X-Amz-Date=1", "?X-Amz-Signature=***&X-Amz-Date=1"),
        ("AccountName=lab;AccountKey=abc==;Suffix=x", "AccountName=lab;AccountKey=***;Suffix=x"),
    ],
)
def test_what_urls_and_connection_strings_carry_is_hidden(text: str, clean: str) -> None:
    assert Redactor({}).redact(text) == clean


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/run/token"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json"),
        ("CLOUDFS_SSE_CUSTOMER_KEY", "/etc/customer.key"),
        ("AWS_SECRET_ACCESS_KEY", "word"),
    ],
)
def test_names_and_places_are_shown(name: str, value: str) -> None:
    assert Redactor({name: value}).redact(f"found {value}") == f"found {value}"


def test_every_text_in_a_document_is_redacted() -> None:
    document = {"a": ["aws-secret-key", 1, None], "b": {"c": ("x", "azure-key")}}
    assert Redactor(SECRETS).redact_all(document) == {
        "a": ["***", 1, None],
        "b": {"c": ["x", "***"]},
    }


def test_bare_url() -> None:
    assert bare_url("https://user:secret@host:1/path?sig=secret#x") == "https://host:1/path"
