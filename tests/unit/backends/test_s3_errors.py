"""What an operator is told when there is no usable identity, and when a text could mislead."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from obstore import exceptions as obs

from cloudfs_backends.api import (
    CredentialsError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from cloudfs_backends.s3_errors import from_botocore, from_obstore
from cloudfs_backends.s3_refusals import RequestContext


@dataclass
class _Surroundings:
    endpoint: str = "http://endpoint"
    profile: str | None = "lab"


CONTEXT = RequestContext("head", "key", _Surroundings())


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (boto.NoCredentialsError(), "--profile"),
        (boto.ProfileNotFound(profile="lab"), "~/.aws/config"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login --profile lab"),
        (boto.SSOTokenLoadError(error_msg="no token"), "aws sso login --profile lab"),
        (
            boto.TokenRetrievalError(provider="sso", error_msg="Token has expired"),
            "aws sso login --profile lab",
        ),
        (boto.PartialCredentialsError(provider="env", cred_var="secret"), "renew"),
        (boto.CredentialRetrievalError(provider="process", error_msg="it failed"), "renew"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_identity(error: Exception, advice: str) -> None:
    translated = from_botocore(error, CONTEXT)
    assert isinstance(translated, CredentialsError)
    assert advice in translated.advice
    assert "\n" not in translated.describe()


def test_credentials_that_fail_in_obstore() -> None:
    error = obs.UnauthenticatedError(
        "The operation lacked valid authentication credentials for path External AWS credential"
        " provider: UnauthorizedSSOTokenError: The SSO session has expired\n\nDebug source:\nx"
    )
    translated = from_obstore(error, CONTEXT)
    assert isinstance(translated, CredentialsError)
    assert "aws sso login --profile lab" in translated.advice
    assert "Debug" not in str(translated)


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url="http://endpoint"),
        boto.ReadTimeoutError(endpoint_url="http://endpoint"),
        boto.ConnectionClosedError(endpoint_url="http://endpoint"),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("garbage"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_network(error: Exception) -> None:
    translated = from_botocore(error, CONTEXT)
    assert isinstance(translated, UnavailableError)
    assert "http://endpoint" in str(translated)


def _refusal(headers: dict[str, str]) -> StoreError:
    response: Any = {
        "Error": {"Code": "429", "Message": "Too Many Requests"},
        "ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": headers},
    }
    return from_botocore(boto.ClientError(response, "HeadObject"), CONTEXT)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), ("", None)])
def test_retry_after(header: str, seconds: float | None) -> None:
    error = _refusal({"retry-after": header})
    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == seconds


def test_retry_after_as_a_date() -> None:
    seconds = _refusal({"retry-after": formatdate(time() + 100, usegmt=True)}).retry_after_s
    assert seconds is not None
    assert 90 < seconds <= 100
