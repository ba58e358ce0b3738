"""What hides credentials from tests does hide them, whatever the user has set."""

from __future__ import annotations

import os

import boto3
import google.auth
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential
from google.auth.exceptions import DefaultCredentialsError

from tests.support.environment import clean_environment, environment, without_credentials

USERS_OWN = {
    "AWS_PROFILE": "work",
    "AWS_ENDPOINT_URL_S3": "http://work.invalid",
    "AZURE_STORAGE_CONNECTION_STRING": "secret",
    "AZURE_CLIENT_SECRET": "secret",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
    "STORAGE_EMULATOR_HOST": "http://work.invalid",
    "IDENTITY_ENDPOINT": "http://work.invalid",
}


def test_what_the_user_has_set_is_gone() -> None:
    cleaned = without_credentials({**USERS_OWN, "PATH": "/bin"})
    assert cleaned["PATH"] == "/bin"
    assert not USERS_OWN.keys() & cleaned.keys()
    assert clean_environment(USERS_OWN)["AWS_ACCESS_KEY_ID"] == "cloudfs-test-key"


def test_this_process_finds_no_credentials() -> None:
    """And it asks nobody outside: what the SDKs would ask is where nobody listens."""
    assert boto3.Session().get_credentials() is None
    with pytest.raises(DefaultCredentialsError):
        google.auth.default()
    with (
        DefaultAzureCredential(managed_identity_client_id="me") as login,
        pytest.raises(ClientAuthenticationError),
    ):
        login.get_token("https://storage.azure.com/.default")


def test_it_comes_back() -> None:
    before = dict(os.environ)
    with environment({"ONLY": "this"}):
        assert dict(os.environ) == {"ONLY": "this"}
    assert dict(os.environ) == before
