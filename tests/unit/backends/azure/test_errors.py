"""Translation of Azure's exceptions, and of logins that fail."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from azure.core import exceptions as core
from azure.identity import CredentialUnavailableError

from cloudfs_backends.azure.account import (
    Anonymous,
    AzureAccount,
    Credential,
    Login,
    SasToken,
    SharedKey,
)
from cloudfs_backends.azure.errors import (
    LoginError,
    LoginUnavailableError,
    NoLoginError,
    error_codes_for,
    from_azure,
    login_error,
)
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.errors import (
    CredentialsError,
    InvalidRequestError,
    StoreError,
    UnavailableError,
)

_HEAD = "DefaultAzureCredential failed to retrieve a token from the included credentials."
_TAIL = (
    "\nTo mitigate this issue, please refer to the troubleshooting guidelines here at https://x."
)


@dataclass
class _Session:
    endpoint: str = "https://account.blob.core.windows.net"
    profile: str | None = None


def _context(credential: Credential) -> RequestContext:
    account = AzureAccount("account", _Session.endpoint, credential)
    return RequestContext("head", "key", _Session(), error_codes_for(account))


def _translated(error: Exception, credential: Credential | None = None) -> StoreError:
    translated = from_azure(error, _context(credential or Login()))
    assert "\n" not in translated.describe()
    return translated


@pytest.mark.parametrize(
    "error",
    [
        core.ServiceRequestError("refused"),
        core.ServiceRequestTimeoutError("slow"),
        core.ServiceResponseError("reset"),
        core.ServiceResponseTimeoutError("stalled"),
        core.IncompleteReadError("cut"),
        core.DecodeError("garbage"),
        core.DeserializationError("garbage"),
        core.HttpResponseError("no answer to go by"),
        core.AzureError("anything"),
        LoginUnavailableError("no answer to the login"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_may_pass(error: Exception) -> None:
    translated = _translated(error)
    assert isinstance(translated, UnavailableError)
    assert translated.retryable
    assert str(translated) == f"{_Session.endpoint}: {error}"


def test_url_of_a_failed_request_is_not_told() -> None:
    text = (
        "HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url:"
        " /container?comp=list&sv=1&sig=hush%3D (Caused by SSLError('bad certificate'))"
    )
    told = str(_translated(core.ServiceRequestError(text)))
    assert "hush" not in told
    assert "bad certificate" in told
    assert "hush" not in str(
        _translated(core.ServiceResponseError("of https://h/c?a=b&sig=hush x"))
    )


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ValueError("Invalid URL"), "--endpoint-url"),
        (OSError("Could not find a suitable TLS CA certificate bundle"), "REQUESTS_CA_BUNDLE"),
    ],
)
def test_settings(error: Exception, advice: str) -> None:
    translated = _translated(error)
    assert isinstance(translated, InvalidRequestError)
    assert advice in translated.advice


@pytest.mark.parametrize(
    ("credential", "advice"),
    [
        (SharedKey("key", "AZURE_STORAGE_KEY"), "AZURE_STORAGE_KEY holds a key of the account"),
        (SasToken("sp=rl&sig=hush", "AZURE_STORAGE_SAS_TOKEN"), "sp=rl"),
        (SasToken("se=2020-01-01&sig=hush", "AZURE_STORAGE_SAS_TOKEN"), "expired at 2020-01-01"),
        (SasToken("st=2999-01-01&sig=hush", "X"), "not valid before 2999-01-01"),
        (Anonymous(), "leave --no-sign-request away"),
        (Login(), "az login"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_credentials(credential: Credential, advice: str) -> None:
    """As when the key cannot sign: there is an exception, but no answer."""
    translated = _translated(core.ClientAuthenticationError("cannot sign"), credential)
    assert isinstance(translated, CredentialsError)
    assert advice in translated.advice


@pytest.mark.parametrize(
    ("text", "error_class", "told"),
    [
        (
            f"{_HEAD}\nAttempted credentials:\n\tEnvironmentCredential: EnvironmentCredential"
            " authentication unavailable. Environment variables are not fully configured.\nVisit x"
            f"\n\tAzureCliCredential: Azure CLI not found on path{_TAIL}",
            NoLoginError,
            "azure-identity found no login (tried EnvironmentCredential, AzureCliCredential)",
        ),
        (
            f"{_HEAD}\nAttempted credentials:\n\tEnvironmentCredential: Authentication failed:"
            f" AADSTS7000215: Invalid client secret provided. Trace ID: 1{_TAIL}",
            LoginError,
            "the login was refused: AADSTS7000215: Invalid client secret provided",
        ),
        (
            f"{_HEAD}\nAttempted credentials:\n\tEnvironmentCredential: Authentication failed:"
            f" no route to host{_TAIL}",
            LoginError,
            "EnvironmentCredential: Authentication failed: no route to host",
        ),
        ("Please run 'az login' to set up an account\nmore", LoginError,
         "no login: Please run 'az login' to set up an account"),
    ],
)  # fmt: skip
def test_logins(text: str, error_class: type[LoginError], told: str) -> None:
    error = login_error(CredentialUnavailableError(message=text))
    assert type(error) is error_class
    assert str(error) == told
    translated = _translated(error)
    assert isinstance(translated, CredentialsError)
    assert "az login" in translated.advice
    assert ("AZURE_STORAGE_KEY" in translated.advice) is (error_class is NoLoginError)
